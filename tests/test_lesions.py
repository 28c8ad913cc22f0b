"""Passes that leave sub-layers out, with every scheme."""

import math
from functools import partial
from typing import Any, Protocol

import pytest
import torch
from support.naive_model import (
    Naive,
    away_from_start,
    inputs,
    layers_of,
    logits,
    rms,
    shape_of,
)
from support.schemes import name_of, scheme, schemes
from torch import Tensor

from resformer.numerics.parameters import unpack
from resformer.residuals.base import Residual

DEPTH = 5
CASES = {
    "the first block": {1, 2},
    "the last block": {9, 10},
    "two blocks": {3, 4, 7, 8},
    "an FFN": {6},
    "an attention": {5},
    "the first attention": {1},
    "the last FFN": {10},
}


class Formula(Protocol):
    """Stack of the sub-layers `kept`, numbers from 1."""

    __name__: str

    def __call__(self, net: Naive, x: Tensor, kept: list[int]) -> Tensor:
        """Embedding (T, D) → output behind the last norm."""


def attended(values: list[Tensor], w: Tensor) -> Tensor:
    v = torch.stack(values)  # (i, T, D)
    return torch.einsum("it,itd->td", torch.softmax(rms(v) @ w, 0), v)


def in_blocks(net: Naive, kept: list[int]) -> dict[int, list[int]]:
    """The sub-layers that are there of each block that is there."""
    blocks = {b: [i for i in (2 * b - 1, 2 * b) if i in kept] for b in range(1, net.depth + 1)}
    return {block: sublayers for block, sublayers in blocks.items() if sublayers}


def attn_res(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    values = [x]
    for i in kept:
        query = None if i == 1 else net.w[f"reader{i}.attn_res.query"]
        values.append(net.pre(i, x if query is None else attended(values, query)))
    return net.norm("last", attended(values, net.w[f"reader{2 * DEPTH + 1}.attn_res.query"]))


def block_attn_res(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    """Ten sub-layers in at most eight blocks: of two each."""
    sums: dict[int, Tensor] = {0: x}
    for i in kept:
        h = x
        if i > 1:
            h = attended([*sums.values()], net.w[f"sublayer{i}.block_attn_res.query"])
        block = (i + 1) // 2
        sums[block] = sums.get(block, torch.zeros_like(x)) + net.pre(i, h)
    return net.norm("last", attended([*sums.values()], net.w["last.block_attn_res.query"]))


def cumulative_attn_res(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    """Five layers in at most eight blocks: of one each."""
    states = [x]
    for sublayers in in_blocks(net, kept).values():
        for i in sublayers:
            h = x
            if i > 1:
                name = f"sublayer{i}.cumulative_attn_res"
                v = torch.stack([*states, x])
                scores = rms(v) @ net.w[f"{name}.query"]
                scores = torch.cat([scores[:-1], scores[-1:] + net.w[f"{name}.recency_bias"]])
                h = torch.einsum("it,itd->td", torch.softmax(scores, 0), v)
            x = x + net.pre(i, h)
        states.append(x)
    return net.norm("last", x)


def delta_attn_res(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    outputs = [x]
    for i in kept:
        h = x if i == 1 else x + attended(outputs, net.w[f"sublayer{i}.delta_attn_res.query"])
        outputs.append(net.pre(i, h))
        x = x + outputs[-1]
    return net.norm("last", x)


def dense(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    outputs = {0: x}
    for block, sublayers in in_blocks(net, kept).items():
        for i in sublayers:
            x = x + net.pre(i, x)
        name = f"block{block}.dense"
        weights = torch.cat([net.w[f"{name}.earlier"], net.w[f"{name}.own"]])
        outputs[block] = x
        x = sum((weights[j] * u for j, u in outputs.items()), torch.zeros_like(x))
    return net.norm("last", x)


def mudd(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    outputs, ways = {0: x}, [x] * 4
    for block, sublayers in in_blocks(net, kept).items():
        y = ways[0]
        for i in sublayers:
            if i % 2:
                q, k, v = (net.norm(f"sublayer{i}.in", way) for way in ways[1:])
                query, key = (
                    net.projected(f"block{block}.{part}", h)
                    for part, h in (("query", q), ("key", k))
                )
                y = y + net.attend(block, query, key, net.values(block, v))
            else:
                y = y + net.pre(i, y)
        outputs[block], name = y, f"block{block}.mudd"
        hidden = rms(y) @ net.w[f"{name}.in"]
        hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
        b = torch.cat([net.w[f"{name}.earlier"], net.w[f"{name}.own"]], 1)
        A = (hidden @ net.w[f"{name}.out"]).unflatten(-1, b.shape) + b  # (T, ways, block + 1)
        ways = [
            sum((A[:, way, j, None] * X for j, X in outputs.items()), torch.zeros_like(y))
            for way in range(len(b))
        ]
    return net.norm("last", ways[0])


def parallel(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    for sublayers in in_blocks(net, kept).values():
        x = x + sum((net.pre(i, x) for i in sublayers), torch.zeros_like(x))
    return net.norm("last", x)


def b2t(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    for sublayers in in_blocks(net, kept).values():
        y = x
        for i in sublayers:
            f = net.F(i, y)
            y = net.post(i, y + f if i % 2 else x + y + f)
        x = y
    return x


def depth_attention(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    """Stride 2: the blocks 1, 3 and 5 are attended to."""
    there: list[tuple[Tensor, Tensor]] = []
    for i in kept:
        block = (i + 1) // 2
        if i % 2 == 0:
            x = x + net.pre(i, x)
            continue
        h = net.norm(f"sublayer{i}.in", x)
        q, k = (net.projected(f"block{block}.{part}", h) for part in ("query", "key"))
        w = _mixed(net.heads, q, [*there, (k, net.values(block, h))])
        if block % 2:
            there.append((k, w))
        x = x + net.attend(block, q, k, w)
    return net.norm("last", x)


def _mixed(heads: int, q: Tensor, sources: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Values that each token's query attends to, head by head."""
    parts = []
    for head in range(heads):
        own = slice(head * q.shape[1] // heads, (head + 1) * q.shape[1] // heads)
        scores = [
            (q[:, own] * k[:, own]).sum(-1) / math.sqrt(own.stop - own.start) for k, _ in sources
        ]
        a = torch.softmax(torch.stack(scores), 0)
        parts.append(torch.einsum("jt,jtd->td", a, torch.stack([v[:, own] for _, v in sources])))
    return torch.cat(parts, -1)


def value_residual(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    """Both weights are a half."""
    first = torch.zeros_like(x)
    for i in kept:
        block = (i + 1) // 2
        if i % 2:
            h = net.norm(f"sublayer{i}.in", x)
            own = net.values(block, h)
            first = own if block == 1 else first
            x = x + net.attention(block, h, own if block == 1 else (first + own) / 2)
        else:
            x = x + net.pre(i, x)
    return net.norm("last", x)


def multi_gate(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    """Four streams, of the embedding and the sub-layers 1 to 3."""
    streams = {0: x}

    def scores(name: str) -> Tensor:
        w = net.w[name]
        return rms(torch.stack([*streams.values()])) @ w / math.sqrt(len(w))

    def read(owner: str) -> Tensor:
        a = torch.softmax(scores(f"{owner}.multi_gate.query"), 0)
        return torch.einsum("jt,jtd->td", a, torch.stack([*streams.values()]))

    for i in kept:
        f, name = net.pre(i, x if i == 1 else read(f"sublayer{i}")), f"sublayer{i}.multi_gate"
        if i < 4:
            streams[i] = f
            continue
        logits = scores(f"{name}.gate")
        streams = {
            j: s + torch.sigmoid(logit + net.w[f"{name}.bias"][j])[:, None] * (f - s)
            for (j, s), logit in zip(streams.items(), logits, strict=True)
        }
    return net.norm("last", read("output"))


def x0_lambdas(net: Naive, x: Tensor, kept: list[int]) -> Tensor:
    """The embedding is mixed in by attention."""
    embedding = x
    for i in kept:
        name = f"block{(i + 1) // 2}.x0_lambdas"
        if i % 2:
            x = net.w[f"{name}.stream"] * x + net.w[f"{name}.embedding"] * embedding
        x = x + net.pre(i, x)
    return net.norm("last", x)


HISTORIES: dict[str, Formula] = {
    formula.__name__: formula
    for formula in (
        attn_res,
        block_attn_res,
        cumulative_attn_res,
        delta_attn_res,
        dense,
        mudd,
        parallel,
        b2t,
        depth_attention,
        value_residual,
        multi_gate,
        x0_lambdas,
    )
}
"""Schemes that keep values of earlier sub-layers, or act at the ends of blocks. The streams of all
others have no places for sub-layers.
"""


def as_in_the_formula(residual: Residual[Any]) -> Residual[Any]:
    """The scheme with the settings that the formula above is of."""
    name = name_of(residual)
    if name == "depth_attention":
        return scheme(name, stride=2)
    if name == "delta_attn_res":
        return scheme(name, null_source=False)
    return residual


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_what_is_left_out_is_missing_and_the_rest_keeps_its_numbers(
    residual: Residual[Any],
) -> None:
    residual = as_in_the_formula(residual)
    shape = shape_of(residual, depth=DEPTH)
    transformer, flat_PN, inputs_PBT = shape.transformer(), away_from_start(shape), inputs(shape)
    weights = unpack(transformer.parameter_specs, flat_PN[:1])
    w = {name: tensor[0] for name, tensor in weights.items()}
    step = torch.tensor(7)  # before any step the branches of `prores` are 0
    whole = transformer.forward(flat_PN, inputs_PBT, step=step)
    for case, without in CASES.items():
        kept = [i for i in range(1, 2 * DEPTH + 1) if i not in without]
        formula = HISTORIES.get(name_of(residual))
        layers = layers_of(shape, 7, without) if formula is None else partial(formula, kept=kept)
        expected = logits(layers, w, inputs_PBT[0, :1], shape)
        left = transformer.forward(flat_PN, inputs_PBT, step=step, without=without)
        # float64, values of size 10 at most.
        torch.testing.assert_close(left[0, :1], expected, rtol=1e-9, atol=1e-9, msg=case)
        assert not torch.allclose(left, whole), case
