"""Exponents: the slope of a line through logarithms, with what seeds say of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lib.claims.claim import Interval
from resformer.stats import Floats
from resformer.stats.steps import student_interval


def exponents(depths: Sequence[int], measured_SL: Floats, *, least: int = 0) -> Floats:
    """Each seed's exponent of a power of depth, (S,), by least squares from depth `least` on:
    `measured_SL` by seed and depth.
    """
    deep_L = np.asarray(depths) >= least
    slopes_S: Floats = np.polyfit(
        np.log(np.asarray(depths)[deep_L]), np.log(measured_SL[:, deep_L].T), 1
    )[0]
    return slopes_S


def interval(values_S: Floats) -> Interval:
    """Student's 95 % interval of a mean over seeds."""
    low, high = student_interval(values_S)
    return (-np.inf, np.inf) if low is None or high is None else (low, high)


def by_seed(
    arms: Mapping[str, Floats], places: Sequence[int], seeds: Sequence[int], *names: str
) -> pd.DataFrame:
    """A row per arm, place and seed, of arrays (S, places); `names` of arm, place and value."""
    arm, place, value = names
    return pd.DataFrame(
        [
            {arm: label, place: where, "seed": seed, value: number}
            for label, values_SL in arms.items()
            for where, values_S in zip(places, values_SL.T, strict=True)
            for seed, number in zip(seeds, values_S, strict=True)
        ]
    )
