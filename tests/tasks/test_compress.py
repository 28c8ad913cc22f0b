"""Compression into the last token."""

import dataclasses
import math

import pytest
import torch
from support import shapes
from support.schemes import scheme

from resformer.errors import Incompatible, UserError
from resformer.model.objective import draw_batch
from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.numerics.parameters import unpack
from resformer.tasks.base import IGNORE_INDEX
from resformer.tasks.compress import Compress

STRING = Compress(length=4, symbols=7)


def shape_of(**changes: object) -> Shape:
    return shapes.shape(task=STRING, **changes)


def test_the_targets_are_the_string_without_the_sign() -> None:
    source, target = STRING.draw(rng.key(torch.tensor([1, 2]), "test"), 30)
    assert torch.equal(source[..., :-1], target[..., :-1])
    assert (source[..., -1] == 7).all()
    assert (target[..., -1] == IGNORE_INDEX).all()
    assert set(source[..., :-1].flatten().tolist()) == set(range(7))


def norm(x: torch.Tensor) -> torch.Tensor:
    """Layer norm with a gain of 1."""
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-5)


@pytest.mark.parametrize("bias", [True, False])
def test_logits_are_those_of_the_decoder_as_its_formulas_say(bias: bool) -> None:
    """From the last token's output alone, one target at a time."""
    shape = shape_of(bias=bias)
    model = shape.transformer()
    flat_PN = model.initial_values(torch.tensor([3, 4]), torch.float64)
    named = unpack(model.parameter_specs, flat_PN)
    for name, parameter in named.items():  # which start at 0
        if name in ("decoder1.bias", "decoder2.bias", "head.bias"):
            parameter.normal_(generator=torch.Generator().manual_seed(len(name)))
    inputs, _ = draw_batch(shape, rng.key(torch.tensor([3, 4]), "test"), 6)
    made = model.activations(flat_PN, inputs)
    last_PBD = made.streams[-1].view(2, 6, 5, 16)[:, :, -1]
    for member in range(2):
        for target in range(5):
            code = torch.tensor(
                [
                    (math.cos if place % 2 else math.sin)(target / 10_000 ** ((place // 2) / 8))
                    for place in range(16)
                ],
                dtype=torch.float64,
            )
            x_BD = last_PBD[member] + code
            for layer in ("decoder1", "decoder2", "head"):
                x_BD = norm(x_BD) @ named[f"{layer}.matrix"][member]
                x_BD = x_BD + named[f"{layer}.bias"][member] if bias else x_BD
                if layer != "head":
                    x_BD = x_BD * (1 + torch.erf(x_BD / math.sqrt(2))) / 2
            torch.testing.assert_close(made.logits_PBUV[member, :, target], x_BD)
    assert torch.equal(model.forward(flat_PN, inputs).argmax(-1), made.logits_PBUV.argmax(-1))


def test_the_decoder_costs_two_square_matrices_and_their_products() -> None:
    shape = shape_of()
    model = shape.transformer()
    plain = dataclasses.replace(model, from_last=False)
    # Per layer a matrix, a bias, gain and bias of a norm; and the norm behind both.
    assert model.num_parameters - plain.num_parameters == 2 * (16 * 16 + 3 * 16) + 2 * 16
    # Two operations a weight, forward and twice backward, at five targets of one sequence.
    assert model.flops_per_step(1) - plain.flops_per_step(1) == 3 * 2 * 2 * 16 * 16 * 5


def test_a_scheme_reads_its_output_once_for_all_targets() -> None:
    model = shape_of(residual=scheme("gated_residual"), norm="none").transformer()
    plain = dataclasses.replace(model, from_last=False)
    decoder = 2 * 2 * 16 * 16 * 5
    # Four streams of 16 through two columns and back.
    read = 2 * (2 * 4 * 16 * 2)
    assert model.flops_per_step(1) - plain.flops_per_step(1) == 3 * (decoder - 4 * read)


def test_a_parametrisation_has_no_factors_for_the_decoder() -> None:
    with pytest.raises(Incompatible, match=r"parametrisation=completep: .*standard would work"):
        shape_of(parametrisation="completep", base_depth=2, base_width=16, norm="pre")


@pytest.mark.parametrize(
    ("length", "symbols", "message"),
    [(0, 5, "task.length=0"), (512, 5, "task.length=512"), (4, 1, "task.symbols=1")],
)
def test_a_size_out_of_range_is_refused(length: int, symbols: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Compress(length=length, symbols=symbols)
