"""Slopes of a quantity along a setting: a line of each seed, and the mean over seeds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pandas as pd

from resformer.claims.statistics.base import Measured, mean_interval, rows
from resformer.errors import UserError
from resformer.keys import Value, is_number
from resformer.stats import Floats


@final
@dataclass(frozen=True, kw_only=True)
class Line:
    """Values of S seeds of an arm at X places."""

    arm: str
    places: Sequence[Value]
    """Ascending."""
    value_SX: Floats

    @property
    def slope(self) -> Floats:
        """Slope of each seed's values on the natural logarithm of the place, (S,), by least
        squares; NaN where a value is not finite.
        """
        if not np.isfinite(self.value_SX).all():
            return np.full(len(self.value_SX), np.nan)
        logs_X = np.log(np.array(self.places, np.float64))
        slope_S: Floats = np.polyfit(logs_X, self.value_SX.T, 1)[0]
        return slope_S

    @property
    def weights(self) -> Floats:
        """Weight that each value has in its seed's slope, (X,); the weights add up to 0."""
        logs_X = np.log(np.array(self.places, np.float64))
        apart_X = logs_X - logs_X.mean()
        weight_X: Floats = apart_X / (apart_X**2).sum()
        return weight_X


def line(arm: str, on: str, by_place: Mapping[Value, Floats]) -> Line:
    """Line of an arm of values (S,) by place; UserError unless there are two places or more, above
    0.
    """
    if len(by_place) < 2 or not all(is_number(place) and place > 0 for place in by_place):
        raise UserError(f"on: {on}: {arm} needs two or more values of it, above 0")
    return Line(arm=arm, places=[*by_place], value_SX=np.stack([*by_place.values()], axis=1))


def measured(
    lines: Sequence[Line], seeds: list[int], *, on: str, of: str, words: str, unit: float = 1.0
) -> Measured:
    """Slope of the first line, less that of the second if there is one, on the logarithm of `on`
    times `unit`: Student's interval over seeds. `of` names the values, `words` the slope.
    """
    slope = lines[0].slope - sum(other.slope for other in lines[1:])
    value, low, high = mean_interval(unit * slope)
    arms = ", less that of ".join(each.arm for each in lines)
    return Measured(
        value=value,
        low=low,
        high=high,
        quantity=f"{words} of {arms}",
        place=on,
        numbers=table(lines, seeds, of),
    )


def opened(measured: Measured, weights: Iterable[float]) -> Measured:
    """A slope of which values with these weights may be any larger: without the bounds that would
    move.
    """
    listed = [0.0, *weights]
    return replace(
        measured,
        low=-np.inf if min(listed) < 0 else measured.low,
        high=np.inf if max(listed) > 0 else measured.high,
    )


def table(lines: Sequence[Line], seeds: list[int], of: str) -> pd.DataFrame:
    """A row per arm, place and seed."""
    return pd.concat(
        rows(each.arm, place, seeds, **{of: value_S})
        for each in lines
        for place, value_S in zip(each.places, each.value_SX.T, strict=True)
    )
