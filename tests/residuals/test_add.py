import torch

from resformer.choices import NORMS
from resformer.residuals.add import Add
from resformer.residuals.base import Place


def test_is_the_sum() -> None:
    x, f = torch.randn(2, 6, 4), torch.randn(2, 6, 4)
    assert torch.equal(Add().write(x, f, Place(1, 3, {})), x + f)


def test_has_no_weights_and_goes_with_every_norm() -> None:
    assert Add().weights(4, 8) == []
    assert Add().norms == NORMS
