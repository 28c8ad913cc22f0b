"""Parity with the package `attn-res`, whose operator stands at every reader, torch's norm in the
place of its own, which computes in float32.
"""

from types import SimpleNamespace

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.naive_model import shape_of, start
from support.schemes import scheme
from torch import Tensor, nn

attn_res = pytest.importorskip("attn_res")


def attended(sources: Tensor, query_D: Tensor) -> Tensor:
    operator = attn_res.AttnResOperator(12)
    operator.key_norm = nn.RMSNorm(12, eps=1e-6, elementwise_affine=False)
    read: Tensor = foreign.call(operator, {"pseudo_query": query_D}, sources)
    return read


def test_sublayers_and_the_output_attend_to_all_outputs_before_them(compare: Compare) -> None:
    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        sources = [x_BTD]

        def read() -> Tensor:
            return attended(torch.stack(sources), w[f"reader{len(sources)}.attn_res.query"])

        for i in range(1, 7):
            h_BTD = read() if i > 1 else x_BTD
            sources.append(foreign.sublayer(w, i)(foreign.norm(w, f"sublayer{i}.in")(h_BTD)))
        return foreign.norm(w, "last")(read())

    compare(scheme("attn_res"), stack)


def test_sublayers_and_the_output_attend_to_the_sums_of_blocks(compare: Compare) -> None:
    """The output is read by a seventh layer, since theirs is the plain sum of the blocks."""

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        outputs = list[Tensor]()

        def layer(sources: Tensor, *_: object) -> Tensor:
            i = len(outputs) + 1
            name = f"sublayer{i}" if i < 7 else "last"
            query = w.get(f"{name}.block_attn_res.query")
            h_BTD = sources[0] if query is None else attended(sources, query)
            if i < 7:
                h_BTD = foreign.sublayer(w, i)(foreign.norm(w, f"{name}.in")(h_BTD))
            outputs.append(h_BTD)
            return h_BTD

        network = SimpleNamespace(cfg=SimpleNamespace(block_size=2), layers=[layer] * 7)
        attn_res.AttnResTransformer._forward_block_attnres(network, x_BTD, None, None)
        return foreign.norm(w, "last")(outputs[-1])

    compare(scheme("block_attn_res", blocks=3), stack)


def test_sublayers_add_attention_to_all_outputs_to_the_stream(compare: Compare) -> None:
    """Delta attention residuals, which the package has not, from its operator."""

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        outputs = [x_BTD]
        for i in range(1, 7):
            query = w.get(f"sublayer{i}.delta_attn_res.query")
            read = 0 if query is None else attended(torch.stack(outputs), query)
            norm = foreign.norm(w, f"sublayer{i}.in")
            outputs.append(foreign.sublayer(w, i)(norm(x_BTD + read)))
            x_BTD = x_BTD + outputs[-1]
        return foreign.norm(w, "last")(x_BTD)

    compare(scheme("delta_attn_res"), stack)


def test_queries_start_as_there() -> None:
    _, w = start(shape_of(scheme("attn_res")))
    theirs = attn_res.AttnResOperator(12).pseudo_query.detach()
    assert torch.equal(w["reader3.attn_res.query"][0].float(), theirs)
