import hashlib
import math
from collections import Counter

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.recall import Recall


def test_every_query_asks_for_the_value_of_its_key() -> None:
    task = Recall(pairs=5, symbols=9, rebinds=0)
    source, target = task.draw(rng.key(torch.tensor([1, 2]), "test"), 50)
    for row, targets in zip(
        source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
    ):
        keys, values, queries = row[0:10:2], row[1:10:2], row[10:]
        assert len(set(keys)) == 5
        assert sorted(queries) == sorted(keys)
        assert all(key < 9 <= value for key, value in zip(keys, values, strict=True))
        assert targets[:10] == [-1] * 10
        assert targets[10:] == [dict(zip(keys, values, strict=True))[key] for key in queries]


def test_keys_values_and_order_do_not_depend_on_each_other() -> None:
    source, _ = Recall(pairs=2, symbols=2, rebinds=0).draw(rng.key(torch.tensor([1]), "test"), 4000)
    # 2 orders of keys x 4 values x 2 orders of queries: 16 sources, 250 of each but for chance (σ =
    # 15).
    _, counts = source[0].unique(dim=0, return_counts=True)
    assert len(counts) == Recall(pairs=2, symbols=2, rebinds=0).num_inputs == 16
    assert 180 < counts.min() <= counts.max() < 320


@pytest.mark.parametrize("rebinds", [1, 3])
def test_every_query_asks_for_the_last_value_of_its_key(rebinds: int) -> None:
    task = Recall(pairs=5, symbols=9, rebinds=rebinds)
    source, target = task.draw(rng.key(torch.tensor([1, 2]), "test"), 50)
    bound = 2 * 5 * (1 + rebinds)
    earlier = 0
    for row, targets in zip(
        source.flatten(0, 1).tolist(), target.flatten(0, 1).tolist(), strict=True
    ):
        keys, values, queries = row[0:bound:2], row[1:bound:2], row[bound:]
        assert set(Counter(keys).values()) == {1 + rebinds}
        assert sorted(queries) == sorted(set(keys))
        assert all(key < 9 <= value for key, value in zip(keys, values, strict=True))
        assert targets[:bound] == [-1] * bound
        # A dict keeps the last value of a key.
        assert targets[bound:] == [dict(zip(keys, values, strict=True))[key] for key in queries]
        earlier += len(set(keys[:5])) < 5
    assert earlier > 50, "bindings are in any order, not one round after another"


def test_bindings_of_a_key_are_in_any_order() -> None:
    task = Recall(pairs=2, symbols=2, rebinds=1)
    source, _ = task.draw(rng.key(torch.tensor([1]), "test"), 38_400)
    # 6 orders of bindings x 16 values x 2 orders of queries: 192 sources, 200 of each but for
    # chance (σ = 14).
    _, counts = source[0].unique(dim=0, return_counts=True)
    assert len(counts) == task.num_inputs == 192
    assert 130 < counts.min() <= counts.max() < 270


def test_without_rebinding_keys_are_bound_in_the_order_drawn() -> None:
    """Sources of `rebinds=0` are those of before there was rebinding, by their hash."""
    source, target = Recall(pairs=4, symbols=16, rebinds=0).draw(
        rng.key(torch.tensor([1, 2]), "test"), 20
    )
    both = torch.cat([source, target], -1).numpy().tobytes()
    assert hashlib.sha256(both).hexdigest()[:16] == "b030eee34d3502f1"


def test_models_of_both_kinds_answer_in_place() -> None:
    assert (
        Recall(pairs=4, symbols=16, rebinds=0).num_tokens("causal")
        == Recall(pairs=4, symbols=16, rebinds=0).num_tokens("bidirectional")
        == 12
    )
    assert Recall(pairs=4, symbols=16, rebinds=0).blind_loss() == math.log(16)


@pytest.mark.parametrize(("pairs", "symbols"), [(0, 4), (171, 4096), (5, 4), (2, 5000), (1, 1)])
def test_impossible_settings_are_refused(pairs: int, symbols: int) -> None:
    with pytest.raises(UserError, match=r"task\.(pairs|symbols)="):
        Recall(pairs=pairs, symbols=symbols, rebinds=0)


@pytest.mark.parametrize(("pairs", "rebinds"), [(4, -1), (4, 63), (170, 1)])
def test_an_impossible_number_of_rebinds_is_refused(pairs: int, rebinds: int) -> None:
    with pytest.raises(UserError, match=r"task\.rebinds="):
        Recall(pairs=pairs, symbols=200, rebinds=rebinds)
