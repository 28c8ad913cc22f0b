"""A whole step in compiled kernels against torch's own operations."""

import dataclasses
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import shapes
from support.grid import APART, VALUES, allowed, shape_of
from support.pairwise import covering
from support.schemes import name_of, scheme, schemes
from torch import Tensor

from resformer.model.objective import loss, target_count
from resformer.model.program import program
from resformer.model.shape import Member, Shape
from resformer.residuals.base import IdentitySkip, Residual, SublayerContext, WeightedSum
from resformer.residuals.rezero import ReZero
from resformer.tasks.copy import Copy
from resformer.training.population import Population

pytestmark = pytest.mark.usefixtures("kernels")

KNOWN = {
    **{name: values for name, values in VALUES.items() if name not in ("precision", "dropout")},
    "residual": tuple(
        name
        for name in VALUES["residual"]
        if isinstance(scheme(name), WeightedSum) and not scheme(name).shapes_attention
    ),
    "norm_kind": ("layer", "rms"),
    "compile": (True,),
    "precision": ("fp32",),
    "dropout": (0.0,),
}


def kernels_and_torch(shape: Shape, dtype: torch.dtype = torch.float64) -> list[list[Tensor]]:
    """Losses, gradients, held-out losses and accuracies of three members, by kernels and by torch,
    a little away from their initial values.
    """
    shape = dataclasses.replace(shape, train=dataclasses.replace(shape.train, compile=True))
    members = [Member(seed=seed, lr=1e-3) for seed in range(3)]
    outcomes = []
    for by_kernels in (True, False):
        population = Population(shape, members, dtype=dtype)
        assert population.program is not None
        if not by_kernels:
            population.program = None
            population.model = dataclasses.replace(population.model, compile=False)
        generator = torch.Generator().manual_seed(0)
        noise_PN = torch.randn(population.flat_PN.shape, generator=generator, dtype=dtype)
        population.flat_PN = population.flat_PN + 0.05 * noise_PN
        batch = population.inputs_CPBT[0], population.targets_CPBU[0]
        outcomes.append(
            [*population._gradient(*batch), *map(torch.as_tensor, population.evaluate())]
        )
    return outcomes


def assert_same(shape: Shape) -> None:
    ours, reference = kernels_and_torch(shape)
    # Round-off of 1e-16 in sums of a thousand terms, of which norms make a hundred times as much.
    for mine, theirs in zip(ours, reference, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    "row", covering(KNOWN, allowed, APART), ids=lambda row: f"{row['residual']} {row['norm']}"
)
def test_kernels_take_the_step_that_torch_takes(row: dict[str, Any]) -> None:
    assert_same(shape_of(row))


@pytest.mark.parametrize("length", [4, 8, 16], ids=lambda length: f"{2 * length} tokens")
@pytest.mark.parametrize("head_width", [8, 16, 32])
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_float32_is_torchs_too(length: int, head_width: int, attention: str) -> None:
    """Sizes at which float32 has ways of its own: heads of half a vector, of one and of two."""
    shape = shapes.shape(
        task=Copy(length=length, symbols=8),
        attention=attention,
        batch=32,
        width=2 * head_width,
        heads=2,
        hidden=64,
    )
    for mine, theirs in zip(*kernels_and_torch(shape, torch.float32), strict=True):
        # Round-off of 6e-8 in sums of some thousand terms of size 1.
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=2e-5)


@settings(max_examples=60, deadline=None)
@given(
    length=st.integers(4, 70),
    batch=st.integers(1, 40),
    heads=st.integers(1, 5),
    head_width=st.integers(2, 20),
    hidden=st.integers(2, 70),
    symbols=st.integers(7, 40),
    causal=st.booleans(),
)
def test_no_size_is_too_odd(
    length: int,
    batch: int,
    heads: int,
    head_width: int,
    hidden: int,
    symbols: int,
    causal: bool,
) -> None:
    """Rows that fill no vector, more of them than one part, parts of one sequence."""
    assert_same(
        shapes.shape(
            task=Copy(length=length, symbols=symbols),
            attention="causal" if causal else "bidirectional",
            batch=batch,
            width=heads * head_width,
            heads=heads,
            hidden=hidden,
        )
    )


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_all_weighted_sums_have_a_program(residual: Residual[Any]) -> None:
    shape = shapes.shape(residual=residual, norm=residual.own_norm, compile=True)
    made = program(shape.transformer(), "cpu", torch.float64)
    weighs = isinstance(residual, WeightedSum) and not residual.shapes_attention
    assert (made is not None) == weighs


@dataclasses.dataclass(frozen=True)
class Doubled(WeightedSum):
    """x' = x + 2α·F(x): a weight that is no parameter."""

    norms = ("pre",)

    def branch_weight(self, context: SublayerContext) -> Tensor:
        return context.block_parameter("alpha") * 2

    block_parameters = ReZero.block_parameters
    initial = 1.0


@dataclasses.dataclass(frozen=True)
class Own(IdentitySkip):
    """x' = x + F(x) / 10, by a method that a weighted sum has already."""

    norms = ("pre",)

    def write(  # type: ignore[misc]
        self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext
    ) -> Tensor:
        return x_PRD + 0.1 * f_PRD


@pytest.mark.parametrize("residual", [Doubled(), Own()], ids=name_of)
def test_torch_computes_what_is_more_than_a_weighted_sum_of_parameters(
    residual: WeightedSum,
) -> None:
    shape = shapes.shape(residual=residual, norm="pre", compile=True)
    assert program(shape.transformer(), "cpu", torch.float64) is None


def test_targets_that_do_not_count_have_no_part_in_the_loss() -> None:
    shape = shapes.shape(compile=True)
    population = Population(shape, [Member(seed=0, lr=1e-3)], dtype=torch.float64)
    assert population.program is not None
    inputs_PBT, targets_PBU = population.inputs_CPBT[0], population.targets_CPBU[0].clone()
    targets_PBU[:, 1:, ::2] = -1
    loss_P, grad_PN = population.program.gradient(population.flat_PN, inputs_PBT, targets_PBU)
    flat_PN = population.flat_PN.clone().requires_grad_()
    model = dataclasses.replace(population.model, compile=False)
    expected_P = loss(model.forward(flat_PN, inputs_PBT), targets_PBU)
    (expected_PN,) = torch.autograd.grad(expected_P.sum(), flat_PN)
    torch.testing.assert_close(loss_P, expected_P.detach(), rtol=1e-12, atol=0)
    torch.testing.assert_close(grad_PN, expected_PN, rtol=1e-9, atol=1e-12)
    loss_P, _ = population.program.score(population.flat_PN, inputs_PBT[0], targets_PBU[0])
    counted_1 = target_count(targets_PBU)
    torch.testing.assert_close(loss_P / counted_1, expected_P.detach(), rtol=1e-12, atol=0)
