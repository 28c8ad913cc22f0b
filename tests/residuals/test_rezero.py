import pytest
import torch
from support.naive_model import Naive, assert_formula, inputs, shape_of, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.rezero import ReZero


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = x + net.w[f"block{(i + 1) // 2}.rezero.alpha"] * net.F(i, x)
    return x


def test_formula() -> None:
    assert_formula(ReZero(initial=0.5), layers)


def test_at_the_start_the_stack_is_the_identity() -> None:
    """The logits are the head applied to the embedding."""
    shape = shape_of(ReZero(initial=0.0))
    transformer, (flat_PN, w), inputs_PBT = shape.transformer(), start(shape), inputs(shape)
    for member in (0, 1):
        x = w["embedding.token"][member][inputs_PBT[member]] + w["embedding.position"][member]
        expected = x[:, -transformer.num_targets :] @ w["head.matrix"][member]
        torch.testing.assert_close(
            transformer.forward(flat_PN, inputs_PBT)[member], expected, rtol=1e-12, atol=1e-12
        )


def test_one_learned_scalar_per_block_and_no_norm() -> None:
    weights = ReZero(initial=0.25).parameters(
        shape_of(ReZero(initial=0.25)).transformer().architecture
    )
    assert [(weight.size, weight.scale) for weight in weights] == [(1, 0.25)] * 3
    assert ReZero(initial=0.0).norms == ("none",)


def test_an_initial_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.initial=nan"):
        ReZero(initial=float("nan"))
