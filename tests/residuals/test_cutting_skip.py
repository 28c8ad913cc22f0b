import dataclasses

import pytest
import torch
from support.naive_model import Naive, assert_formula, inputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.cutting_skip import CuttingSkip
from resformer.residuals.plain import Plain

SCHEME = CuttingSkip(value_scale=3.0, query_key_noise=2.0, query_key_diagonal=0.6)


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = net.pre(i, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(SCHEME, layers)


def test_only_its_initial_values_differ_from_plain() -> None:
    ours, plain = shape_of(SCHEME), shape_of(Plain(), norm="pre")
    flat_PN, w = start(ours)
    assert torch.equal(
        ours.transformer().forward(flat_PN, inputs(ours)),
        plain.transformer().forward(flat_PN, inputs(plain)),
    )
    others = [name for name, tensor in start(plain)[1].items() if not torch.equal(tensor, w[name])]
    parts = ("query", "key", "value", "output", "ffn_in", "ffn_out")
    assert others == [f"block{block}.{part}.matrix" for block in (1, 2, 3) for part in parts]


@pytest.mark.parametrize(
    ("part", "square"), [("value", 9.0), ("output", 9.0), ("ffn_in", 20 / 12), ("ffn_out", 1.0)]
)
def test_matrices_are_orthogonal_whichever_side_is_longer(part: str, square: float) -> None:
    _, w = start(shape_of(SCHEME), members=3)
    matrix = w[f"block2.{part}.matrix"]
    matrix = matrix if matrix.shape[1] >= matrix.shape[2] else matrix.mT
    identity = torch.eye(12, dtype=torch.float64).expand(3, -1, -1)
    torch.testing.assert_close(matrix.mT @ matrix, square * identity, rtol=1e-12, atol=1e-12)
    assert not torch.allclose(matrix[0], matrix[1])


def products(scheme: CuttingSkip, heads: int, members: int) -> Tensor:
    """W_Q·W_Kᵀ of the first block's heads, (P, H, D, D)."""
    _, w = start(shape_of(scheme, heads=heads), members=members)
    query, key = (
        w[f"block1.{part}.matrix"].unflatten(-1, (heads, -1)).transpose(1, 2)
        for part in ("query", "key")
    )
    return query @ key.mT


def test_with_one_head_query_and_key_are_noise_about_an_identity() -> None:
    noise = products(SCHEME, 1, 60).squeeze(1) - 0.6 * torch.eye(12, dtype=torch.float64)
    # 8,640 normal draws of standard deviation 2/√12 = 0.577: five times its own, 0.8 %, and that of
    # their mean, 0.0062.
    assert float(noise.std()) == pytest.approx(2 / 12**0.5, rel=0.04)
    assert abs(float(noise.mean())) < 0.031


def test_every_head_has_the_largest_singular_values_of_such_a_matrix() -> None:
    """Of hardly any noise all are β. Of the usual one the fourth largest of a 12 × 12 matrix is
    2.47 ± 0.21 (2,000 draws), and a mean of 60 within 0.1 of that.
    """
    still = dataclasses.replace(SCHEME, query_key_noise=1e-9)
    singular = torch.linalg.svdvals(products(still, 3, 2))
    torch.testing.assert_close(singular[..., :4], torch.full((2, 3, 4), 0.6, dtype=torch.float64))
    assert singular[..., 4:].max() < 1e-12
    first = torch.linalg.svdvals(products(SCHEME, 3, 20))
    assert first[..., 4:].max() < 1e-12
    assert float(first[..., 3].mean()) == pytest.approx(2.47, abs=0.1)
    assert not torch.allclose(first[:, 0], first[:, 1])


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("value_scale", "nan"),
        ("query_key_noise", "nan"),
        ("query_key_noise", "0.0"),
        ("query_key_diagonal", "nan"),
    ],
)
def test_an_impossible_setting_is_refused(setting: str, value: str) -> None:
    with pytest.raises(UserError, match=rf"model\.residual\.{setting}={value}"):
        dataclasses.replace(SCHEME, **{setting: float(value)})
