"""Objective: batches of a task, and the loss and accuracy of each member on them. Symbols have
int64, real numbers floating dtypes.
"""

import math

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX, Task

_HELD_OUT_SEED = 0


def held_out(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Inputs (1, B, T) or (1, B, T, X) and targets (1, B, U) of the held-out set, the same for all
    members of a task.
    """
    key_1 = rng.key(torch.tensor([_HELD_OUT_SEED], device=device), "held-out")
    source, target = shape.task.draw_held_out(key_1, shape.train.eval_sequences)
    inputs = shape.task.inputs(source, target, shape.model.attention)
    return inputs.contiguous(), target.contiguous()  # kernels read what lies in memory


def draw_batch(shape: Shape, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
    """Inputs (P, B, T) or (P, B, T, X) and targets (P, B, U) of fresh sequences drawn by these
    keys.
    """
    source, target = shape.task.draw(key_P, sequences)
    return shape.task.inputs(source, target, shape.model.attention), target


def blank_batch(shape: Shape, sequences: int) -> tuple[Tensor, Tensor]:
    """Batch of one member without values, on the device `meta`."""
    model, numbers = shape.transformer(), shape.task.numbers
    dtype, of_token = (torch.int64, ()) if numbers is None else (torch.float32, (numbers,))
    inputs = torch.empty(1, sequences, model.tokens, *of_token, dtype=dtype, device="meta")
    return inputs, torch.empty(1, sequences, model.num_targets, dtype=dtype, device="meta")


def loss(outputs_PBUV: Tensor, targets_PBU: Tensor) -> Tensor:
    """Mean loss of each member, (P,): cross-entropy in nats per target, or squared error of real
    ones.
    """
    if targets_PBU.is_floating_point():
        error_PBU = outputs_PBUV.squeeze(-1) - targets_PBU.to(outputs_PBUV.dtype)
        each = torch.where(targets_PBU.isnan(), 0.0, error_PBU).square()
    else:
        each = nnf.cross_entropy(
            outputs_PBUV.flatten(0, 2),
            targets_PBU.flatten(),
            reduction="none",
            ignore_index=IGNORE_INDEX,
        )
    return each.view(len(targets_PBU), -1).sum(dim=1) / target_count(targets_PBU)


def accuracy(task: Task, outputs_PBUV: Tensor, targets_PBU: Tensor) -> Tensor:
    """Share of each member's targets that are right, or of the variance of real ones that is
    explained, (P,) float64; that is -∞ where outputs are not numbers.
    """
    if targets_PBU.is_floating_point():
        loss_P = loss(outputs_PBUV, targets_PBU).double()
        return 1.0 - loss_P.nan_to_num(nan=math.inf, posinf=math.inf) / task.blind_loss()
    right_P = (outputs_PBUV.argmax(dim=-1) == targets_PBU).flatten(1).sum(1, dtype=torch.float64)
    return right_P / target_count(targets_PBU)


def target_count(targets_PBU: Tensor) -> Tensor:
    """Number of targets of each member that count, (P,)."""
    real = targets_PBU.is_floating_point()
    counted_PBU = ~targets_PBU.isnan() if real else targets_PBU != IGNORE_INDEX
    return counted_PBU.flatten(1).sum(dim=1)
