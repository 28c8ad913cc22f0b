"""Stability in numbers: rates that learn, sensitivity to the rate, spikes of the loss."""

import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from resformer.stats import Floats
from resformer.stats.stability import (
    SPIKE,
    WINDOW,
    learning_share,
    lr_sensitivity,
    spikes,
)

NAN, INF = np.nan, np.inf
RAN = np.ones((2, 4), dtype=bool)


def test_a_rate_learns_under_19_twentieths_of_the_blind_loss() -> None:
    loss_SR = np.array([[0.1, 1.89, 1.9, NAN], [0.1, 0.1, 0.1, INF]])
    assert learning_share(loss_SR, RAN, blind_loss=2.0) == (2 / 4 + 3 / 4) / 2


def test_rates_that_did_not_run_are_no_part_of_the_share() -> None:
    ran_SR = np.array([[True, True, False, False]])
    assert learning_share(np.array([[0.1, 5.0, NAN, NAN]]), ran_SR, blind_loss=2.0) == 0.5


def test_sensitivity_by_hand() -> None:
    """Wortsman et al. 2023, section 2.2: E[min(loss, initial loss)] - min loss."""
    loss_SR = np.array([[1.0, 2.0, 9.0, NAN], [0.5, 0.5, 0.5, 0.5]])
    sensitivity_S = lr_sensitivity(loss_SR, np.full((2, 4), 3.0), RAN)
    assert sensitivity_S.tolist() == [(1 + 2 + 3 + 3) / 4 - 1, 0.0]
    ran_SR = np.array([[False, True, True, False]])
    assert lr_sensitivity(loss_SR[:1], np.full((1, 4), 3.0), ran_SR).tolist() == [0.5]


def naive_spikes(losses: list[float]) -> tuple[int, int]:
    half = WINDOW // 2
    judged = range(half, len(losses) - half)
    above = [
        losses[at] > statistics.median(losses[at - half : at + half + 1]) + SPIKE for at in judged
    ]
    return sum(above), len(judged)


@settings(max_examples=30, deadline=None)
@given(loss_G=hnp.arrays(np.float64, st.integers(0, 320), elements=st.floats(0, 1, width=32)))
def test_spikes_are_those_of_the_definition(loss_G: Floats) -> None:
    assert spikes(loss_G) == naive_spikes(loss_G.tolist())


def test_a_falling_loss_has_no_spike_and_a_jump_is_one() -> None:
    falling = np.linspace(3.0, 0.0, 1000)
    assert spikes(falling) == (0, 800)
    jumping = falling.copy()
    jumping[[50, 400, 600]] += [9.0, 0.2, 0.05]
    assert spikes(jumping) == (1, 800)  # at step 50 there is no whole window, 0.05 is noise
    jumping[500] = NAN
    assert spikes(jumping) == (2, 800)
    assert spikes(falling[:200]) == (0, 0)


def test_spikes_do_not_depend_on_the_level_of_the_loss() -> None:
    noise = np.random.default_rng(0).exponential(0.05, 1000)
    assert spikes(noise) == pytest.approx(spikes(noise + 7.0))
