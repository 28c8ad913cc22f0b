"""Corrections for the number of comparisons."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resformer.stats.multiplicity import adjust, holm, level, method

# Benjamini & Hochberg 1995, section 3.2: p-values of 15 hypotheses about thrombolysis.
THROMBOLYSIS = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344]
THROMBOLYSIS += [0.0459, 0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0]


def closure(p: list[float]) -> list[float]:
    """Holm by its definition: Bonferroni in every set of hypotheses that holds this one."""
    numbers = range(len(p))
    sets = [
        chosen for size in range(1, len(p) + 1) for chosen in itertools.combinations(numbers, size)
    ]
    return [
        min(1.0, max(len(one) * min(p[i] for i in one) for one in sets if index in one))
        for index in numbers
    ]


@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_is_the_closure_of_bonferroni(p: list[float]) -> None:
    assert holm(p).tolist() == pytest.approx(closure(p))


def test_benjamini_hochberg_reject_four_of_their_own_example_and_holm_three() -> None:
    assert (adjust(THROMBOLYSIS) <= 0.05).sum() == 4
    assert (holm(THROMBOLYSIS) <= 0.05).sum() == 3


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_corrections_raise_p_values_keep_their_order_and_ignore_that_of_the_tests(
    p: list[float],
) -> None:
    adjusted = adjust(p)
    assert (adjusted >= [value - 1e-12 for value in p]).all()
    assert (adjusted <= 1).all()
    backwards = adjust(p[::-1])[::-1]
    assert backwards.tolist() == pytest.approx(adjusted.tolist())
    by_p = [value for _, value in sorted(zip(p, adjusted.tolist(), strict=True))]
    assert by_p == sorted(by_p)


def test_six_comparisons_are_corrected_by_holm_and_seven_by_benjamini_hochberg() -> None:
    assert method(6) == "holm"
    assert method(7) == "benjamini-hochberg"
    assert adjust([0.008] * 6).tolist() == pytest.approx([0.048] * 6)
    assert adjust([0.008] * 7).tolist() == pytest.approx([0.008] * 7)
    assert adjust([]).tolist() == []
    assert (level(2), level(23)) == (0.025, 0.05)
