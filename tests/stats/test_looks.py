"""Two looks at several comparisons."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resformer.stats.looks import first_look, second_look, undecided
from resformer.stats.multiplicity import LEVEL, adjust
from resformer.stats.power import FIRST_LOOK, SECOND_LOOK

P = st.floats(0, 0.1)
PAIRS = st.lists(st.tuples(P, P), min_size=1, max_size=6)


def closure(first: list[float], second: list[float]) -> list[bool]:
    """Rejections by the definition: of every set of hypotheses with this one, Bonferroni's test
    rejects at either look.
    """
    numbers = range(len(first))
    sets = [
        chosen
        for size in range(1, len(first) + 1)
        for chosen in itertools.combinations(numbers, size)
    ]
    rejected = {
        one: min(first[i] for i in one) * len(one) <= FIRST_LOOK + 1e-12
        or min(second[i] for i in one) * len(one) <= SECOND_LOOK + 1e-12
        for one in sets
    }
    return [all(rejected[one] for one in sets if index in one) for index in numbers]


@given(PAIRS)
def test_what_is_rejected_is_rejected_by_the_closed_test(pairs: list[tuple[float, float]]) -> None:
    """The closed test knows the second look at comparisons that have none, so it may say more."""
    first, second = map(list, zip(*pairs, strict=True))
    rejected = second_look(first, second) <= LEVEL + 1e-12
    assert not (rejected & ~np.array(closure(first, second))).any()


@given(PAIRS)
def test_a_decision_of_the_first_look_stays(pairs: list[tuple[float, float]]) -> None:
    first, second = map(np.array, zip(*pairs, strict=True))
    decided = ~undecided(first)
    assert (second_look(first, second)[decided] == first_look(first)[decided]).all()
    assert (second_look(first, second)[decided] <= LEVEL + 1e-9).all()
    same = second_look(first, np.where(decided, 1.0, second))
    assert (same == second_look(first, second)).all(), "those have no second look"


@given(PAIRS, st.randoms(use_true_random=False))
def test_the_order_of_comparisons_does_not_matter(
    pairs: list[tuple[float, float]], chance: object
) -> None:
    order = np.random.default_rng(hash(chance) % 2**32).permutation(len(pairs))
    first, second = map(np.array, zip(*pairs, strict=True))
    assert second_look(first[order], second[order]) == pytest.approx(
        second_look(first, second)[order]
    )


def test_one_comparison_is_decided_at_the_levels_of_the_looks() -> None:
    assert undecided([FIRST_LOOK]).tolist() == [False]
    assert undecided([FIRST_LOOK + 1e-6]).tolist() == [True]
    assert second_look([1.0], [SECOND_LOOK]) == pytest.approx(LEVEL)
    assert first_look([0.5]).tolist() == [1.0]


def test_the_method_is_that_of_the_family_also_where_few_are_left() -> None:
    """Eight comparisons, of which six are decided: two are left for Benjamini and Hochberg."""
    first = [0.001] * 6 + [0.5, 0.5]
    second = [1.0] * 6 + [0.02, 0.04]
    expected = adjust([0.02, 0.04], by="benjamini-hochberg") * LEVEL / SECOND_LOOK
    assert second_look(first, second)[6:] == pytest.approx(expected)
