"""The contract of all tasks."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf

from resformer import plugins
from resformer.errors import UserError
from resformer.model.objective import loss
from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.plugins import config_folder
from resformer.tasks.base import IGNORE_INDEX, SequenceToSequence, Task

NAMES = sorted(plugins.own_names("resformer.tasks"))
TRANSCRIPTIONS = [
    name
    for name in NAMES
    if issubclass(plugins.load("resformer.tasks", name, Task), SequenceToSequence)  # type: ignore[type-abstract]
]


def task(name: str) -> Task:
    """The task as its YAML has it."""
    own: Any = OmegaConf.to_container(OmegaConf.load(config_folder() / "task" / f"{name}.yaml"))
    settings = {key: value for key, value in own["task"].items() if key != "name"}
    return plugins.load("resformer.tasks", name, Task)(**settings).resolved()  # type: ignore[type-abstract]


APART = [name for name in NAMES if task(name).num_held_out is not None]
ENDLESS = [name for name in NAMES if name not in APART]
"""Tasks whose held-out set is apart from what is trained on, and the others."""
SYMBOLS = [name for name in NAMES if task(name).numbers is None]
NUMBERS = [name for name in NAMES if name not in SYMBOLS]
"""Tasks whose tokens are symbols, and those whose tokens are real numbers."""


@pytest.mark.parametrize(
    ("name", "attention"), [(name, kind) for name in SYMBOLS for kind in task(name).attentions]
)
def test_inputs_and_scored_targets_by_attention(name: str, attention: str) -> None:
    one = task(name)
    source, target = one.draw(rng.key(torch.tensor([3, 4]), "test"), 5)
    assert source.shape == target.shape == (2, 5, one.sequence_length)
    assert 0 <= int(source.min()) <= int(source.max()) < one.num_symbols
    assert IGNORE_INDEX <= int(target.min()) <= int(target.max()) < one.num_symbols
    inputs = one.inputs(source, target, attention)
    assert inputs.shape == (2, 5, one.num_tokens(attention))
    assert 0 <= int(inputs.min()) <= int(inputs.max()) < one.vocabulary
    assert torch.equal(inputs[..., : one.sequence_length], source)
    assert int((inputs == one.vocabulary - 1).sum()) == (0 if one.in_place(attention) else 10)
    assert one.in_place("bidirectional")


@pytest.mark.parametrize("name", NUMBERS)
def test_inputs_and_scored_targets_of_real_numbers(name: str) -> None:
    one = task(name)
    source, target = one.draw(rng.key(torch.tensor([3, 4]), "test"), 5)
    assert source.dtype == target.dtype == torch.float32
    assert source.shape == (2, 5, one.sequence_length, one.numbers)
    assert target.shape == (2, 5, one.sequence_length)
    assert source.isfinite().all()
    assert (target.isnan() | target.isfinite()).all()
    for attention in one.attentions:
        assert torch.equal(one.inputs(source, target, attention), source)
        assert one.num_tokens(attention) == one.sequence_length
    assert one.vocabulary == 1


@given(
    name=st.sampled_from(TRANSCRIPTIONS),
    length=st.integers(1, 12),
    symbols=st.integers(2, 20),
    seed=st.integers(0, 2**32 - 1),
)
def test_transcriptions_of_any_size(name: str, length: int, symbols: int, seed: int) -> None:
    one = plugins.load("resformer.tasks", name, SequenceToSequence)(length=length, symbols=symbols)
    source, target = one.draw(rng.key(torch.tensor([seed]), "test"), 5)
    assert source.shape == target.shape == (1, 5, length)
    assert 0 <= int(source.min()) <= int(source.max()) < symbols
    assert one.num_inputs == symbols**length


@pytest.mark.parametrize("name", ENDLESS)
def test_a_batch_is_fresh_at_every_step(name: str) -> None:
    one, seed = task(name), torch.tensor([0])
    batches = [one.draw(rng.key(seed, "batch", step), 32)[0] for step in range(20)]
    rows = {tuple(row) for batch in batches for row in batch[0].flatten(1).tolist()}
    # Of the fewest sources that a task may have, 12,800, 640 draws are 16 twice on average.
    assert len(rows) > 600


@pytest.mark.parametrize("name", APART)
def test_a_held_out_set_apart_is_never_trained_on(name: str) -> None:
    one, key = task(name), rng.key(torch.tensor([0]), "test")
    assert one.num_held_out is not None
    sources = one.draw(key, 2000)[0], one.draw_held_out(key, min(one.num_held_out, 200))[0]
    trained, held_out = ({tuple(row) for row in source[0].tolist()} for source in sources)
    assert len(held_out) == min(one.num_held_out, 200)
    assert not trained & held_out


@pytest.mark.parametrize("name", ENDLESS)
def test_a_held_out_set_that_is_not_apart_is_drawn_as_any(name: str) -> None:
    one, key = task(name), rng.key(torch.tensor([5]), "held-out")
    for held_out, drawn in zip(one.draw_held_out(key, 8), one.draw(key, 8), strict=True):
        torch.testing.assert_close(held_out, drawn, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", NUMBERS)
def test_blind_loss_of_real_numbers_is_their_variance(name: str) -> None:
    one = task(name)
    _, target = one.draw(rng.key(torch.tensor([5]), "test"), 40_000)
    # A sequence's mean square varies by less than its mean: 0.5 % are one standard error.
    assert float(target.square().nanmean()) == pytest.approx(one.blind_loss(), rel=0.02)
    assert abs(float(target.nanmean())) < 0.02 * one.blind_loss()


@pytest.mark.parametrize("name", SYMBOLS)
def test_blind_loss_is_what_positions_alone_leave(name: str) -> None:
    """The mean over scored targets of the entropy of the answers at their position, estimated from
    40,000 sequences; of all sources, also of those that are not trained on.
    """
    one, key = task(name), rng.key(torch.tensor([5]), "test")
    apart = one.num_held_out or 0
    drawn = [(1 - apart / one.num_inputs, one.draw(key, 40_000)[1][0])]
    if apart:
        drawn.append((apart / one.num_inputs, one.draw_held_out(key, min(apart, 40_000))[1][0]))
    total, scored = 0.0, 0.0
    for place in range(one.sequence_length):
        counts = sum(
            weight * 40_000 / len(target) * _counts(target[:, place], one.num_symbols)
            for weight, target in drawn
        )
        count = max(1.0, float(counts.sum()))
        entropy = float(-torch.special.xlogy(counts / count, counts / count).sum())
        # An estimated entropy is too low by about (values - 1) / (2 · count), Miller & Madow 1955.
        total += count * entropy + (int((counts > 0).sum()) - 1) / 2
        scored += float(counts.sum())
    # The rest is chance: about sd(ln share) / sqrt(targets), and less where answers are even.
    assert one.blind_loss() == pytest.approx(total / scored, abs=2e-3)


def _counts(targets: torch.Tensor, symbols: int) -> torch.Tensor:
    """Number of times that each symbol is scored."""
    return targets[targets != IGNORE_INDEX].bincount(minlength=symbols).double()


def test_a_target_of_minus_one_is_not_scored() -> None:
    logits = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    targets = torch.tensor([[[0, -1, 2, -1]] * 3, [[1, 2, 3, 4]] * 3])
    each = torch.log_softmax(logits, -1)
    first = -(each[0, :, 0, 0] + each[0, :, 2, 2]).sum() / 6
    second = -sum(each[1, :, place, place + 1].sum() for place in range(4)) / 12
    torch.testing.assert_close(loss(logits, targets), torch.stack([first, second]))


def test_a_real_target_of_nan_is_not_scored() -> None:
    outputs = torch.randn(2, 3, 4, 1, dtype=torch.float64, requires_grad=True)
    targets = torch.randn(2, 3, 4)
    targets[0, :, 1:3] = torch.nan
    error = (outputs[..., 0] - targets.double()).square()
    scored = torch.stack([error[0, :, [0, 3]].mean(), error[1].mean()])
    torch.testing.assert_close(loss(outputs, targets), scored)
    (gradient,) = torch.autograd.grad(loss(outputs, targets).sum(), outputs)
    assert gradient.isfinite().all()
    assert not gradient[0, :, 1:3].any()


def test_too_few_different_sources_are_refused(shape: Shape) -> None:
    with pytest.raises(
        UserError,
        match=r"task\.length=3, task\.symbols=8: there are 512 different sources; .* 1,600",
    ):
        dataclasses.replace(shape, task=dataclasses.replace(shape.task, length=3))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("length", "symbols", "message"),
    [
        (0, 5, "task.length=0"),
        (513, 5, "task.length=513"),
        (4, 1, "task.symbols=1"),
        (4, 5000, "task.symbols=5000"),
    ],
)
def test_a_task_too_long_or_too_small_is_refused(length: int, symbols: int, message: str) -> None:
    for name in TRANSCRIPTIONS:
        with pytest.raises(UserError, match=message):
            plugins.load("resformer.tasks", name, SequenceToSequence)(
                length=length, symbols=symbols
            )
