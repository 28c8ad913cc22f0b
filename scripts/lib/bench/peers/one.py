"""One run at a time."""

import time
from abc import abstractmethod

import numpy as np
import torch
from torch import nn

from lib.bench.cases import Case
from lib.bench.drawn import tokens
from lib.bench.module import classifiers, optimised
from lib.bench.peers.base import Losses, Peer, Timed, fastest
from resformer.model.shape import Member

_TRIAL_STEPS = 30


class One(Peer):
    """A member after the other; by default with denormal numbers flushed and one thread or all,
    whichever is faster.
    """

    def prepare(self, case: Case) -> str:
        """Choose the number of threads."""
        self._case = case
        torch.set_flush_denormal(True)
        threads = fastest({1, torch.get_num_threads()}, self._trial)
        torch.set_num_threads(threads)
        return f"{threads} thread{'s' if threads > 1 else ''}, fused AdamW"

    def losses(self, steps: int) -> Losses:
        """Losses of the first two members."""
        return np.array([self._train(member, steps)[0] for member in self._case.members(2)])

    def run(self, steps: int) -> list[Timed]:
        """The first member."""
        return [self._train(self._case.members(1)[0], steps)[1]]

    @abstractmethod
    def _train(self, member: Member, steps: int) -> tuple[list[float], Timed]:
        """Train a member from its beginning; its loss in each step, nats per scored token."""

    def _trial(self, threads: int) -> list[Timed]:
        torch.set_num_threads(threads)
        return self.run(_TRIAL_STEPS)


def train(case: Case, member: Member, steps: int, *, fused: bool) -> tuple[list[float], Timed]:
    """Train one member in the loop that anyone would write around the module, on the case's
    device.
    """
    [module] = classifiers(case, [member])
    module.to(case.device)
    optimiser, warm_up = optimised(module, case, member.lr, fused=fused)
    inputs_SPBT, targets_SPBU = (part.to(case.device) for part in tokens(case, [member], steps))
    losses = []
    began = time.perf_counter()
    for inputs, targets in zip(inputs_SPBT[:, 0], targets_SPBU[:, 0], strict=True):
        loss = nn.functional.cross_entropy(module(inputs).flatten(0, 1), targets.flatten())
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(module.parameters(), case.clip)
        optimiser.step()
        warm_up.step()
        losses.append(loss.item())
    return losses, Timed(steps, time.perf_counter() - began)
