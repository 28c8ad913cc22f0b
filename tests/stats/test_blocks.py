"""The block of seeds and learning rates that a comparison takes."""

from hypothesis import given
from hypothesis import strategies as st

from resformer.stats.blocks import Block, shared_block

A, B, C = 1e-3, 3e-3, 1e-2
ARM = st.dictionaries(st.integers(0, 9), st.sets(st.sampled_from([A, B, C]), min_size=1))


def arm(seeds: range, *rates: float) -> dict[int, set[float]]:
    return {seed: {*rates} for seed in seeds}


def sizes(block: Block | None) -> tuple[list[float], int, int]:
    assert block is not None
    return block.rates, len(block.first), len(block.second)


def test_full_grids_are_taken_whole() -> None:
    assert sizes(shared_block(arm(range(6), A, B), arm(range(5), A, B))) == ([A, B], 6, 5)


def test_a_pilot_of_one_seed_at_many_rates_does_not_displace_the_test() -> None:
    pilot = {**arm(range(5), B), 0: {A, B, C, 0.03, 0.1, 0.3}}
    assert sizes(shared_block(pilot, pilot)) == ([B], 5, 5)


def test_one_curious_seed_does_not_displace_the_others() -> None:
    full, one = arm(range(10), A, B, C), {**arm(range(10), A), 0: {A, B, C}}
    assert sizes(shared_block(full, one)) == ([A], 10, 10)


def test_many_seeds_against_one_give_way_to_a_block_of_both() -> None:
    first = {**arm(range(20), A), **arm(range(5), A, B)}
    second = {0: {A}, **arm(range(1, 6), B)}
    assert sizes(shared_block(first, second)) == ([B], 5, 5)


def test_halves_at_rates_of_their_own_are_compared_half_by_half() -> None:
    halves = {**arm(range(3), A), **arm(range(3, 6), B)}
    assert sizes(shared_block(halves, halves))[1:] == (3, 3)


@given(ARM, ARM)
def test_every_seed_of_a_block_ran_at_every_rate_and_there_is_one_if_a_rate_is_shared(
    first: dict[int, set[float]], second: dict[int, set[float]]
) -> None:
    block = shared_block(first, second)
    shared = set().union(*first.values()) & set().union(*second.values())
    assert (block is None) == (not shared)
    if block is not None:
        for of_arm, seeds in ((first, block.first), (second, block.second)):
            assert seeds == sorted(s for s, ran in of_arm.items() if {*block.rates} <= ran)
            assert seeds
