import math

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.base import IGNORE_INDEX
from resformer.tasks.state import State, products

ORDERS = {"Z2": 2, "Z5": 5, "Z60": 60, "S3": 6, "S4": 24, "S5": 120, "A4": 12, "A5": 60}


@pytest.mark.parametrize("group", ORDERS)
def test_the_table_is_that_of_a_group(group: str) -> None:
    table, order = products(group), ORDERS[group]
    elements = torch.arange(order)
    assert table.shape == (order, order)
    assert torch.equal(table[0], elements)
    assert torch.equal(table[:, 0], elements)
    for line in (*table, *table.T):
        assert torch.equal(line.sort().values, elements)
    some = torch.randint(0, order, (3, 2000), generator=torch.Generator().manual_seed(0))
    f, g, h = some
    assert torch.equal(table[table[f, g], h], table[f, table[g, h]])
    assert torch.equal(table, table.T) == group.startswith("Z")


@pytest.mark.parametrize("group", ["Z2", "Z5", "Z60", "S3", "A5", "S5"])
def test_the_state_after_every_element(group: str) -> None:
    task, table = State(group=group, length=6), products(group)
    source, target = task.draw(rng.key(torch.tensor([1, 2]), "test"), 20)
    for word, states in zip(
        source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
    ):
        at = 0
        for element, state in zip(word, states, strict=True):
            at = int(table[at, element])
            assert state == at


def test_the_sequence_its_docstring_draws() -> None:
    word, states = [1, 1, 0, 1], [1, 0, 0, 1]
    table = products("Z2")
    assert [int(table[before, g]) for before, g in zip([0, *states], word, strict=False)] == states


@pytest.mark.parametrize("group", ["Z2", "Z5", "Z60", "S3", "A5", "S5"])
def test_a_causal_model_answers_in_place_after_every_prefix(group: str) -> None:
    task = State(group=group, length=6)
    source, target = task.draw(rng.key(torch.tensor([1]), "test"), 20)
    assert task.num_tokens("causal") == task.num_tokens("bidirectional") == 6
    assert torch.equal(task.inputs(source, target, "causal"), source)
    assert torch.equal(target[..., 0], source[..., 0])
    assert (target != IGNORE_INDEX).all()
    assert task.blind_loss() == math.log(ORDERS[group])


@pytest.mark.parametrize("group", ["Z1", "Z61", "Z02", "S2", "S6", "A3", "Q8", "", "../S3", "S3 "])
def test_an_unknown_group_is_refused(group: str) -> None:
    with pytest.raises(UserError, match=r"task\.group=.*: must be Z2 to Z60, S3 to S5, A4 or A5"):
        State(group=group, length=6)


@pytest.mark.parametrize("length", [0, 513])
def test_an_impossible_length_is_refused(length: int) -> None:
    with pytest.raises(UserError, match=r"task\.length="):
        State(group="S3", length=length)
