"""Corrections of p-values for the number of comparisons."""

from typing import Literal

import numpy as np
import numpy.typing as npt

from resformer.stats import Floats

LEVEL = 0.05
"""Adjusted p-values up to this are significant."""
MOST_FOR_HOLM = 6
"""Comparisons up to which no false one is allowed; beyond, a share of false ones is."""

Method = Literal["holm", "benjamini-hochberg"]


def method(tests: int) -> Method:
    """The correction for so many tests."""
    return "holm" if tests <= MOST_FOR_HOLM else "benjamini-hochberg"


def level(tests: int) -> float:
    """p-value up to which one of so many tests is significant for sure (Holm), or if most of them
    are (Benjamini and Hochberg).
    """
    return LEVEL / max(1, tests) if method(tests) == "holm" else LEVEL


def adjust(p_M: npt.ArrayLike, by: Method | None = None) -> Floats:
    """Adjusted p-values, (M,), by this correction; None is the one for so many tests.

    At level α, Holm's hold the probability of any false one to α under any dependence. Benjamini
    and Hochberg's hold the expected share of false ones among those called significant to α, if
    the tests are independent or positively dependent.
    """
    p = np.asarray(p_M, dtype=np.float64)
    if not len(p):
        return p
    if (by or method(len(p))) == "holm":
        return holm(p)
    from scipy.stats import false_discovery_control  # slow to import, and seldom needed

    adjusted: Floats = false_discovery_control(p, method="bh")
    return adjusted


def holm(p_M: npt.ArrayLike) -> Floats:
    """Adjusted p-values, (M,) (Holm 1979): valid under any dependence among the tests."""
    p = np.asarray(p_M, dtype=np.float64)
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)) if len(p) else p
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted
