"""The contract of the population, one test per line of it; over all settings in `test_contract`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes
from support.schemes import fitting_15, name_of, schemes

from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.numerics.parameters import ParameterSpec, initial_values, unpack
from resformer.residuals.add import Add
from resformer.residuals.base import Architecture, Residual
from resformer.tasks.base import Task
from resformer.tasks.copy import Copy
from resformer.tasks.recall import Recall
from resformer.training.loop import Trained, Training


@pytest.fixture(params=[False, True], ids=["eager", "compiled"])
def shape(shape: Shape, request: pytest.FixtureRequest) -> Shape:
    if request.param:
        request.getfixturevalue("kernels")
    return shapes.changed(shape, compile=request.param)


def trained(shape: Shape, members: Sequence[Member], dtype: torch.dtype = torch.float32) -> Trained:
    return Training(shape, members, dtype=dtype).run()


def curves(outcome: Trained, seed: int, lr: float) -> np.ndarray:
    table = pd.DataFrame(outcome.curves)
    return table[(table["seed"] == seed) & (table["lr"] == lr)].to_numpy()


def same(left: np.ndarray, right: np.ndarray) -> bool:
    return np.array_equal(left, right, equal_nan=True)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_every_scheme_trains_in_bf16(residual: Residual[Any]) -> None:
    shape = shapes.shape(residual=residual, norm=residual.own_norm, precision="bf16", steps=5)
    outcome = trained(shape, [Member(seed=0, lr=1e-3)])
    assert np.isfinite(outcome.runs["final_loss"]).all()


MEMBERS = [Member(seed=seed, lr=lr) for lr in (1e-3, 1e-2) for seed in (0, 1, 7)]


@pytest.mark.parametrize("width", [16, 32, 36])
def test_together_equals_alone_bit_for_bit(shape: Shape, width: int) -> None:
    shape = shapes.changed(shape, width=width)
    together = trained(shape, MEMBERS)
    for size in (1, 2, 3):
        for start in range(0, len(MEMBERS), size):
            part = MEMBERS[start : start + size]
            apart = trained(shape, part)
            for member in part:
                assert same(
                    curves(apart, member.seed, member.lr), curves(together, member.seed, member.lr)
                )


CLASSIC = {"width": 15, "heads": 3}
MODERN = {
    "width": 18,  # six channels a head, since rotary positions turn pairs
    "heads": 3,
    "hidden": 33,
    "norm_kind": "rms",
    "qk_norm": True,
    "bias": False,
    "position": "rope",
    "rope_base": 100.0,
    "activation": "swiglu",
}
ODD = {
    "copy": (Copy(length=5, symbols=8), {**CLASSIC, "activation": "relu"}),
    "recall": (Recall(pairs=3, symbols=9, rebinds=0), {**CLASSIC, "activation": "gelu"}),
    "modern": (Copy(length=5, symbols=8), MODERN),
}


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
@pytest.mark.parametrize(("task", "block"), ODD.values(), ids=ODD)
def test_no_shape_is_too_odd_for_the_same_bits(
    shape: Shape, task: Task, block: dict[str, Any], residual: Residual[Any]
) -> None:
    """A batch of 7 and a width of 15 or 18: a member's matrices do not begin where a vector
    register would like.
    """
    odd = {"norm": residual.own_norm, "attention": task.attention, **block}
    model = dataclasses.replace(shape.model, **odd)
    settings = dataclasses.replace(shape.train, batch=7, steps=5)
    residual = fitting_15(residual)
    shape = dataclasses.replace(shape, task=task, model=model, residual=residual, train=settings)
    together = trained(shape, MEMBERS[:3])
    assert same(curves(trained(shape, [MEMBERS[1]]), 1, 1e-3), curves(together, 1, 1e-3))


def test_together_equals_alone_in_float64(shape: Shape) -> None:
    shape = shapes.changed(shape, steps=40)
    together = trained(shape, MEMBERS, torch.float64)
    for member in MEMBERS:
        apart = curves(trained(shape, [member], torch.float64), member.seed, member.lr)
        # 40 steps of float64: round-off of 1e-16 a step, amplified by training by far less than
        # 1e5.
        np.testing.assert_allclose(
            apart, curves(together, member.seed, member.lr), rtol=1e-10, atol=1e-12
        )


def test_bits_do_not_change_when_others_leave(shape: Shape) -> None:
    """A learning rate that breaks at once makes its members leave at the first evaluation."""
    leaving = [Member(seed=seed, lr=1e30) for seed in (3, 4)]
    mixed = trained(shape, [MEMBERS[0], leaving[0], MEMBERS[1], leaving[1], MEMBERS[4]])
    assert [mixed.runs["outcome"][row] for row in (1, 3)] == ["diverged"] * 2
    assert mixed.runs["last_step"] == [20, 5, 20, 5, 20]
    for member in (MEMBERS[0], MEMBERS[1], MEMBERS[4]):
        assert same(
            curves(trained(shape, [member]), member.seed, member.lr),
            curves(mixed, member.seed, member.lr),
        )


def test_permuting_members_permutes_results(shape: Shape) -> None:
    order = [4, 2, 0, 5, 1, 3]
    straight, shuffled = trained(shape, MEMBERS), trained(shape, [MEMBERS[row] for row in order])
    for name, column in straight.runs.items():
        assert [column[row] for row in order] == shuffled.runs[name]
    for member in MEMBERS:
        assert same(
            curves(straight, member.seed, member.lr), curves(shuffled, member.seed, member.lr)
        )


def test_learning_rate_zero_does_not_move(shape: Shape) -> None:
    still = curves(trained(shape, [Member(seed=0, lr=0.0), Member(seed=1, lr=1e-2)]), 0, 0.0)
    held_out = pd.DataFrame(still)[5].dropna()
    assert len(held_out) == 5
    assert held_out.nunique() == 1


def test_a_member_that_reaches_nan_leaves_the_others_bit_for_bit_unchanged(shape: Shape) -> None:
    """NaN in one member's weights, through forward, loss, gradient, clipping and the optimiser."""
    transformer = shape.transformer()
    flat_PN = initial_values(transformer.parameter_specs, torch.arange(3), torch.float32)
    inputs, targets = _batch(shape, torch.arange(3))
    clean = torch.autograd.grad(
        _losses(shape, flat_PN.requires_grad_(), inputs, targets).sum(), flat_PN
    )[0]
    broken_PN = flat_PN.detach().clone()
    broken_PN[1, ::7] = float("nan")
    loss_P = _losses(shape, broken_PN.requires_grad_(), inputs, targets)
    broken = torch.autograd.grad(loss_P.sum(), broken_PN)[0]
    assert torch.isnan(loss_P).tolist() == [False, True, False]
    assert torch.equal(broken[[0, 2]], clean[[0, 2]])


def _batch(shape: Shape, seeds: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    source, target = shape.task.draw(rng.key(seeds, "test"), shape.train.batch)
    return shape.task.inputs(source, target, shape.model.attention), target


def _losses(
    shape: Shape, flat_PN: torch.Tensor, inputs: torch.Tensor, targets: torch.Tensor
) -> torch.Tensor:
    logits = shape.transformer().forward(flat_PN, inputs)
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 2), targets.flatten(), reduction="none"
    )
    return each.view(len(flat_PN), -1).mean(1)


def _weights(residual: Residual[Any], depth: int) -> list[ParameterSpec]:
    shape = shapes.shape(residual=residual, depth=depth, norm=residual.own_norm)
    return shape.transformer().parameter_specs


def test_initial_weights_depend_on_seed_and_name_only() -> None:
    base = unpack(
        _weights(Add(), 3), initial_values(_weights(Add(), 3), torch.tensor([5, 9]), torch.float64)
    )
    for residual in schemes():
        for depth in (1, 6):
            weights = _weights(residual, depth)
            draws = {spec.name: spec.draw for spec in weights}
            architecture = Architecture(
                depth=depth,
                distinct_blocks=depth,
                width=16,
                heads=2,
                tokens=12,
                causal=True,
                bias=True,
            )
            tensors = unpack(
                weights, initial_values(weights, torch.tensor([2, 9, 5]), torch.float64)
            )
            for shared in set(tensors) & set(base):
                group = shared.split(".")[1]
                matrix = shared.startswith("block") and shared.endswith(".matrix")
                if matrix and draws[shared] != "uniform":
                    continue
                gained = matrix or shared.startswith("embedding")
                gain = 1.0
                if gained:
                    gain = residual.gain(group if matrix else "embedding", architecture)
                torch.testing.assert_close(
                    tensors[shared][[2, 1]], base[shared] * gain, rtol=1e-12, atol=0
                )


def test_data_depend_on_seed_step_and_task_only(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sources that reach training are the same for other depths, schemes, rates, batch mates
    and attention.
    """
    drawn: dict[str, list[torch.Tensor]] = {}
    draw = Copy.draw

    def record(label: str, varied: Shape, members: Sequence[Member]) -> None:
        def keep(
            task: Copy, state_P: torch.Tensor, sequences: int
        ) -> tuple[torch.Tensor, torch.Tensor]:
            source, target = draw(task, state_P, sequences)
            # The held-out set is one row; the data of several steps are a row per step and member.
            each = source if len(source) == 1 else source.unflatten(0, (-1, len(members)))[:, -1]
            drawn.setdefault(label, []).extend(each.clone())
            return source, target

        monkeypatch.setattr(Copy, "draw", keep)
        trained(varied, members)

    record("one", shape, [Member(seed=3, lr=1e-3)])
    deeper = dataclasses.replace(shape.model, depth=4, attention="bidirectional", norm="pre")
    record(
        "other",
        dataclasses.replace(shape, model=deeper),
        [Member(seed=0, lr=1e-2), Member(seed=3, lr=1e-2)],
    )
    record("another seed", shape, [Member(seed=4, lr=1e-3)])
    assert all(torch.equal(*pair) for pair in zip(drawn["one"], drawn["other"], strict=True))
    held_out, *batches = drawn["one"]
    assert torch.equal(held_out, drawn["another seed"][0])
    assert not any(
        torch.equal(*pair) for pair in zip(batches, drawn["another seed"][1:], strict=True)
    )
    assert (
        len({tuple(batch.flatten().tolist()) for batch in batches})
        == len(batches)
        >= shape.train.steps
    )


@pytest.mark.parametrize("norm", ["none", "pre", "post", "sandwich", "pre_post", "branch"])
def test_causal_output_has_no_gradient_to_later_inputs(shape: Shape, norm: str) -> None:
    """Token embeddings are made to differ position by position, so that a gradient says which
    position it reached.
    """
    shape = shapes.changed(shape, norm=norm)
    transformer = shape.transformer()
    flat_PN = initial_values(
        transformer.parameter_specs, torch.arange(2), torch.float64
    ).requires_grad_()
    inputs, _ = _batch(shape, torch.arange(2))
    logits = transformer.forward(flat_PN, inputs)
    places = {weight.name: number for number, weight in enumerate(transformer.parameter_specs)}
    sizes = [weight.size for weight in transformer.parameter_specs]
    first = transformer.tokens - transformer.num_targets
    for position in range(transformer.num_targets):
        grad = torch.autograd.grad(logits[:, :, position].sum(), flat_PN, retain_graph=True)[0]
        position_PTD = grad.split_with_sizes(sizes, dim=1)[places["embedding.position"]].view(
            2, transformer.tokens, -1
        )
        assert not position_PTD[:, first + position + 1 :].any()
        assert position_PTD[:, : first + position + 1].abs().sum(dim=-1).gt(0).all()
