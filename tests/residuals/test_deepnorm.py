import dataclasses

import pytest
import torch

from resformer.residuals.add import Add
from resformer.residuals.base import Place
from resformer.residuals.deepnorm import DeepNorm
from resformer.shape import Shape
from resformer.weights import initial, unpack


@pytest.mark.parametrize(("depth", "alpha", "beta"), [(2, 1.4142, 0.5), (8, 2.0, 0.3536), (32, 2.8284, 0.25)])
def test_constants_of_the_paper(depth: int, alpha: float, beta: float) -> None:
    """Wang et al. 2022, figure 2, encoder-only; to the four decimals of the table."""
    x, f = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    written = DeepNorm().write(x, f, Place(1, depth, {}))
    torch.testing.assert_close(written, alpha * x + f, rtol=1e-4, atol=1e-4)
    assert DeepNorm().gain("query", depth) == DeepNorm().gain("key", depth) == 1
    for group in ("value", "output", "ffn_in", "ffn_out"):
        assert DeepNorm().gain(group, depth) == pytest.approx(beta, abs=5e-5)


def test_starts_from_the_shared_draw_scaled(shape: Shape) -> None:
    deep = dataclasses.replace(shape, residual=DeepNorm())
    seeds = torch.arange(3)
    weights = [wanted.transformer().weights() for wanted in (shape, deep)]
    base, ours = (unpack(found, initial(found, seeds, torch.float64)) for found in weights)
    assert isinstance(shape.residual, Add)
    beta = (8 * shape.model.depth) ** -0.25
    torch.testing.assert_close(ours["block1.value.matrix"], base["block1.value.matrix"] * beta)
    assert torch.equal(ours["block1.query.matrix"], base["block1.query.matrix"])
    assert torch.equal(ours["head.matrix"], base["head.matrix"])
