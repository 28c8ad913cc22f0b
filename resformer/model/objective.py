"""Objective: batches of a task, and the cross-entropy of each member on them."""

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX

_HELD_OUT_SEED = 0


def held_out(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs (1, B, T) and targets (1, B, U) of the held-out set, the same for all members of a
    task.
    """
    key_1 = rng.key(torch.tensor([_HELD_OUT_SEED], device=device), "held-out")
    source, target = shape.task.draw_held_out(key_1, shape.train.eval_sequences)
    return shape.task.inputs(source, target, shape.model.attention), target


def draw_batch(shape: Shape, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
    """Inputs (P, B, T) and targets (P, B, U) of fresh sequences drawn by these keys."""
    source, target = shape.task.draw(key_P, sequences)
    return shape.task.inputs(source, target, shape.model.attention), target


def loss(logits_PBUV: Tensor, targets_PBU: Tensor) -> Tensor:
    """Mean cross-entropy of each member, (P,), nats per target."""
    targets = targets_PBU.flatten()
    each = nnf.cross_entropy(
        logits_PBUV.flatten(0, 2), targets, reduction="none", ignore_index=IGNORE_INDEX
    )
    return each.view(len(targets_PBU), -1).sum(dim=1) / target_count(targets_PBU)


def target_count(targets_PBU: Tensor) -> Tensor:
    """Number of targets of each member that count, (P,)."""
    return (targets_PBU != IGNORE_INDEX).flatten(1).sum(dim=1)
