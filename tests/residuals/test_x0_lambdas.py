from typing import Any

import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs, shape_of
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.x0_lambdas import X0Lambdas

SETTINGS = {
    "stream_first": 1.15,
    "stream_last": 1.05,
    "embedding_first": 0.2,
    "embedding_last": 0.05,
    "stream_rate": 0.01,
    "embedding_rate": 1.0,
}


def scheme(**settings: Any) -> X0Lambdas:
    return X0Lambdas(**{**SETTINGS, **settings})


def layers(net: Naive, x: Tensor) -> Tensor:
    embedding = x
    for block in range(1, net.depth + 1):
        name = f"block{block}.x0_lambdas"
        x = net.w[f"{name}.stream"] * x + net.w[f"{name}.embedding"] * embedding
        for i in (2 * block - 1, 2 * block):
            x = x + net.pre(i, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(scheme(), layers)


def test_with_the_stream_alone_it_is_add() -> None:
    first = scheme(stream_first=1.0, stream_last=1.0, embedding_first=0.0, embedding_last=0.0)
    assert torch.equal(outputs(first), outputs(Add(), norm="pre"))


def test_starts_and_rates() -> None:
    specs = shape_of(scheme(), depth=3).transformer().parameter_specs
    own = [
        (spec.name.split(".")[0], spec.name.split(".")[-1], spec.scale, spec.factors.lr)
        for spec in specs
        if "x0_lambdas" in spec.name
    ]
    assert own == [
        ("block1", "stream", 1.15, 0.01),
        ("block1", "embedding", 0.2, 1.0),
        ("block2", "stream", pytest.approx(1.1), 0.01),
        ("block2", "embedding", pytest.approx(0.125), 1.0),
        ("block3", "stream", pytest.approx(1.05), 0.01),
        ("block3", "embedding", pytest.approx(0.05), 1.0),
    ]


def test_one_block_has_the_first_starts() -> None:
    specs = shape_of(scheme(), depth=1).transformer().parameter_specs
    assert [spec.scale for spec in specs if "x0_lambdas" in spec.name] == [1.15, 0.2]


@pytest.mark.parametrize("setting", ["stream_last", "embedding_rate"])
def test_settings_that_are_no_numbers_are_refused(setting: str) -> None:
    with pytest.raises(UserError, match=rf"model\.residual\.{setting}=nan"):
        scheme(**{setting: float("nan")})
