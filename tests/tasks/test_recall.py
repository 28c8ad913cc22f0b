import math

import pytest
import torch

from resformer.errors import UserError
from resformer.numerics import rng
from resformer.tasks.recall import Recall


def test_every_query_asks_for_the_value_of_its_key() -> None:
    task = Recall(pairs=5, symbols=9)
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
    source, _ = Recall(pairs=2, symbols=2).draw(rng.key(torch.tensor([1]), "test"), 4000)
    # 2 orders of keys x 4 values x 2 orders of queries: 16 sources, 250 of each but for chance (σ =
    # 15).
    _, counts = source[0].unique(dim=0, return_counts=True)
    assert len(counts) == Recall(pairs=2, symbols=2).num_inputs == 16
    assert 180 < counts.min() <= counts.max() < 320


def test_models_of_both_kinds_answer_in_place() -> None:
    assert (
        Recall(pairs=4, symbols=16).num_tokens("causal")
        == Recall(pairs=4, symbols=16).num_tokens("bidirectional")
        == 12
    )
    assert Recall(pairs=4, symbols=16).blind_loss() == math.log(16)


@pytest.mark.parametrize(("pairs", "symbols"), [(0, 4), (171, 4096), (5, 4), (2, 5000), (1, 1)])
def test_impossible_settings_are_refused(pairs: int, symbols: int) -> None:
    with pytest.raises(UserError, match=r"task\.(pairs|symbols)="):
        Recall(pairs=pairs, symbols=symbols)
