import pytest
import torch

from resformer.residuals.base import Place
from resformer.residuals.layerscale import LayerScale

SCHEME = LayerScale(initial_to_18_blocks=0.1, initial_to_24_blocks=1e-5, initial_beyond=1e-6)


@pytest.mark.parametrize(("depth", "value"), [(1, 0.1), (18, 0.1), (19, 1e-5), (24, 1e-5), (25, 1e-6), (100, 1e-6)])
def test_starts_by_depth(depth: int, value: float) -> None:
    weights = SCHEME.weights(depth, 8)
    assert [(weight.size, weight.scale) for weight in weights] == [(8, value)] * (2 * depth)


def test_scales_every_channel_of_the_branch() -> None:
    x, f = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    weights = {f"sublayer{i}.layerscale.lambda": torch.randn(2, 4) for i in (1, 2)}
    for sublayer in (1, 2):
        written = SCHEME.write(x, f, Place(sublayer, 1, weights))
        scale = weights[f"sublayer{sublayer}.layerscale.lambda"]
        expected = torch.stack([x[member] + f[member] @ torch.diag(scale[member]) for member in (0, 1)])
        torch.testing.assert_close(written, expected)


def test_goes_with_pre_norm_only() -> None:
    assert SCHEME.norms == ("pre",)
