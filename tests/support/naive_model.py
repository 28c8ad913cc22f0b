"""One member's model, written as the formulas say:
one sequence and one head at a time, in float64.
"""

import math
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from resformer import plugins
from resformer.model.shape import Shape
from resformer.numerics.parameters import initial_values, unpack
from resformer.residuals.base import Projections, Residual, SublayerContext
from resformer.tasks.copy import Copy
from support import shapes

Mix = Callable[[int, Tensor], Tensor]


def rms(x: Tensor) -> Tensor:
    """RMSNorm without a gain."""
    return x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6)


def gelu(x: Tensor) -> Tensor:
    """x · Φ(x)."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def silu(x: Tensor) -> Tensor:
    """x · σ(x)."""
    return x / (1 + torch.exp(-x))


def turned(part_TK: Tensor, base: float) -> Tensor:
    """Token t's pairs i and i + K/2 as complex numbers, turned by t · base^(-2i/K)."""
    tokens, width = part_TK.shape
    first, second = part_TK.chunk(2, -1)
    angle = torch.tensor(
        [[t * base ** (-2 * i / width) for i in range(width // 2)] for t in range(tokens)],
        dtype=torch.float64,
    )
    z = torch.complex(first, second) * torch.polar(torch.ones_like(angle), angle)
    return torch.cat([z.real, z.imag], -1)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "gelu": gelu,
    "silu": silu,
    "relu2": lambda x: torch.relu(x) ** 2,
}
GATES = {"swiglu": silu, "geglu": gelu}


class Naive:
    """The parts of a block, by the names that weights have. A test writes the stack itself."""

    def __init__(self, w: dict[str, Tensor], shape: Shape) -> None:
        self.w, self.model = w, shape.model
        self.depth, self.heads = shape.model.depth, shape.model.heads
        self.causal = shape.model.attention == "causal"

    @property
    def sublayers(self) -> range:
        """1 … 2·depth."""
        return range(1, 2 * self.depth + 1)

    def norm(self, name: str, x: Tensor) -> Tensor:
        inside = f"{name}.norm"
        match self.model.norm_kind:
            case "layer":
                x = self.unit(x)
            case "rms":
                x = rms(x)
            case "dyt":
                x = torch.tanh(self.w[f"{inside}.slope"] * x)
            case "derf":
                x = torch.erf(self.w[f"{inside}.slope"] * x + self.w[f"{inside}.shift"])
        return x * self.w[f"{inside}.gain"] + self.w.get(f"{inside}.bias", 0)

    @staticmethod
    def unit(x: Tensor) -> Tensor:
        """Layer norm without gain and bias."""
        centred = x - x.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(-1, keepdim=True) + 1e-5)

    def linear(self, name: str, x: Tensor) -> Tensor:
        return x @ self.w[f"{name}.matrix"] + self.w.get(f"{name}.bias", 0)

    @property
    def wider(self) -> float:
        """Width relative to the base of a parametrisation; 1 without one."""
        return self.model.width / (self.model.base_width or self.model.width)

    @property
    def branch(self) -> float:
        """Factor on a branch: one over the depth relative to the base, or over its root."""
        deeper = self.model.depth / (self.model.base_depth or self.model.depth)
        return 1 / (math.sqrt(deeper) if self.model.parametrisation == "depth_mup" else deeper)

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
        q_TD, k_TD = (self.projected(f"block{block}.{part}", h) for part in ("query", "key"))
        return self.attend(block, q_TD, k_TD, v_TD, mix)

    def attend(
        self, block: int, q_TD: Tensor, k_TD: Tensor, v_TD: Tensor, mix: Mix = lambda _, a: a
    ) -> Tensor:
        """Attention of given queries, keys and values, before rotary positions."""
        q, k = self.positioned(q_TD), self.positioned(k_TD)
        # √K, with a parametrisation K relative to the base's √K; the base has as many heads.
        divisor = math.sqrt(q[0].shape[-1] * self.wider)
        mixed = [
            mix(head, self.weights(q[head] @ k[head].T / divisor)) @ v
            for head, v in enumerate(v_TD.chunk(self.heads, -1))
        ]
        return self.linear(f"block{block}.output", torch.cat(mixed, -1))

    def projected(self, name: str, h: Tensor) -> Tensor:
        """Queries or keys (T, D), heads side by side."""
        heads = list(self.linear(name, h).chunk(self.heads, -1))
        if self.model.qk_norm:
            heads = [rms(head) * self.w[f"{name}.gain"] for head in heads]
        return torch.cat(heads, -1)

    def positioned(self, part_TD: Tensor) -> list[Tensor]:
        """Queries or keys (T, K) of each head, turned by their positions."""
        heads = list(part_TD.chunk(self.heads, -1))
        if self.model.position == "rope":
            heads = [turned(head, self.model.rope_base) for head in heads]
        return heads

    def values(self, block: int, h: Tensor) -> Tensor:
        return self.linear(f"block{block}.value", h)

    def ffn(self, block: int, h: Tensor) -> Tensor:
        hidden, activation = self.linear(f"block{block}.ffn_in", h), self.model.activation
        if activation in GATES:
            hidden = GATES[activation](self.linear(f"block{block}.ffn_gate", h)) * hidden
        else:
            hidden = ACTIVATIONS[activation](hidden)
        return self.linear(f"block{block}.ffn_out", hidden)

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

    def embedded(self, inputs: Tensor) -> Tensor:
        """Tokens (T) with their positions, (T, D)."""
        width = self.model.width
        x = self.w["embedding.token"][inputs] * (math.sqrt(width) if self.model.tied else 1)
        match self.model.position:
            case "learned":
                x = x + self.w["embedding.position"]
            case "sinusoidal":
                x = x + torch.tensor(
                    [
                        [
                            (math.cos if d % 2 else math.sin)(t / 10_000 ** ((d - d % 2) / width))
                            for d in range(width)
                        ]
                        for t in range(len(inputs))
                    ],
                    dtype=x.dtype,
                )
        return x

    def head(self, x: Tensor) -> Tensor:
        """Logits (T, V)."""
        matrix = self.w["embedding.token"].T if self.model.tied else self.w["head.matrix"]
        return x @ matrix / self.wider + self.w.get("head.bias", 0)


Layers = Callable[[Naive, Tensor], Tensor]
"""Embedding (T, D) → the output of the stack (T, D), behind the last norm."""


def layers_of(shape: Shape, step: int = 0, without: Collection[int] = ()) -> Layers:
    """The stack of this shape's placement and skips around its scheme, whose own formula has a test
    beside it: here the scheme is taken as it is, for one member. The stream passes sub-layers
    `without` unchanged.
    """
    residual, model = shape.residual, shape.model
    architecture = shape.transformer().architecture

    def layers(net: Naive, x: Tensor) -> Tensor:
        parameters = {name: value.unsqueeze(0) for name, value in net.w.items()}
        streams = residual.expand_streams(x.unsqueeze(0))
        for i in net.sublayers:
            if i in without:
                continue
            context = SublayerContext(
                sublayer=i,
                architecture=architecture,
                scheme=plugins.name_of(residual),
                parameters=parameters,
                step=torch.tensor(step),
            )

            def mix(head: int, a: Tensor, context: SublayerContext = context) -> Tensor:
                a_PBHTT = a.expand(1, 1, net.heads, *a.shape)
                return residual.attention_pattern(a_PBHTT, context)[0, 0, head]

            placement = residual.placement(model.norm, i, architecture)

            def inside(
                x: Tensor, context: SublayerContext = context, placement: str = placement
            ) -> Tensor:
                if placement in ("pre", "sandwich", "pre_post"):
                    x = net.norm(f"sublayer{context.sublayer}.in", x)
                return x * residual.input_scale(context)

            x, block = residual.read(streams, context), (i + 1) // 2
            if i % 2:
                q, k, v = map(inside, residual.attention_inputs(streams, x, context))
                given = Projections(
                    query=net.projected(f"block{block}.query", q[0]).unsqueeze(0),
                    key=net.projected(f"block{block}.key", k[0]).unsqueeze(0),
                    value=net.values(block, v[0]).unsqueeze(0),
                )
                streams, changed = residual.attention_projections(streams, given, context)
                f = net.attend(block, *(part[0] for part in changed), mix)
            else:
                f = net.ffn(block, inside(x)[0])
            if placement in ("branch", "sandwich"):
                f = net.norm(f"sublayer{i}.branch", f)
            f = net.branch * f.unsqueeze(0)
            skipped = model.skip in ("both", "attention" if i % 2 else "ffn")
            streams = residual.write(streams, f, context) if skipped else f
            if placement in ("post", "pre_post"):
                outer = partial(net.post, i)
                streams = residual.apply_post_norm(streams, outer, context)
        last = partial(net.norm, "last") if "last.norm.gain" in net.w else torch.clone
        (x,) = residual.reduce_streams(streams, last, parameters)
        return x

    return layers


def logits(layers: Layers, w: dict[str, Tensor], inputs_BT: Tensor, shape: Shape) -> Tensor:
    """Logits (B, scored, V) of one member."""
    net, scored = Naive(w, shape), []
    for inputs in inputs_BT:
        scored.append(net.head(layers(net, net.embedded(inputs)))[-shape.task.length :])
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
        step=torch.tensor(0),
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
    step: int = 0,
    **model: Any,
) -> None:
    """The scheme's logits and gradients after so many steps are those of the formula.

    And every weight has a gradient, if `all_learn`.
    """
    shape = shape_of(residual, length, **model)
    gradients = assert_same_model(shape, layers, key_P, step)
    still = [name for name, part in gradients.items() if not part.any()]
    assert bool(still) != all_learn


def away_from_start(shape: Shape, members: int = 2) -> Tensor:
    """`flat_PN` where nothing is 0 or 1."""
    flat_PN, noise = start(shape, members)[0], torch.Generator().manual_seed(0)
    return flat_PN + 0.1 * torch.randn(flat_PN.shape, generator=noise, dtype=torch.float64)


def assert_same_model(
    shape: Shape, layers: Layers, key_P: Tensor | None = None, step: int = 0
) -> Mapping[str, Tensor]:
    """Logits and gradients are those of the stack. Returns the gradients by name."""
    transformer, flat_PN = shape.transformer(), away_from_start(shape).requires_grad_()
    weights, inputs_PBT = transformer.parameter_specs, inputs(shape)
    actual = transformer.forward(flat_PN, inputs_PBT, key_P, torch.tensor(step))
    noise = torch.Generator().manual_seed(0)
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
    return unpack(weights, gradient_PN)
