"""Parity with the package `attn-res`, whose operator stands at every reader, torch's norm in the
place of its own, which computes in float32.
"""

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.naive_model import shape_of, start
from support.schemes import scheme
from torch import Tensor, nn

attn_res = pytest.importorskip("attn_res")


def test_sublayers_and_the_output_attend_to_all_outputs_before_them(compare: Compare) -> None:
    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        sources = [x_BTD]

        def read() -> Tensor:
            operator = attn_res.AttnResOperator(12)
            operator.key_norm = nn.RMSNorm(12, eps=1e-6, elementwise_affine=False)
            own = {"pseudo_query": w[f"reader{len(sources)}.attn_res.query"]}
            return foreign.call(operator, own, torch.stack(sources))

        for i in range(1, 7):
            h_BTD = read() if i > 1 else x_BTD
            sources.append(foreign.sublayer(w, i)(foreign.norm(w, f"sublayer{i}.in")(h_BTD)))
        return foreign.norm(w, "last")(read())

    compare(scheme("attn_res"), stack)


def test_queries_start_as_there() -> None:
    _, w = start(shape_of(scheme("attn_res")))
    theirs = attn_res.AttnResOperator(12).pseudo_query.detach()
    assert torch.equal(w["reader3.attn_res.query"][0].float(), theirs)
