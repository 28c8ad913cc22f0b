"""Hooks of the seam, each by a small scheme that uses nothing else."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from support import shapes
from support.naive_model import Naive, away_from_start, inputs, shape_of
from support.naive_model import logits as naive_logits
from support.schemes import name_of, schemes
from torch import Tensor

from resformer.model.shape import Member, Shape
from resformer.numerics.parameters import Factors, ParameterSpec, ones, unpack
from resformer.probes.measure import measure
from resformer.residuals.base import (
    Architecture,
    IdentitySkip,
    OneStream,
    Projections,
    Residual,
    SublayerContext,
    weighted,
)
from resformer.training.population import Population

MEMBERS = [Member(seed=0, lr=0.01), Member(seed=1, lr=0.01)]


@dataclass(frozen=True)
class Stepping(IdentitySkip):
    """Plain sum that keeps the number of every step that it is called in."""

    steps: list[int] = field(default_factory=list, hash=False)

    own_norm = "pre"
    norms = ("pre",)

    def branch_weight(self, context: SublayerContext) -> float:
        if context.sublayer == 1:
            self.steps.append(int(context.step))
        return 1.0


@dataclass(frozen=True)
class Rated(OneStream):
    """x' = a·x + b·F(x), learned scalars of which a has a rate of 0 and b twice the member's."""

    own_norm = "pre"
    norms = ("pre",)

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        return [
            replace(ones("fixed", 1), factors=Factors(lr=0.0)),
            replace(ones("fast", 1), factors=Factors(lr=2.0)),
            ones("usual", 1),
        ]

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        a, b, c = (
            context.sublayer_parameter(name).unsqueeze(1) for name in ("fixed", "fast", "usual")
        )
        return a * x_PRD + b * c * f_PRD


@dataclass(frozen=True)
class Apart(OneStream):
    """x' = x + F(x), attention's query of x, its key of 2·x, its value of 3·x; and queries are
    exchanged for keys.
    """

    own_norm = "none"
    norms = ("none",)
    shapes_attention = True

    def attention_inputs(
        self, x_PRD: Tensor, read_PRD: Tensor, context: SublayerContext
    ) -> tuple[Tensor, Tensor, Tensor]:
        return read_PRD, 2 * read_PRD, 3 * read_PRD

    def attention_projections(
        self, x_PRD: Tensor, projections: Projections, context: SublayerContext
    ) -> tuple[Tensor, Projections]:
        query, key, value = projections
        return x_PRD, Projections(query=key, key=query, value=value)

    def write(self, x_PRD: Tensor, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        return x_PRD + f_PRD


def population(shape: Shape) -> Population:
    return Population(shape, MEMBERS, dtype=torch.float64)


def test_a_scheme_knows_the_training_step() -> None:
    """The first step has number 1; an evaluation the number of steps taken."""
    scheme = Stepping()
    trained = population(shapes.shape(residual=scheme, norm="pre"))
    scheme.steps.clear()
    trained.evaluate()
    for _ in range(3):
        trained.advance()
    trained.evaluate()
    assert scheme.steps == [0, 1, 2, 3, 3]
    scheme.steps.clear()
    measure(shapes.shape(residual=scheme, norm="pre"), trained.flat_PN, 3)
    assert {*scheme.steps} == {3}


def test_a_parameter_has_a_rate_of_its_own() -> None:
    """By sign descent, nearly what Adam's first step is, a parameter moves by its rate."""
    shape = shapes.shape(residual=Rated(), norm="pre", warmup_steps=0, eps=1e-30, clip=None)
    trained = population(shape)
    trained.advance()
    moved = {
        spec.name.rpartition(".")[2]: (part - 1).abs().max().item()
        for spec, part in zip(
            trained.model.parameter_specs,
            unpack(trained.model.parameter_specs, trained.flat_PN).values(),
            strict=True,
        )
        if spec.role == "gate"
    }
    assert moved["fixed"] == 0.0
    # m / √v of one gradient is its sign, to the rounding of float64 and of 1 - β.
    assert abs(moved["usual"] - 0.01) < 1e-9
    assert abs(moved["fast"] - 0.02) < 1e-9


def test_inputs_and_projections_of_attention_may_differ() -> None:
    shape = shapes.shape(residual=Apart(), norm="none", qk_norm=True, position="rope", rope_base=10)
    flat_PN, tokens = away_from_start(shape), inputs(shape)
    actual = shape.transformer().forward(flat_PN, tokens)

    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            block = (i + 1) // 2
            if i % 2:
                query = net.projected(f"block{block}.query", x)
                key = net.projected(f"block{block}.key", 2 * x)
                x = x + net.attend(block, key, query, net.values(block, 3 * x))
            else:
                x = x + net.ffn(block, x)
        return x

    for member, logits in enumerate(actual):
        own = unpack(shape.transformer().parameter_specs, flat_PN[member : member + 1])
        weights = {name: tensor[0] for name, tensor in own.items()}
        expected = naive_logits(layers, weights, tokens[member], shape)
        # float64, values of size 10 at most.
        torch.testing.assert_close(logits, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_tokens_are_alike_and_by_themselves_but_where_a_scheme_mixes_them(
    residual: Residual[Any],
) -> None:
    """Rows in another order: what is read, projected, written and put out is in this order."""
    shape = shape_of(residual, attention="bidirectional")
    model, flat_PN = shape.transformer(), away_from_start(shape)
    parameters = unpack(model.parameter_specs, flat_PN)
    noise = torch.Generator().manual_seed(0)
    rows = 2 * model.tokens
    draws = [torch.randn(2, rows, 12, generator=noise, dtype=torch.float64) for _ in range(7)]
    order = torch.randperm(rows, generator=noise)

    def passed(x_PRD: Tensor, *branches: Tensor) -> list[Tensor]:
        streams = residual.expand_streams(x_PRD)
        results = []
        for context, f_PRD in zip(
            model.contexts(parameters, None, torch.tensor(5)), branches, strict=True
        ):
            results.append(residual.read(streams, context))
            if context.is_attention:
                inputs = residual.attention_inputs(streams, results[-1], context)
                projections = Projections(*inputs)
                streams, projections = residual.attention_projections(streams, projections, context)
                results += [*inputs, *projections]
            streams = residual.write(streams, f_PRD, context)
        return [*results, residual.stream_output(streams, parameters)]

    straight, shuffled = passed(*draws), passed(*(part[:, order] for part in draws))
    same = [
        # float64: products of matrices sum in another order where rows lie elsewhere.
        torch.allclose(one[:, order], other, rtol=1e-10, atol=1e-12)
        for one, other in zip(straight, shuffled, strict=True)
    ]
    assert all(same) is not residual.mixes_tokens


@pytest.mark.parametrize("streams", [2, 4])
def test_a_weighted_sum_has_a_weight_for_each_stream(streams: int) -> None:
    with pytest.raises(ValueError, match="zip"):
        weighted(torch.ones(1, 5, 3), (torch.ones(1, 5, 8),) * streams)
