import torch

from resformer.choices import NORMS
from resformer.residuals.base import Place
from resformer.residuals.plain import Plain


def test_nothing_is_carried_past_the_sublayer() -> None:
    x, f = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    assert torch.equal(Plain().write(x, f, Place(1, 3, {})), f)


def test_has_no_weights_and_goes_with_every_norm() -> None:
    assert Plain().weights(4, 8) == []
    assert Plain().norms == NORMS
