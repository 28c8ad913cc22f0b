"""Width of a model that has about so many parameters."""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import final

from resformer.errors import Incompatible, require


@final
@dataclass(frozen=True, kw_only=True)
class Size:
    """Size of a model as asked for, instead of its width."""

    parameters: int | None
    """Number of parameters that the width is solved for; None: the width is given."""

    def __post_init__(self) -> None:
        if self.parameters is not None:
            limits = "must be from 1 to 1e12, or null"
            require(1 <= self.parameters <= 10**12, "model.parameters", self.parameters, limits)


@final
@dataclass(frozen=True)
class Sized:
    """A width, and the number of parameters of the model that has it."""

    width: int
    parameters: int


def nearest(
    parameters: int, num_parameters: Callable[[int], int], widths: Sequence[int], *, where: str
) -> Sized:
    """Return that of the ascending `widths` at which `num_parameters` is nearest to `parameters`,
    the smaller of two that are as near. `num_parameters` grows with the width, at most with its
    square.

    Raises Incompatible if the narrowest model has more, or the widest fewer; `where` names the
    models.
    """
    count = cache(lambda index: num_parameters(widths[index]))
    low, high = 0, len(widths)
    if parameters < count(low):
        raise Incompatible(_no_width(parameters, widths[low], count(low), f"{where} has at least"))
    while high - low > 1:
        # Numbers of parameters grow with the square of the width at most: the guess is too small.
        guess = widths[low] * math.sqrt(parameters / count(low))
        index = max(low + 1, bisect_right(widths, guess, hi=high) - 1)
        low, high = (index, high) if count(index) <= parameters else (low, index)
    if high == len(widths) and parameters > count(low):
        raise Incompatible(_no_width(parameters, widths[low], count(low), f"{where} has at most"))
    near = [index for index in (low, high) if index < len(widths)]
    best = min(near, key=lambda index: abs(count(index) - parameters))
    return Sized(widths[best], count(best))


def _no_width(parameters: int, width: int, count: int, least: str) -> str:
    return (
        f"model.parameters={parameters}: {least} {count:,}, of model.width={width}; "
        f"model.parameters={count} would work"
    )
