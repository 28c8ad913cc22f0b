"""Verdicts on signal propagation."""

import numpy as np
import pytest

from resformer.stats.health import health

GOOD = np.ones(5)


@pytest.mark.parametrize(
    ("rms", "residual", "gradient", "expected"),
    [
        (GOOD, GOOD * 0.4, GOOD, ("healthy", "residual", 0.4)),
        ([1, 2, 50, 99], GOOD, [1, 1], ("healthy", "residual", 1.0)),
        ([1, 2, 50, 101], GOOD, [1, 1], ("exploding", "stream", 101.0)),
        ([2, 1, 0.1, 0.019], GOOD, [1, 1], ("vanishing", "stream", 0.0095)),
        (GOOD, GOOD, [101, 5, 1], ("exploding", "gradient", 101.0)),
        (GOOD, GOOD, [0.5, 5, 60], ("vanishing", "gradient", 0.5 / 60)),
        (GOOD, [1, 0.01, 0.06], GOOD, ("healthy", "residual", 0.06)),
        (GOOD, [1, 0.3, 0.04], [0.001, 1], ("collapsed", "residual", 0.04)),
        ([1, 1, 101], [1, 0.0], [1, 1], ("exploding", "stream", 101.0)),
        ([1, 1, 0.0], [1, 0.0], [0, 0], ("collapsed", "residual", 0.0)),
    ],
)
def test_verdicts_of_profiles_written_by_hand(
    rms: object, residual: object, gradient: object, expected: tuple[str, str, float]
) -> None:
    arrays = [np.array(part, dtype=float) for part in (rms, residual, gradient)]
    verdict = health(*arrays)
    assert (verdict.word, verdict.measure) == expected[:2]
    assert verdict.value == pytest.approx(expected[2])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_profile_that_is_not_finite_has_exploded(bad: float) -> None:
    assert health(np.array([1, bad, 1.0]), GOOD, GOOD).word == "exploding"
    verdict = health(GOOD, GOOD, np.array([1.0, bad, 1.0]))
    assert (verdict.word, verdict.measure) == ("exploding", "gradient")


def test_without_any_gradient_branches_are_switched_off() -> None:
    assert health(GOOD, GOOD, np.zeros(3)).word == "healthy"
    assert health(GOOD, GOOD, np.array([0.0, 0.0, 1.0])).word == "vanishing"
