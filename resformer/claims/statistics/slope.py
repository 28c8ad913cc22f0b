"""Slope of a quantity on the logarithm of a setting."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import pandas as pd

from resformer.claims import quantities
from resformer.claims.evidence import Evidence, of_seeds, paired
from resformer.claims.statistics.base import Measured, Statistic, mean_interval, rows
from resformer.errors import UserError
from resformer.keys import Value, is_number
from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Floats


@final
@dataclass(frozen=True, kw_only=True)
class Slope(Statistic):
    """Slope of a quantity of `arm` on the natural logarithm of the setting `on`, or of the number
    of parameters: each seed's least squares, then the mean over seeds. With `less` that arm's slope
    of the same seed is taken off.
    """

    of: str
    """Name of the quantity, such as final_loss."""
    arm: str
    on: str
    """A setting, such as model.depth, or `parameters`."""
    less: str = ""

    by_final_loss: ClassVar[bool] = True

    def __post_init__(self) -> None:
        quantities.check_name(self.of)

    @property
    def arms(self) -> tuple[str, ...]:
        """The arm, and the one whose slope is taken off."""
        return tuple(filter(None, (self.arm, self.less)))

    @property
    def axis(self) -> str:
        """The setting `on`."""
        return self.on

    def measure(self, evidence: Evidence) -> Measured:
        """Measure the slope."""
        arms = [self._cells(evidence, arm) for arm in self.arms]
        seeds = paired([cell for cells in arms for cell in cells.values()])
        quantity = quantities.QUANTITIES[self.of]
        values = [
            np.stack(
                [
                    of_seeds(cell, quantity.measure(evidence, cell), seeds)
                    for cell in cells.values()
                ],
                axis=1,
            )
            for cells in arms
        ]
        slope_AS = [
            slopes([*cells], value_SX) for cells, value_SX in zip(arms, values, strict=True)
        ]
        value, low, high = mean_interval(slope_AS[0] - sum(slope_AS[1:]))
        less = f", less that of {self.less}" if self.less else ""
        return Measured(
            value=value,
            low=low,
            high=high,
            quantity=f"slope on log {self.on} of the {quantity.words} of {self.arm}{less}",
            numbers=pd.concat(
                rows(arm, place, seeds, **{self.of: value_S})
                for arm, cells, value_SX in zip(self.arms, arms, values, strict=True)
                for place, value_S in zip(cells, value_SX.T, strict=True)
            ),
        )

    def _cells(self, evidence: Evidence, arm: str) -> dict[Value, CellMembers]:
        """Cells of an arm by place; UserError unless there are two or more, above 0."""
        cells = evidence.along(arm, self.on)
        if len(cells) < 2 or not all(is_number(place) and place > 0 for place in cells):
            raise UserError(f"on: {self.on}: {arm} needs two or more values of it, above 0")
        return dict(zip(cells, evidence.by_loss([*cells.values()]), strict=True))


def slopes(places: Sequence[Value], value_SX: Floats) -> Floats:
    """Each seed's slope on the logarithm of the place, (S,), by least squares; NaN where a value is
    not finite.
    """
    if not np.isfinite(value_SX).all():
        return np.full(len(value_SX), np.nan)
    slopes_S: Floats = np.polyfit(np.log(np.array(places, np.float64)), value_SX.T, 1)[0]
    return slopes_S
