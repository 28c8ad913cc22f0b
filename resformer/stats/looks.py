"""Two looks at several comparisons: those that the first does not decide get more seeds."""

import numpy as np
import numpy.typing as npt

from resformer.stats import Bools, Floats
from resformer.stats.multiplicity import LEVEL, adjust, method
from resformer.stats.power import FIRST_LOOK, SECOND_LOOK

_ROUNDING = 1e-12


def first_look(p_M: npt.ArrayLike) -> Floats:
    """Adjusted p-values, (M,), at most `LEVEL` where the first look decides.

    The p-values are corrected for their number as without looks, at level `FIRST_LOOK`; times
    `LEVEL` / `FIRST_LOOK`.
    """
    return np.minimum(adjust(p_M) * (LEVEL / FIRST_LOOK), 1.0)


def undecided(p_M: npt.ArrayLike) -> Bools:
    """Comparisons, by their p-values at the first look, that have a second one, (M,)."""
    open_M: Bools = first_look(p_M) > LEVEL + _ROUNDING
    return open_M


def second_look(first_M: npt.ArrayLike, second_M: npt.ArrayLike) -> Floats:
    """Adjusted p-values after both looks, (M,), where `second_M` counts for undecided ones only.

    These are corrected for their own number at level `SECOND_LOOK`, by the method of the whole
    family. By Bonferroni over the looks, any set of true null hypotheses would be rejected with a
    probability of at most `FIRST_LOOK` + `SECOND_LOOK` = `LEVEL`, and Holm's step-down is the
    closure of that test: a set with a member that the first look decides is rejected there, so the
    second counts those that are left (Holm 1979; Ye, Li, Liu & Yao 2013). With Benjamini and
    Hochberg's method the expected shares of false ones of both looks add up in the same way.
    """
    first, second = (np.asarray(p_M, dtype=np.float64) for p_M in (first_M, second_M))
    adjusted = first_look(first)
    open_M = undecided(first)
    again = adjust(second[open_M], by=method(len(first)))
    adjusted[open_M] = np.minimum(again * (LEVEL / SECOND_LOOK), 1.0)
    return adjusted
