"""One member's model, written as the formulas say:
one sequence and one head at a time, in float64.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from resformer import plugins
from resformer.model.shape import Shape
from resformer.numerics.parameters import initial_values, unpack
from resformer.residuals.base import Residual, SublayerContext
from resformer.tasks.copy import Copy
from support import shapes

Mix = Callable[[int, Tensor], Tensor]


class Naive:
    """The parts of a block, by the names that weights have. A test writes the stack itself."""

    def __init__(self, w: dict[str, Tensor], shape: Shape) -> None:
        self.w, self.depth, self.heads = w, shape.model.depth, shape.model.heads
        self.causal = shape.model.attention == "causal"

    @property
    def sublayers(self) -> range:
        """1 … 2·depth."""
        return range(1, 2 * self.depth + 1)

    def norm(self, name: str, x: Tensor) -> Tensor:
        return self.unit(x) * self.w[f"{name}.norm.gain"] + self.w[f"{name}.norm.bias"]

    @staticmethod
    def unit(x: Tensor) -> Tensor:
        """Layer norm without gain and bias."""
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.w[f"{name}.matrix"] + self.w[f"{name}.bias"]

    def weights(self, scores: Tensor) -> Tensor:
        """Attention weights (T, T) of its scores (T, T)."""
        if self.causal:
            scores = scores.masked_fill(torch.ones_like(scores).triu(1).bool(), -math.inf)
        return scores.softmax(-1)

    def attention(
        self, block: int, h: Tensor, values: Tensor | None = None, mix: Mix = lambda _, a: a
    ) -> Tensor:
        """`mix(head, a)` may change the weights of a head; `values` may be given."""
        v_TD = self.values(block, h) if values is None else values
        q, k, v = (
            part.chunk(self.heads, -1)
            for part in (
                self.linear(f"block{block}.query", h),
                self.linear(f"block{block}.key", h),
                v_TD,
            )
        )
        mixed = [
            mix(head, self.weights(q[head] @ k[head].T / math.sqrt(q[head].shape[-1]))) @ v[head]
            for head in range(self.heads)
        ]
        return self.linear(f"block{block}.output", torch.cat(mixed, -1))

    def values(self, block: int, h: Tensor) -> Tensor:
        return self.linear(f"block{block}.value", h)

    def ffn(self, block: int, h: Tensor) -> Tensor:
        return self.linear(f"block{block}.ffn_out", self.linear(f"block{block}.ffn_in", h).relu())

    def F(self, i: int, h: Tensor) -> Tensor:  # noqa: N802  (as in the formulas)
        """Sub-layer i, from 1."""
        block = (i + 1) // 2
        return self.attention(block, h) if i % 2 else self.ffn(block, h)

    def pre(self, i: int, x: Tensor) -> Tensor:
        """F of the norm."""
        return self.F(i, self.norm(f"sublayer{i}.in", x))

    def post(self, i: int, x: Tensor) -> Tensor:
        """The outer norm."""
        return self.norm(f"sublayer{i}.out", x)


Layers = Callable[[Naive, Tensor], Tensor]
"""Embedding (T, D) → the output of the stack (T, D), behind the last norm."""


def logits(layers: Layers, w: dict[str, Tensor], inputs_BT: Tensor, shape: Shape) -> Tensor:
    """Logits (B, scored, V) of one member."""
    net, scored = Naive(w, shape), []
    for inputs in inputs_BT:
        x = layers(net, w["embedding.token"][inputs] + w["embedding.position"])
        scored.append(net.linear("head", x)[-shape.task.length :])
    return torch.stack(scored)


def shape_of(residual: Residual[Any], length: int = 5, **model: Any) -> Shape:
    """A small shape; depth 3 and causal, unless `model` says otherwise."""
    small = {"depth": 3, "width": 12, "heads": 3, "hidden": 20, "norm": residual.own_norm}
    return shapes.shape(
        task=Copy(length=length, symbols=8), residual=residual, **{**small, **model}
    )


def start(shape: Shape, members: int = 2) -> tuple[Tensor, dict[str, Tensor]]:
    """Initial `flat_PN` in float64, and the weights by name."""
    weights = shape.transformer().parameter_specs
    flat_PN = initial_values(weights, torch.arange(members), torch.float64)
    return flat_PN, dict(unpack(weights, flat_PN))


def inputs(shape: Shape, members: int = 2) -> Tensor:
    """Something to read, (P, 3, T)."""
    tokens = shape.transformer().tokens
    return torch.randint(
        0, shape.task.symbols, (members, 3, tokens), generator=torch.Generator().manual_seed(1)
    )


def context(
    residual: Residual[Any],
    sublayer: int,
    parameters: Mapping[str, Tensor] | None = None,
    **model: Any,
) -> SublayerContext:
    """Context of one sub-layer of a small network with this scheme."""
    return SublayerContext(
        sublayer=sublayer,
        architecture=shape_of(residual, **model).transformer().architecture,
        scheme=plugins.name_of(residual),
        parameters=parameters or {},
    )


def outputs(residual: Residual[Any], **model: Any) -> Tensor:
    """Logits at the start."""
    shape = shape_of(residual, **model)
    return shape.transformer().forward(start(shape)[0], inputs(shape))


def assert_formula(
    residual: Residual[Any],
    layers: Layers,
    key_P: Tensor | None = None,
    length: int = 5,
    all_learn: bool = True,
    **model: Any,
) -> None:
    """The scheme's logits and gradients are those of the formula, away from the start, where
    nothing is 0 or 1.

    And every weight has a gradient, if `all_learn`.
    """
    shape = shape_of(residual, length, **model)
    transformer = shape.transformer()
    weights, flat_PN, inputs_PBT = transformer.parameter_specs, start(shape)[0], inputs(shape)
    noise = torch.Generator().manual_seed(0)
    flat_PN = (
        flat_PN + 0.1 * torch.randn(flat_PN.shape, generator=noise, dtype=torch.float64)
    ).requires_grad_()
    actual = transformer.forward(flat_PN, inputs_PBT, key_P)
    direction = torch.randn(actual.shape, generator=noise, dtype=torch.float64)
    (gradient_PN,) = torch.autograd.grad((actual * direction).sum(), flat_PN)
    for member in range(len(flat_PN)):
        flat_1N = flat_PN[member : member + 1].detach().requires_grad_()
        own = {name: tensor[0] for name, tensor in unpack(weights, flat_1N).items()}
        expected = logits(layers, own, inputs_PBT[member], shape)
        (gradient_1N,) = torch.autograd.grad((expected * direction[member]).sum(), flat_1N)
        # float64, values of size 10 at most: 1e-9 leaves six digits for the order of sums.
        torch.testing.assert_close(actual[member], expected, rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(gradient_PN[member], gradient_1N[0], rtol=1e-9, atol=1e-9)
    still = [name for name, part in unpack(weights, gradient_PN).items() if not part.any()]
    assert bool(still) != all_learn
