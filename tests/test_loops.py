"""Looped blocks: passes that share the weights of blocks."""

import dataclasses
from typing import Any

import pytest
import torch
from support import shapes
from support.naive_model import away_from_start, inputs, shape_of
from support.schemes import name_of, schemes

from resformer.errors import Incompatible
from resformer.model.objective import loss
from resformer.model.program import program
from resformer.model.shape import Shape
from resformer.numerics.parameters import unpack
from resformer.probes.measure import measure_initial
from resformer.residuals.base import Residual


def weights_of(name: str, distinct_blocks: int) -> str:
    """Name of the weights that a parameter of a pass has in a looped model."""
    part, _, rest = name.partition(".")
    for owner, passed in (("block", distinct_blocks), ("sublayer", 2 * distinct_blocks)):
        number = part.removeprefix(owner)
        if number.isdigit():
            return f"{owner}{(int(number) - 1) % passed + 1}.{rest}"
    return name


def unrolled(shape: Shape, flat_PN: torch.Tensor) -> tuple[Shape, torch.Tensor]:
    """The model with blocks of its own for every pass, each with the weights of the looped one."""
    deep = dataclasses.replace(shape, model=dataclasses.replace(shape.model, loops=1))
    looped = unpack(shape.transformer().parameter_specs, flat_PN)
    parts = [
        looped[spec.name if spec.name in looped else weights_of(spec.name, 2)]
        for spec in deep.transformer().parameter_specs
    ]
    return deep, torch.cat([part.flatten(1) for part in parts], 1)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_a_looped_model_is_the_deep_one_with_equal_weights(residual: Residual[Any]) -> None:
    """Logits, and the gradient of shared weights is the sum over the passes."""
    shape = shape_of(residual, depth=4, loops=2)
    specs, flat_PN = shape.transformer().parameter_specs, away_from_start(shape).requires_grad_()
    deep, deep_PN = unrolled(shape, flat_PN)
    queries = [spec.name for spec in specs if spec.name.endswith(".query.matrix")]
    assert queries == ["block1.query.matrix", "block2.query.matrix"]
    logits = shape.transformer().forward(flat_PN, inputs(shape))
    expected = deep.transformer().forward(deep_PN, inputs(shape))
    # The same operations on the same numbers.
    assert torch.equal(logits, expected)
    (actual_PN,) = torch.autograd.grad(logits.square().sum(), flat_PN, retain_graph=True)
    (summed_PN,) = torch.autograd.grad(expected.square().sum(), flat_PN)
    # float64: only the order of the sums over passes differs.
    torch.testing.assert_close(actual_PN, summed_PN, rtol=1e-10, atol=1e-10)


def test_whole_steps_in_kernels_add_up_the_gradients_of_all_passes() -> None:
    shape = shapes.shape(norm="pre", depth=4, loops=2, compile=True)
    model, flat_PN = shape.transformer(), away_from_start(shape).requires_grad_()
    inputs_PBT = inputs(shape)
    targets_PBU = inputs_PBT[..., -model.num_targets :].contiguous()
    steps = program(model, "cpu", torch.float64)
    assert steps is not None
    _, grad_PN = steps.gradient(flat_PN.detach(), inputs_PBT, targets_PBU)
    torchs = dataclasses.replace(model, compile=False).forward(flat_PN, inputs_PBT)
    (expected_PN,) = torch.autograd.grad(loss(torchs, targets_PBU).sum(), flat_PN)
    # float64, gradients of size 1: the order of sums differs.
    torch.testing.assert_close(grad_PN, expected_PN, rtol=1e-9, atol=1e-10)


def test_every_pass_is_measured_with_the_gradient_of_its_shared_matrices() -> None:
    columns = measure_initial(shapes.shape(norm="pre", depth=4, loops=2), [0])
    gradient = columns["gradient_query"][:, 0]
    assert gradient[1] == gradient[5] > 0
    assert gradient[3] == gradient[7] != gradient[1]


def test_loops_must_divide_the_depth() -> None:
    with pytest.raises(
        Incompatible, match=r"model\.loops=3: must divide model\.depth=4: one of 1, 2, 4$"
    ):
        shapes.shape(depth=4, loops=3)
