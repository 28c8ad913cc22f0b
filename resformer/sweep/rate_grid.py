"""Learning rates of `member.lr=auto`: half decades, extended until the best one lies inside."""

from collections.abc import Collection

AUTO = "auto"
HALF_DECADES = (
    *(float(f"{digit}e{exponent}") for exponent in range(-6, 0) for digit in (1, 3)),
    1.0,
)
"""Learning rates from 1e-6 to 1, each about √10 times the one before."""
START = (1e-3, 3e-3, 1e-2, 3e-2)
"""The rates that every cell is trained at."""


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
