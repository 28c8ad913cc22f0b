import math

import pytest
import torch
from support.naive_model import Naive, assert_formula, away_from_start, inputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.numerics.parameters import unpack
from resformer.residuals.attn_res import AttnRes
from resformer.residuals.block_attn_res import BlockAttnRes


def attended(values: list[Tensor], w: Tensor) -> Tensor:
    v = torch.stack(values)  # (i, T, D)
    unit = v / torch.sqrt((v**2).mean(-1, keepdim=True) + 1e-6)
    return torch.einsum("it,itd->td", torch.softmax(unit @ w, 0), v)


@pytest.mark.parametrize("blocks", [1, 2, 4])
def test_formula(blocks: int) -> None:
    """Six sub-layers: one block of six, two of three, three of two."""

    def layers(net: Naive, x: Tensor) -> Tensor:
        length = math.ceil(len(net.sublayers) / blocks)
        sums, outputs = [x], list[Tensor]()
        for i in net.sublayers:
            values = sums + ([torch.stack(outputs).sum(0)] if outputs else [])
            h = x if i == 1 else attended(values, net.w[f"sublayer{i}.block_attn_res.query"])
            outputs.append(net.pre(i, h))
            if len(outputs) == length:
                sums.append(torch.stack(outputs).sum(0))
                outputs = []
        assert not outputs
        return net.norm("last", attended(sums, net.w["last.block_attn_res.query"]))

    assert_formula(BlockAttnRes(blocks=blocks), layers)


@pytest.mark.parametrize("blocks", [6, 100])
def test_blocks_of_one_sublayer_are_the_full_form(blocks: int) -> None:
    shape, full = shape_of(BlockAttnRes(blocks=blocks)), shape_of(AttnRes())
    flat_PN, flat_full_PN = away_from_start(shape), start(full)[0]
    weights = unpack(shape.transformer().parameter_specs, flat_PN)
    for name, weight in unpack(full.transformer().parameter_specs, flat_full_PN).items():
        if name.startswith("reader"):
            reader = int(name.removeprefix("reader").split(".")[0])
            place = "last" if reader == 7 else f"sublayer{reader}"
            name = f"{place}.block_attn_res.query"  # noqa: PLW2901
        weight.copy_(weights[name])
    assert torch.equal(
        shape.transformer().forward(flat_PN, inputs(shape)),
        full.transformer().forward(flat_full_PN, inputs(full)),
    )


def test_the_last_block_may_be_shorter() -> None:
    """Ten sub-layers in at most four blocks: three of three and one."""
    scheme = BlockAttnRes(blocks=4)
    shape = shape_of(scheme, depth=5)
    transformer = shape.transformer()
    sublayers = transformer.activations(start(shape)[0], inputs(shape)).sublayers
    assert [len(sublayer.after) - 1 for sublayer in sublayers] == [1, 1, 1, 2, 2, 2, 3, 3, 3, 4]


def test_no_blocks_are_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.blocks=0: must be at least 1"):
        BlockAttnRes(blocks=0)
