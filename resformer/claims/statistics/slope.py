"""Slope of a quantity on the logarithm of a setting."""

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pandas as pd

from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.quantities import QUANTITIES
from resformer.claims.statistics.base import Measured, Statistic, mean_interval, rows
from resformer.errors import UserError, require
from resformer.keys import Value, is_number
from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Floats


@final
@dataclass(frozen=True, kw_only=True)
class Slope(Statistic):
    """Slope of a quantity of `arm` on the natural logarithm of the setting `on`: each seed's least
    squares, then the mean over seeds. With `less` the slope of the difference from that arm, paired
    by seed and place.
    """

    of: str
    """Name of the quantity: best_lr and lr_sensitivity, by their logarithms, or final_loss."""
    arm: str
    on: str
    less: str = ""

    by_final_loss: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require(self.of in QUANTITIES, "of", self.of, f"must be one of {', '.join(QUANTITIES)}")

    @property
    def arms(self) -> tuple[str, ...]:
        """The arm, and the one whose quantity is taken off."""
        return tuple(filter(None, (self.arm, self.less)))

    @property
    def axis(self) -> str:
        """The setting `on`."""
        return self.on

    def measure(self, evidence: Evidence) -> Measured:
        """Measure the slope."""
        arms = [self._cells(evidence, arm) for arm in self.arms]
        places = [place for place in arms[0] if all(place in cells for cells in arms)]
        if len(places) < 2 or not all(is_number(place) and place > 0 for place in places):
            raise UserError(
                f"on: {self.on}: needs two or more values above 0, the same of both arms"
            )
        shared = [
            set(paired(arms[0][places[0]], cells[place])) for cells in arms for place in places
        ]
        seeds = sorted(set.intersection(*shared))
        measure, words = QUANTITIES[self.of]
        values = [
            np.stack([of_seeds(cell, measure(cell), seeds) for cell in cells.values()], axis=1)
            for cells in ({place: cells[place] for place in places} for cells in arms)
        ]
        value_SX = values[0] - values[1] if self.less else values[0]
        value, low, high = mean_interval(slopes(places, value_SX))
        less = f" less that of {self.less}" if self.less else ""
        return Measured(
            value=value,
            low=low,
            high=high,
            quantity=f"slope on log {self.on} of the {words} of {self.arm}{less}",
            numbers=pd.concat(
                rows(arm, place, seeds, **{self.of: value_S})
                for arm, value_SX in zip(self.arms, values, strict=True)
                for place, value_S in zip(places, value_SX.T, strict=True)
            ),
        )

    def _cells(self, evidence: Evidence, arm: str) -> dict[Value, CellMembers]:
        cells = evidence.along(arm, self.on)
        return dict(zip(cells, evidence.by_loss([*cells.values()]), strict=True))


def slopes(places: list[Value], value_SX: Floats) -> Floats:
    """Each seed's slope on the logarithm of the place, (S,), by least squares; NaN where a value is
    not finite.
    """
    if not np.isfinite(value_SX).all():
        return np.full(len(value_SX), np.nan)
    slopes_S: Floats = np.polyfit(np.log(np.array(places, np.float64)), value_SX.T, 1)[0]
    return slopes_S
