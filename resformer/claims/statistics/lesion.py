"""Slope of the last block that a trained model needs on the logarithm of a setting."""

import dataclasses
import math
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from resformer.claims import slopes
from resformer.claims.evidence import Evidence, Kept, of_seeds, paired
from resformer.claims.statistics.base import Measured, Trained
from resformer.model import objective
from resformer.model.serial import shape_from_json

_DEPTH = "model.depth"
_COSTS = 0.1
"""Share of the accuracy: a block is needed whose removal costs more."""


@final
@dataclass(frozen=True, kw_only=True)
class Lesion(Trained):
    """Slope, in blocks per doubling of the setting `on`, of the last block whose removal costs more
    than 10 % of the held-out accuracy (0 if that of none does): each seed's least squares, then the
    mean over seeds, each member at the rate that is best for the others.

    A block is removed from a trained member alone: the residual streams pass both of its sub-layers
    unchanged (as in Csordás, Manning & Potts 2025, arXiv 2505.13898, whose measure is the effect on
    later layers and outputs; the threshold is from here). A member that needs its last block might
    need more if it had more: along another setting than the depth, the slope has no upper bound
    where that is so at one of the larger half of the places, and no lower bound where it is so at
    one of the smaller half.
    """

    arm: str
    on: str
    """A setting, such as task.hops."""

    needs_weights: ClassVar[bool] = True

    @property
    def arms(self) -> tuple[str]:
        """The arm."""
        return (self.arm,)

    @property
    def axes(self) -> tuple[str]:
        """The setting `on`."""
        return (self.on,)

    def measure(self, evidence: Evidence) -> Measured:
        """Remove the blocks of every member."""
        cells = evidence.along(self.arm, self.on)
        seeds = paired([*cells.values()])
        last = {
            place: of_seeds(cell, np.array([*map(last_needed, evidence.kept(cell))], float), seeds)
            for place, cell in cells.items()
        }
        line = slopes.line(self.arm, self.on, last)
        measured = slopes.measured(
            [line],
            seeds,
            on=self.on,
            of="last needed block",
            words=f"slope on log2 {self.on} of the last block whose removal costs more than "
            f"{_COSTS:.0%} of the accuracy,",
            unit=math.log(2),
        )
        if self.on == _DEPTH:
            return measured
        depths_X = [cell.key.depth for cell in cells.values()]
        return slopes.opened(measured, line.weights[(line.value_SX >= depths_X).any(axis=0)])


def last_needed(kept: Kept) -> int:
    """Number of the last block whose removal costs more than 10 % of the accuracy, or 0."""
    accuracies = accuracies_without(kept)
    needed = [block for block, left in enumerate(accuracies) if left < (1 - _COSTS) * accuracies[0]]
    return max(needed, default=0)


@torch.no_grad()
def accuracies_without(kept: Kept) -> list[float]:
    """Held-out accuracy of a member, whole and then without each of its blocks."""
    shape = shape_from_json(kept.shape)
    transformer = dataclasses.replace(shape.transformer(), compile=False)
    inputs_1BT, targets_1BU = objective.held_out(shape, torch.device("cpu"))
    flat_1N = torch.cat(
        [
            torch.from_numpy(kept.weights[spec.name]).reshape(1, -1)
            for spec in transformer.parameter_specs
        ],
        dim=1,
    )

    def accuracy(*without: int) -> float:
        step = torch.tensor(kept.steps)
        logits_1BUV: Tensor = transformer.forward(flat_1N, inputs_1BT, step=step, without=without)
        return float(objective.accuracy(shape.task, logits_1BUV, targets_1BU))

    blocks = range(1, shape.model.depth + 1)
    return [accuracy(), *(accuracy(2 * block - 1, 2 * block) for block in blocks)]
