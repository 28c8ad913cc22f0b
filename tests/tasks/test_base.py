"""What all tasks share."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from resformer import plugins, streams
from resformer.errors import UserError
from resformer.tasks.base import Task

NAMES = plugins.names("resformer.tasks")


@given(
    name=st.sampled_from(NAMES), length=st.integers(1, 12), symbols=st.integers(2, 20), seed=st.integers(0, 2**32 - 1)
)
def test_sequences_are_made_of_symbols_and_one_separator(name: str, length: int, symbols: int, seed: int) -> None:
    task = plugins.load("resformer.tasks", name, Task)(length, symbols)
    source, target = task.draw(streams.stream(torch.tensor([seed]), "test"), 5)
    assert source.shape == target.shape == (1, 5, length)
    assert int(source.min()) >= 0
    assert int(source.max()) < symbols
    for attention in ("causal", "bidirectional"):
        reads = task.reads(source, target, attention)
        assert reads.shape[-1] == task.tokens(attention)
        assert torch.equal(reads[..., :length], source)
        assert int((reads == symbols).sum()) == (5 if attention == "causal" else 0)
        assert int(reads.max()) < task.vocabulary


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_is_fresh_at_every_step(name: str) -> None:
    task = plugins.load("resformer.tasks", name, Task)(8, 16)
    seed = torch.tensor([0])
    batches = [task.draw(streams.stream(seed, "batch", step), 32)[0] for step in range(20)]
    rows = {tuple(row) for batch in batches for row in batch[0].tolist()}
    assert len(rows) == 20 * 32


@pytest.mark.parametrize(
    ("length", "symbols", "message"),
    [(0, 5, "task.length=0"), (513, 5, "task.length=513"), (4, 1, "task.symbols=1"), (4, 5000, "task.symbols=5000")],
)
def test_a_task_longer_or_smaller_than_it_can_be(length: int, symbols: int, message: str) -> None:
    for name in NAMES:
        with pytest.raises(UserError, match=message):
            plugins.load("resformer.tasks", name, Task)(length, symbols)
