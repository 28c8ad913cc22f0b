"""Learning rates of `member.lr=auto`: half decades, extended until the best one lies inside."""

import math
from collections.abc import Collection

AUTO = "auto"
HALF_DECADES = (
    *(float(f"{digit}e{exponent}") for exponent in range(-6, 1) for digit in (1, 3)),
    10.0,
)
"""Learning rates from 1e-6 to 10, each about √10 times the one before."""


def start(usual: Collection[float]) -> tuple[float, ...]:
    """Rates that every cell is trained at: from one half decade below the least of the usual rates
    of the optimisers to two above the largest, so that all arms have the same.
    """
    low, high = _nearest(min(usual)), _nearest(max(usual))
    return HALF_DECADES[max(low - 1, 0) : high + 3]


def _nearest(rate: float) -> int:
    """Index of the half decade nearest to a rate."""
    apart = [abs(math.log(half_decade / rate)) for half_decade in HALF_DECADES]
    return apart.index(min(apart))


def beyond(rates: Collection[float], best: float) -> float | None:
    """The next of `HALF_DECADES` beyond the edge of the rates tried that the best of them is at.

    None if it lies inside, or if the half decades end there. Of a single rate, which is both edges,
    the larger neighbour.
    """
    if best == max(rates):
        return min((rate for rate in HALF_DECADES if rate > best), default=None)
    if best == min(rates):
        return max((rate for rate in HALF_DECADES if rate < best), default=None)
    return None
