import dataclasses

import pytest
import torch

from resformer.errors import UserError
from resformer.residuals.base import Place
from resformer.residuals.rezero import ReZero
from resformer.shape import Shape
from resformer.weights import initial, unpack


def test_scales_the_branch_by_its_blocks_own_scalar() -> None:
    x, f = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    weights = {f"block{block}.rezero.alpha": torch.randn(2, 1) for block in (1, 2)}
    for sublayer, block in ((1, 1), (2, 1), (3, 2), (4, 2)):
        written = ReZero(0.0).write(x, f, Place(sublayer, 2, weights))
        alpha = weights[f"block{block}.rezero.alpha"]
        expected = torch.stack([x[member] + alpha[member, 0] * f[member] for member in (0, 1)])
        assert torch.equal(written, expected)


def test_at_the_start_the_stack_is_the_identity(shape: Shape) -> None:
    """The logits are the head applied to the embedding."""
    shape = dataclasses.replace(
        shape, residual=ReZero(0.0), model=dataclasses.replace(shape.model, norm="none", depth=3)
    )
    transformer = shape.transformer()
    flat_PN = initial(transformer.weights(), torch.arange(2), torch.float64)
    reads = torch.randint(0, shape.task.symbols, (2, 4, transformer.tokens))
    w = unpack(transformer.weights(), flat_PN)
    for member in (0, 1):
        x = w["embedding.token"][member][reads[member]] + w["embedding.position"][member]
        expected = x[:, -transformer.scored :] @ w["head.matrix"][member]
        torch.testing.assert_close(transformer.forward(flat_PN, reads)[member], expected, rtol=1e-12, atol=1e-12)


def test_one_learned_scalar_per_block_and_no_norm() -> None:
    weights = ReZero(0.25).weights(3, 8)
    assert [(weight.size, weight.scale) for weight in weights] == [(1, 0.25)] * 3
    assert ReZero(0.0).norms == ("none",)


def test_an_initial_value_that_is_no_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"model\.residual\.initial=nan"):
        ReZero(float("nan"))
