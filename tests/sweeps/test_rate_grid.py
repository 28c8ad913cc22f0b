"""Half decades of `member.lr=auto`."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from resformer.sweep.rate_grid import HALF_DECADES, START, beyond

RATES = st.sets(st.sampled_from(HALF_DECADES), min_size=1)


def test_half_decades_go_from_a_millionth_to_one() -> None:
    assert (HALF_DECADES[0], HALF_DECADES[-1], len(HALF_DECADES)) == (1e-6, 1.0, 13)
    # 1 to 3 and 3 to 10; the decimals are the nearest floats.
    assert all(2.99 < after / before < 3.34 for before, after in pairwise(HALF_DECADES))
    first = HALF_DECADES.index(START[0])
    assert HALF_DECADES[first : first + 4] == START


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


@given(st.floats(1e-7, 2.0))
def test_a_rate_between_two_half_decades_is_extended_to_one_of_them(lr: float) -> None:
    assert beyond([lr, lr / 100], lr) == min(
        (rate for rate in HALF_DECADES if rate > lr), default=None
    )
    lowest = beyond([lr, lr * 100], lr)
    assert lowest is None or lowest < lr
    assert not math.isclose(lr, lowest or 0.0, rel_tol=0.0)
