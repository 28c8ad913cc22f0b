import math
from typing import Any

import pytest
import torch
from support.naive_model import Naive, assert_formula, context, outputs
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.base import Projections
from resformer.residuals.depth_attention import DepthAttention

MODERN: dict[str, Any] = {
    "qk_norm": True,
    "position": "rope",
    "rope_base": 100.0,
    "width": 12,
    "heads": 3,
}


def layers(stride: int, norm: str) -> Any:
    def formula(net: Naive, x: Tensor) -> Tensor:
        kept: list[tuple[Tensor, Tensor]] = []
        for i in net.sublayers:
            block = (i + 1) // 2
            h = net.norm(f"sublayer{i}.in", x) if norm == "pre" else x
            if i % 2:
                q, k = (net.projected(f"block{block}.{part}", h) for part in ("query", "key"))
                v = net.values(block, h)
                w = v.clone()
                if kept:
                    for token in range(len(x)):
                        w[token] = mixed(net.heads, q[token], token, [*kept, (k, v)])
                if block % stride == 1 % stride:
                    kept.append((k, w))
                f = net.attend(block, q, k, w)
            else:
                f = net.ffn(block, h)
            x = net.post(i, x + f) if norm == "post" else x + f
        return net.norm("last", x) if norm == "pre" else x

    return formula


def mixed(heads: int, query: Tensor, token: int, kept: list[tuple[Tensor, Tensor]]) -> Tensor:
    """Values (D) that the query (D) of one token attends to in depth."""
    parts, width = [], len(query) // heads
    for head in range(heads):
        own = slice(head * width, (head + 1) * width)
        scores = torch.stack([query[own] @ k[token, own] / math.sqrt(width) for k, _ in kept])
        a = scores.softmax(0)
        parts.append(sum(a[j] * v[token, own] for j, (_, v) in enumerate(kept)))
    return torch.cat([torch.as_tensor(part) for part in parts])


@pytest.mark.parametrize(
    ("stride", "norm", "block"), [(1, "pre", {}), (2, "post", {}), (1, "pre", MODERN)]
)
def test_formula(stride: int, norm: str, block: dict[str, Any]) -> None:
    assert_formula(DepthAttention(stride=stride), layers(stride, norm), norm=norm, **block)


def test_one_block_is_add() -> None:
    torch.testing.assert_close(
        outputs(DepthAttention(stride=1), depth=1),
        outputs(Add(), norm="pre", depth=1),
        rtol=1e-10,
        atol=1e-10,
    )


def test_without_a_stride_half_of_the_blocks_lie_between_two_that_are_kept() -> None:
    kept = {
        depth: [
            block
            for block in range(1, depth + 1)
            if DepthAttention(stride=None).is_kept(
                block, context(DepthAttention(stride=None), 1, depth=depth).architecture
            )
        ]
        for depth in (1, 2, 3, 8)
    }
    assert kept == {1: [1], 2: [1, 2], 3: [1, 2, 3], 8: [1, 5]}


def test_a_query_of_zero_takes_the_mean_of_all_values() -> None:
    scheme = DepthAttention(stride=1)
    x, k, v, w = torch.randn(
        4, 2, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    projections = Projections(query=torch.zeros_like(x), key=k, value=v)
    streams, changed = scheme.attention_projections((x, k, w), projections, context(scheme, 3))
    torch.testing.assert_close(changed.value, (v + w) / 2, rtol=1e-12, atol=1e-12)
    assert changed.query is projections.query
    assert len(streams) == 5
    assert streams[4] is changed.value


def test_a_stride_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.stride=0: must be from 1 to 1024"):
        DepthAttention(stride=0)
