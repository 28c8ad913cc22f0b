"""Statistics against statsmodels (Seabold & Perktold 2010)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resformer.stats.depth import wilson
from resformer.stats.multiplicity import Method, adjust
from resformer.stats.reach import Solved, doublings_apart
from resformer.stats.steps import kaplan_meier_median

ROUNDING = 1e-12
"""Both are float64, of some ten operations each."""


@pytest.mark.parametrize("seeds", range(1, 60))
def test_wilson_intervals(seeds: int) -> None:
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for solved in range(seeds + 1):
        expected = proportion.proportion_confint(solved, seeds, method="wilson")
        assert wilson(solved, seeds) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize(("ours", "theirs"), [("holm", "holm"), ("benjamini-hochberg", "fdr_bh")])
def test_corrections_with_ties(ours: Method, theirs: str) -> None:
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    rng = np.random.default_rng(0)
    for tests in (1, 2, 3, 7, 20, 59):
        p = rng.choice([0.0, 1e-9, 0.001, 0.01, 0.02, 0.04, 0.3, 1.0], tests)
        expected = multitest.multipletests(p, method=theirs)[1]
        assert adjust(p, ours) == pytest.approx(expected, abs=ROUNDING)


@given(st.integers(2, 40), st.integers(2, 40), st.data())
def test_the_interval_of_one_depth_is_newcombes(
    first: int, second: int, data: st.DataObject
) -> None:
    """A reach over one depth of weight 1 is its share solved."""
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    solved = data.draw(st.integers(0, first)), data.draw(st.integers(0, second))
    _, *interval = doublings_apart(
        [4],
        Solved(solved=[solved[0]], seeds=[first]),
        Solved(solved=[solved[1]], seeds=[second]),
    )
    expected = proportion.confint_proportions_2indep(
        solved[0], first, solved[1], second, method="newcomb", compare="diff"
    )
    assert interval == pytest.approx(list(expected), abs=ROUNDING)


@pytest.mark.parametrize("number", range(200))
def test_kaplan_meier_where_seeds_have_budgets_of_their_own(number: int) -> None:
    """But for the median where the curve is ½ over an interval, of which others take another
    point.
    """
    survfunc = pytest.importorskip("statsmodels.duration.survfunc")
    rng = np.random.default_rng(number)
    seeds = int(rng.integers(5, 30))
    budget_S = rng.choice([100.0, 200.0, 400.0], seeds)
    steps_S = 10.0 * rng.integers(1, 60, seeds)
    solves_S = steps_S < budget_S
    median, *interval = kaplan_meier_median(np.where(solves_S, steps_S, np.nan), budget_S)
    if not solves_S.any():
        assert (median, interval) == (None, [None, None])
        return
    curve = survfunc.SurvfuncRight(np.where(solves_S, steps_S, budget_S), solves_S.astype(int))
    with np.errstate(divide="ignore", invalid="ignore"):  # bands where the curve is 1 or 0
        expected = [_finite(bound) for bound in curve.quantile_ci(0.5, method="cloglog")]
    assert interval == expected
    if not np.isclose(curve.surv_prob, 0.5).any():
        assert median == _finite(curve.quantile(0.5))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
