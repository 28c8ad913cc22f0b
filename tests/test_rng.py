"""Derived randomness."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from resformer.numerics import rng


def test_split_mix_is_the_published_generator() -> None:
    """The first outputs of the authors' C code for the seed 1234567."""
    expected = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    drawn = rng.split_mix(torch.tensor([1234567]), 5)[0]
    assert [value % 2**64 for value in drawn.tolist()] == expected


@given(seed=st.integers(0, 2**32 - 1), other=st.integers(0, 2**32 - 1), step=st.integers(0, 10**6))
def test_a_members_stream_does_not_depend_on_its_neighbours(
    seed: int, other: int, step: int
) -> None:
    alone = rng.key(torch.tensor([seed]), "batch", step)
    together = rng.key(torch.tensor([other, seed, other]), "batch", step)
    assert torch.equal(rng.integers(alone, 9, 7)[0], rng.integers(together, 9, 7)[1])


def test_seed_purpose_and_indices_all_matter() -> None:
    seeds = torch.arange(50)
    states = [
        rng.key(seeds, purpose, *index)
        for purpose in ("a", "b")
        for index in ((), (0,), (1,), (0, 1), (1, 0))
    ]
    assert len(set(torch.cat(states).tolist())) == 500


@pytest.mark.parametrize("below", [2, 16, 1000])
def test_integers_are_uniform(below: int) -> None:
    counts = torch.bincount(rng.integers(torch.tensor([3]), 200_000, below)[0], minlength=below)
    assert len(counts) == below
    assert stats.chisquare(counts.numpy()).pvalue > 1e-4


def test_nearly_normal_numbers_are_sums_of_twelve() -> None:
    numbers = rng.nearly_normal(torch.tensor([7, 8]), 50_000)
    words = rng.split_mix(torch.tensor([7, 8]), 3 * 50_000).view(2, 50_000, 3)
    pieces = torch.from_numpy(words.numpy().view("<u2").astype("float64")).view(2, 50_000, 12)
    assert torch.equal(numbers, (pieces.sum(-1) - 6 * 65_535) / 65_536)
    one = numbers[0].numpy()
    assert abs(one.mean()) < 5 / 50_000**0.5
    assert abs(one.var() - 1) < 5 * (2 / 50_000) ** 0.5
    # The distance from the normal distribution, and that of so many draws from their own.
    assert stats.kstest(one, "norm").statistic < 0.0025 + 2 / 50_000**0.5


def test_uniform_and_normal_have_their_distributions() -> None:
    state = rng.key(torch.tensor([1]), "test")
    uniform, normal = rng.uniform(state, 100_000)[0].numpy(), rng.normal(state, 100_000)[0].numpy()
    assert stats.kstest(uniform, "uniform", args=(-1, 2)).pvalue > 1e-4
    assert stats.kstest(normal, "norm").pvalue > 1e-4
    assert abs(uniform).max() < 1
