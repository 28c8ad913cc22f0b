"""The objective: batches of a task, and the cross-entropy of each member on them."""

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX

_HELD_OUT_SEED = 0


def held_out(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """What is read (1, B, T) and the answers (1, B, S) of the held-out set, the same for all
    members of a task.
    """
    state_1 = rng.key(torch.tensor([_HELD_OUT_SEED], device=device), "held-out")
    return draw(shape, state_1, shape.train.eval_sequences)


def draw(shape: Shape, state_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
    """What is read (P, B, T) and the answers (P, B, S) of fresh sequences from these streams."""
    source, target = shape.task.draw(state_P, sequences)
    return shape.task.reads(source, target, shape.model.attention), target


def loss(logits_PBSV: Tensor, answers_PBS: Tensor) -> Tensor:
    """Mean cross-entropy of each member, (P,), nats per scored token."""
    answers = answers_PBS.flatten()
    each = nnf.cross_entropy(
        logits_PBSV.flatten(0, 2), answers, reduction="none", ignore_index=IGNORE_INDEX
    )
    return each.view(len(answers_PBS), -1).sum(dim=1) / target_count(answers_PBS)


def target_count(answers_PBS: Tensor) -> Tensor:
    """How many answers of each member count, (P,)."""
    return (answers_PBS != IGNORE_INDEX).flatten(1).sum(dim=1)
