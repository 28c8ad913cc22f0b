import math

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.depo import Depo


@pytest.mark.parametrize(("length", "hops", "queries"), [(3, 2, 3), (7, 3, 7), (14, 13, 10)])
def test_every_query_asks_for_a_successor(length: int, hops: int, queries: int) -> None:
    task = Depo(length=length, hops=hops)
    source, target = task.draw(rng.key(torch.tensor([1, 2]), "test"), 50)
    numbers = set()
    for row, targets in zip(
        source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
    ):
        edges = dict(zip(row[0 : 2 * length : 2], row[1 : 2 * length : 2], strict=True))
        assert len(edges) == len(set(edges.values())) == length
        at, reached = 0, set()
        while at not in reached:
            reached.add(at)
            at = edges[at]
        assert len(reached) == length, "one cycle"
        assert targets[: 2 * length] == [-1] * 2 * length
        queried = row[2 * length :]
        assert len(queried) == 2 * queries
        for place in range(0, len(queried), 2):
            k, name = queried[place] - length + 1, queried[place + 1]
            numbers.add(k)
            for _ in range(k):
                name = edges[name]
            assert targets[2 * length + place : 2 * length + place + 2] == [-1, name]
    assert numbers == set(range(1, hops + 1))


def test_the_sequence_its_docstring_draws() -> None:
    source, target = Depo(length=3, hops=2).draw(rng.key(torch.tensor([1]), "test"), 15_000)
    drawn = dict(zip(map(tuple, source[0].tolist()), target[0].tolist(), strict=True))
    answers = drawn[2, 1, 0, 2, 1, 0, 4, 2, 3, 0, 4, 1]
    assert answers == [-1, -1, -1, -1, -1, -1, -1, 0, -1, 2, -1, 2]


def test_cycles_orders_and_queries_do_not_depend_on_each_other() -> None:
    task = Depo(length=3, hops=1)
    source, _ = task.draw(rng.key(torch.tensor([1]), "test"), 32_400)
    # 2 cycles x 6 orders of 3 edges x 3^3 queries: 324 sources, 100 of each but for chance (σ =
    # 10).
    _, counts = source[0].unique(dim=0, return_counts=True)
    assert len(counts) == task.num_inputs == 324
    assert 50 < counts.min() <= counts.max() < 150


def test_models_of_both_kinds_answer_in_place() -> None:
    task = Depo(length=8, hops=2)
    assert task.num_tokens("causal") == task.num_tokens("bidirectional") == 32
    assert task.blind_loss() == math.log(8)


@pytest.mark.parametrize(("length", "hops"), [(2, 1), (247, 1), (8, 0), (8, 8)])
def test_impossible_settings_are_refused(length: int, hops: int) -> None:
    with pytest.raises(UserError, match=r"task\.(length|hops)="):
        Depo(length=length, hops=hops)
