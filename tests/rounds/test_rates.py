"""Learning rates that results call for: `member.lr=auto`."""

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import shapes
from support.launches import requested

from resformer.model.shape import Member, Shape
from resformer.rounds.finished import DIGEST, shape_digest
from resformer.rounds.rates import with_rates
from resformer.sweep.rate_grid import HALF_DECADES, start
from resformer.sweep.request import Request

BUDGET = 600
START = start([3e-3])
SHAPE = shapes.changed(shapes.shape(), steps=BUDGET)
OTHER = shapes.changed(SHAPE, norm="pre")
DEEP = shapes.changed(SHAPE, depth=5)
SEEDS = 3

Steps = Mapping[float, float]
"""Steps to solve by learning rate; rates that are not there never solve."""


def auto(*of: Shape, seeds: int = SEEDS) -> Request:
    return replace(requested(of, seeds=seeds, rates=START), auto_rates=frozenset(of))


def results(request: Request, steps: Mapping[tuple[Shape, int], Steps]) -> pd.DataFrame:
    """Rows of all members of a request, of which these solve, by shape and seed."""
    rows = [
        {
            "study": "some",
            "task": "copy",
            "depth": shape.model.depth,
            "residual": "add",
            "norm": "post",
            "shape": number,
            DIGEST: shape_digest(shape),
            "seed": member.seed,
            "lr": member.lr,
            "solved_step": steps[shape, member.seed].get(member.lr, math.nan),
            "outcome": "solved" if member.lr in steps[shape, member.seed] else "unsolved",
            "stalled": False,
            "final_loss": 1.0,
            "final_accuracy": 0.5,
            "job": f"{number}",
            "ms": 1.0,
            "train.steps": BUDGET,
            "parameters": 1,
            "flops_per_step": 1,
            "tokens_per_step": 1,
            "blind_loss": 1.0,
        }
        for number, (shape, members) in enumerate(request.shapes)
        for member in members
    ]
    return pd.DataFrame(rows)


def rates(request: Request, shape: Shape = SHAPE) -> list[float]:
    """Rates of a shape, of which every seed has each once."""
    members = dict(request.shapes)[shape]
    tried = sorted({member.lr for member in members})
    seeds = {member.seed for member in members}
    assert len(members) == len(set(members)) == len(seeds) * len(tried)
    return tried


def rounds(request: Request, steps: Mapping[tuple[Shape, int], Steps]) -> list[Request]:
    """The requests of all rounds, each on the results of those before."""
    grown = [request]
    while (more := with_rates(request, results(grown[-1], steps))) != grown[-1]:
        grown.append(more)
    return grown


def alike(of: Steps, *of_shapes: Shape, seeds: int = SEEDS) -> dict[tuple[Shape, int], Steps]:
    return {(shape, seed): of for shape in of_shapes or (SHAPE,) for seed in range(seeds)}


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ({}, START),
        ({1e-2: 50}, START),
        ({1e-2: 100, 3e-2: 50}, (*START, 1e-1)),
        ({3e-2: 50, 1e-1: 40, 3e-1: 45}, (*START, 1e-1, 3e-1)),
        ({1e-3: 50}, (3e-4, *START)),
        ({1e-3: 50, 3e-4: 45}, (1e-4, 3e-4, *START)),
        (
            {rate: 20 - index for index, rate in enumerate(HALF_DECADES)},
            (*START, 1e-1, 3e-1, 1.0, 3.0, 10.0),
        ),
        ({1e-1: 50}, START),  # nothing solves that would lead there
    ],
)
def test_rates_are_added_until_the_best_is_inside(
    steps: Steps, expected: tuple[float, ...]
) -> None:
    assert rates(rounds(auto(SHAPE), alike(steps))[-1]) == list(expected)


def test_one_seed_that_solves_at_the_edge_is_reason_enough() -> None:
    steps = {**alike({}), (SHAPE, 0): {3e-2: 500}}
    assert rates(rounds(auto(SHAPE), steps)[-1]) == [*START, 1e-1]


def test_each_shape_has_its_own_rates_and_others_keep_theirs() -> None:
    request = replace(auto(SHAPE, DEEP), auto_rates=frozenset({DEEP}))
    last = rounds(request, alike({3e-2: 50}, SHAPE, DEEP))[-1]
    assert (rates(last), rates(last, DEEP)) == ([*START], [*START, 1e-1])


def test_arms_of_a_depth_have_the_same_rates_whichever_calls_for_them() -> None:
    """Else the seeds of one could not be exchanged for those of the other."""
    last = rounds(auto(SHAPE, OTHER), {**alike({3e-2: 50}), **alike({1e-3: 40}, OTHER)})[-1]
    assert rates(last) == rates(last, OTHER) == [3e-4, *START, 1e-1]
    last = rounds(auto(SHAPE, OTHER), {**alike({3e-2: 50}), **alike({}, OTHER)})[-1]
    assert rates(last) == rates(last, OTHER) == [*START, 1e-1]


def test_arms_of_a_depth_wait_for_each_other() -> None:
    request = auto(SHAPE, OTHER)
    rows = results(request, alike({3e-2: 50}, SHAPE, OTHER))
    assert with_rates(request, rows.iloc[:-1]) == request
    assert with_rates(request, rows) != request


def test_a_shape_with_a_missing_result_waits_and_the_others_go_on() -> None:
    request = auto(SHAPE, DEEP)
    rows = results(request, alike({3e-2: 50}, SHAPE, DEEP))
    last = with_rates(request, rows.drop(index=0))
    assert (rates(last), rates(last, DEEP)) == ([*START], [*START, 1e-1])
    assert with_rates(request, pd.DataFrame()) == request


@st.composite
def outcomes(draw: st.DrawFn) -> dict[tuple[Shape, int], Steps]:
    solving = st.dictionaries(
        st.sampled_from(HALF_DECADES), st.integers(1, 50).map(lambda tens: 10.0 * tens)
    )
    return {(shape, seed): draw(solving) for shape in (SHAPE, DEEP) for seed in range(SEEDS)}


@settings(deadline=None, max_examples=40)
@given(outcomes(), st.randoms(use_true_random=False))
def test_rounds_only_add_end_and_depend_on_the_requests_own_results_alone(
    steps: dict[tuple[Shape, int], Steps], chance: random.Random
) -> None:
    request = auto(SHAPE, DEEP)
    grown = rounds(request, steps)
    assert len(grown) <= len(HALF_DECADES)
    for before, after in pairwise(grown):
        for shape in (SHAPE, DEEP):
            assert set(rates(before, shape)) <= set(rates(after, shape))
    for shape in (SHAPE, DEEP):
        tried = rates(grown[-1], shape)
        first = HALF_DECADES.index(tried[0])
        assert HALF_DECADES[first : first + len(tried)] == tuple(tried)
    # From any part of the results, as a crash leaves them, in any order: a part of the same study;
    # and with results of other members beside them the same.
    rows = results(grown[-1], steps)
    part = rows.sample(n=chance.randrange(len(rows)), random_state=chance.randrange(2**31))
    assert all(
        set(of_part) <= set(whole)
        for (_, of_part), (_, whole) in zip(
            with_rates(request, part).shapes, grown[-1].shapes, strict=True
        )
    )
    others = replace(
        grown[-1],
        shapes=[
            (shape, [*members, Member(seed=0, lr=2e-2), *(Member(seed=9, lr=lr) for lr in START)])
            for shape, members in grown[-1].shapes
        ],
    )
    more = results(others, {**steps, (SHAPE, 9): {1e-3: 9.0}, (DEEP, 9): {3e-2: 9.0}})
    again = with_rates(request, more.sample(frac=1.0, random_state=1))
    assert [(shape, set(own)) for shape, own in again.shapes] == [
        (shape, set(own)) for shape, own in grown[-1].shapes
    ]
