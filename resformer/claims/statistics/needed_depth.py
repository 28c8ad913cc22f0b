"""Slope of the depth that a task needs on the logarithm of a setting."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np

from resformer.claims import slopes
from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.statistics.base import Along, Measured, Trained
from resformer.keys import Value
from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Bools, Floats

_DEPTH = "model.depth"


@final
@dataclass(frozen=True, kw_only=True)
class NeededDepth(Along, Trained):
    """Slope, in blocks per doubling of the setting `on`, of the smallest depth at which a seed of
    `arm` solves, each at the rate that is best for the others: each seed's least squares, then the
    mean over seeds. With `less` that arm's slope of the same seed is taken off.

    A seed that solves at no depth needs more than the deepest, and counts with that: its slope has
    no upper bound where the value is of the larger half of the places, and no lower bound where it
    is of the smaller half; of the arm that is taken off the other way round.
    """

    @property
    def axes(self) -> tuple[str, str]:
        """The setting `on`, and the depth."""
        return self.on, _DEPTH

    def measure(self, evidence: Evidence) -> Measured:
        """Measure the slope."""
        arms = [evidence.places(arm, [self.on, _DEPTH]) for arm in self.arms]
        seeds = paired([cell for arm in arms for cell in arm.values()])
        lines, open_weights = [], []
        for name, arm in zip(self.arms, arms, strict=True):
            needed, more = _needed(arm, seeds)
            lines.append(slopes.line(name, self.on, needed))
            sign = 1 if len(lines) == 1 else -1
            is_open_X = np.stack([*more.values()], axis=1).any(axis=0)
            open_weights += [*(sign * lines[-1].weights[is_open_X])]
        measured = slopes.measured(
            lines,
            seeds,
            on=self.on,
            of="needed depth",
            words=f"slope on log2 {self.on} of the smallest depth (blocks) at which a seed solves,",
            unit=math.log(2),
        )
        return slopes.opened(measured, open_weights)


def _needed(
    cells: Mapping[tuple[Value, ...], CellMembers], seeds: Sequence[int]
) -> tuple[dict[Value, Floats], dict[Value, Bools]]:
    """Smallest depth at which each seed solves, the deepest where it solves at none; and true where
    it solves at none: by place, (S,) each.
    """
    needed: dict[Value, Floats] = {}
    more: dict[Value, Bools] = {}
    for place in dict.fromkeys(place for place, _ in cells):
        at_place = {depth: cell for (other, depth), cell in cells.items() if other == place}
        solves_SL = np.stack(
            [
                ~np.isnan(of_seeds(cell, cell.scored(cell.budget), seeds))
                for cell in at_place.values()
            ],
            axis=1,
        )
        depths_L = np.array([*at_place], np.float64)
        solves_S: Bools = np.asarray(solves_SL.any(axis=1), bool)
        needed[place] = np.where(solves_S, depths_L[solves_SL.argmax(axis=1)], depths_L[-1])
        more[place] = np.logical_not(solves_S)
    return needed, more
