"""Parity with the package `rezero` of the paper's authors."""

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.naive_model import shape_of, start
from support.schemes import scheme
from torch import Tensor

rztx = pytest.importorskip("rezero.transformer.rztx")


@pytest.mark.parametrize("activation", ["relu", "gelu"])
def test_blocks_are_the_authors_encoder_layers(activation: str, compare: Compare) -> None:
    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        x_TBD = x_BTD.transpose(0, 1)
        mask_TT = foreign.causal_mask(len(x_TBD))
        for block in (1, 2, 3):
            layer = rztx.RZTXEncoderLayer(12, 3, 24, dropout=0.0, activation=activation)
            own = {
                **foreign.within("self_attn", foreign.multihead_attention(w, block)),
                **foreign.within("linear1", foreign.linear(w, f"block{block}.ffn_in")),
                **foreign.within("linear2", foreign.linear(w, f"block{block}.ffn_out")),
                "resweight": w[f"block{block}.rezero.alpha"],
            }
            x_TBD = foreign.call(layer, own, x_TBD, src_mask=mask_TT)
        return x_TBD.transpose(0, 1)

    compare(scheme("rezero"), stack, activation=activation)


def test_blocks_start_as_the_authors_do() -> None:
    _, w = start(shape_of(scheme("rezero")))
    layer = rztx.RZTXEncoderLayer(12, 3, 24)
    assert torch.equal(w["block2.rezero.alpha"][0], layer.resweight.detach().double())
