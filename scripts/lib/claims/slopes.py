"""Exponents: the slope of a line through logarithms, with what seeds say of it."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from lib.claims.claim import Interval
from resformer.stats.steps import student_interval

Floats = npt.NDArray[np.float64]


def exponents(depths: Floats, measured_SL: Floats) -> Floats:
    """Each seed's exponent of a power of depth, (S,), by least squares: `measured_SL` by seed and
    depth.
    """
    x = np.log(depths) - np.log(depths).mean()
    slopes_S: Floats = np.log(measured_SL) @ x / (x @ x)
    return slopes_S


def interval(values_S: Floats) -> Interval:
    """Student's 95 % interval of a mean over seeds."""
    low, high = student_interval(values_S)
    return (-np.inf, np.inf) if low is None or high is None else (low, high)


def by_seed(
    arms: Mapping[str, Floats], depths: Sequence[int], *, arm: str, value: str
) -> pd.DataFrame:
    """A row per arm, depth and seed, of arrays (S, depths)."""
    return pd.DataFrame(
        [
            {arm: label, "depth": depth, "seed": seed, value: number}
            for label, values_SL in arms.items()
            for depth, values_S in zip(depths, values_SL.T, strict=True)
            for seed, number in enumerate(values_S)
        ]
    )
