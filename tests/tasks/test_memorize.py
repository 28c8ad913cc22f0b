import math

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.memorize import Memorize, values


def test_a_key_has_one_value_for_every_member_in_training_and_held_out() -> None:
    task = Memorize(length=20, symbols=7)
    facts: dict[int, int] = {}
    for purpose, seeds in (("batch", [0, 1, 2]), ("held-out", [0])):
        source, target = task.draw(rng.key(torch.tensor(seeds), purpose), 30)
        for key, value in zip(source.flatten().tolist(), target.flatten().tolist(), strict=True):
            assert facts.setdefault(key, value) == value
    assert sorted(facts) == list(range(7))
    assert sorted(facts.values()) == list(range(7, 14))


def test_the_map_is_a_constant_of_the_number_of_keys() -> None:
    """Written down: another map would be another task."""
    assert values(4).tolist() == [6, 7, 5, 4]
    assert values(8).tolist() == [10, 11, 9, 15, 12, 8, 13, 14]


def test_the_sequence_its_docstring_draws() -> None:
    source, target = Memorize(length=4, symbols=4).draw(rng.key(torch.tensor([1]), "test"), 4000)
    drawn = dict(zip(map(tuple, source[0].tolist()), target[0].tolist(), strict=True))
    assert drawn[2, 0, 3, 2] == [5, 6, 4, 5]


def test_models_of_both_kinds_answer_in_place() -> None:
    task = Memorize(length=16, symbols=64)
    assert task.num_tokens("causal") == task.num_tokens("bidirectional") == 16
    assert task.num_inputs == 64**16
    assert task.blind_loss() == math.log(64)


@pytest.mark.parametrize(("length", "symbols"), [(0, 9), (513, 9), (4, 1), (4, 5000)])
def test_impossible_settings_are_refused(length: int, symbols: int) -> None:
    with pytest.raises(UserError, match=r"task\.(length|symbols)="):
        Memorize(length=length, symbols=symbols)
