"""Schedules of the learning rate: its share of the peak at each step."""

import math

import torch
from torch import Tensor

from resformer.model.shape import TrainSettings

_STABLE = 0.8
"""Share of the budget after which `wsd` decays (Hägele et al. 2024, arXiv 2405.18392)."""


def share(train: TrainSettings, number: Tensor) -> Tensor:
    """Share of the peak in the step of this number, from 1: a linear warm-up, then the schedule,
    which ends with `final_lr` at the last step of the budget.

    `cosine` is half a wave (Loshchilov & Hutter 2017, arXiv 1608.03983, eq. 5), `linear` a line;
    `wsd` stays at the peak and falls in a line over the last fifth of the budget.
    """
    number = number.double()
    warm = (number / max(1, train.warmup_steps)).clamp(max=1.0)
    if train.schedule == "constant":
        return warm
    assert train.final_lr is not None
    begin = train.warmup_steps
    if train.schedule == "wsd":
        begin = max(begin, min(round(_STABLE * train.steps), train.steps - 1))
    done = ((number - begin) / (train.steps - begin)).clamp(min=0.0)
    left = (1.0 + torch.cos(math.pi * done)) / 2.0 if train.schedule == "cosine" else 1.0 - done
    return warm * (train.final_lr + (1.0 - train.final_lr) * left)
