import pytest
import torch
from support.naive_model import Naive, assert_formula, context, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm, alpha, beta


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        x = net.post(i, 6**0.25 * x + net.F(i, x))  # 3 blocks
    return x


def test_formula() -> None:
    assert_formula(DeepNorm(), layers)


@pytest.mark.parametrize(
    ("depth", "skip", "gain"), [(2, 1.4142, 0.5), (8, 2.0, 0.3536), (32, 2.8284, 0.25)]
)
def test_constants_of_the_paper(depth: int, skip: float, gain: float) -> None:
    """Wang et al. 2022, figure 2, encoder-only; to the four decimals of the table."""
    at = context(DeepNorm(), 1, depth=depth)
    x, f = torch.randn(2, 2, 6, 4, generator=torch.Generator().manual_seed(0))
    written = DeepNorm().write(x, f, at)
    torch.testing.assert_close(written, skip * x + f, rtol=1e-4, atol=1e-4)
    assert DeepNorm().gain("query", at.architecture) == 1
    assert DeepNorm().gain("key", at.architecture) == 1
    for group in ("value", "output", "ffn_in", "ffn_out"):
        assert DeepNorm().gain(group, at.architecture) == pytest.approx(gain, abs=5e-5)


def test_the_skip_is_plain_at_half_a_block_and_the_draw_at_an_eighth() -> None:
    """Post-norm is the case α = β = 1; nothing else is different."""
    assert alpha(0.5) == beta(0.125) == 1


def test_starts_from_the_shared_draw_scaled() -> None:
    (_, ours), (_, base) = start(shape_of(DeepNorm())), start(shape_of(Add()))
    for name, tensor in base.items():
        lighter = name.endswith(".matrix") and name.split(".")[1] in (
            "value",
            "output",
            "ffn_in",
            "ffn_out",
        )
        torch.testing.assert_close(ours[name], tensor * 24**-0.25 if lighter else tensor)
