"""The training loop that anyone would write around the module."""

import time

import torch
from torch import nn

from lib.bench.cases import Case
from lib.bench.drawn import tokens
from lib.bench.module import classifiers
from lib.bench.peers.base import Timed
from resformer.model.shape import Member


def train(case: Case, member: Member, steps: int, fused: bool) -> tuple[list[float], Timed]:
    """Train one member from its beginning; its loss in each step, nats per scored token."""
    settings = case.shape(steps).train
    [module] = classifiers(case, [member])
    optimiser = torch.optim.AdamW(
        module.parameters(),
        member.lr,
        betas=(settings.beta1, settings.beta2),
        eps=settings.eps,
        weight_decay=0.0,
        fused=fused,
    )
    warm_up = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda step: min(1.0, (step + 1) / settings.warmup_steps)
    )
    inputs_SPBT, targets_SPBU = tokens(case, [member], steps)
    losses = []
    began = time.perf_counter()
    for inputs, targets in zip(inputs_SPBT[:, 0], targets_SPBU[:, 0], strict=True):
        loss = nn.functional.cross_entropy(module(inputs).flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), settings.clip)
        optimiser.step()
        warm_up.step()
        losses.append(loss.item())
    return losses, Timed(steps, time.perf_counter() - began)
