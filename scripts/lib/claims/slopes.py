"""Exponents: the slope of a line through logarithms, with what seeds say of it."""

import numpy as np
import numpy.typing as npt

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
