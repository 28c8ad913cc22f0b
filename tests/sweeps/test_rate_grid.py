"""Half decades of `member.lr=auto`."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resformer.sweep.rate_grid import HALF_DECADES, beyond, start

RATES = st.sets(st.sampled_from(HALF_DECADES), min_size=1)


def test_half_decades_go_from_a_millionth_to_ten() -> None:
    assert (HALF_DECADES[0], HALF_DECADES[-1], len(HALF_DECADES)) == (1e-6, 10.0, 15)
    # 1 to 3 and 3 to 10; the decimals are the nearest floats.
    assert all(2.99 < after / before < 3.34 for before, after in pairwise(HALF_DECADES))


@pytest.mark.parametrize(
    ("usual", "rates"),
    [
        ([3e-3], (1e-3, 3e-3, 1e-2, 3e-2)),
        ([5e-4], (1e-4, 3e-4, 1e-3, 3e-3)),
        ([1e-1, 5e-1], (3e-2, 1e-1, 3e-1, 1.0, 3.0)),
        ([3e-3, 5e-4], (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)),
        ([1e-9], (1e-6, 3e-6, 1e-5)),
        ([50.0], (3.0, 10.0)),
    ],
)
def test_a_search_starts_around_the_usual_rates(
    usual: list[float], rates: tuple[float, ...]
) -> None:
    assert start(usual) == rates


@given(RATES, st.data())
def test_the_next_rate_is_new_and_beyond_the_edge_that_is_best(
    rates: set[float], data: st.DataObject
) -> None:
    best = data.draw(st.sampled_from(sorted(rates)))
    further = beyond(rates, best)
    if further is None:
        assert min(rates) < best < max(rates) or best in (HALF_DECADES[0], HALF_DECADES[-1])
        return
    assert further not in rates
    assert not min(rates) <= further <= max(rates)
    assert abs(HALF_DECADES.index(further) - HALF_DECADES.index(best)) == 1
    assert beyond({*rates, further}, best) != further, "each is added once"


@given(st.floats(1e-7, 20.0))
def test_a_rate_between_two_half_decades_is_extended_to_one_of_them(lr: float) -> None:
    assert beyond([lr, lr / 100], lr) == min(
        (rate for rate in HALF_DECADES if rate > lr), default=None
    )
    lowest = beyond([lr, lr * 100], lr)
    assert lowest is None or lowest < lr
    assert not math.isclose(lr, lowest or 0.0, rel_tol=0.0)
