"""SGD with momentum against torch's."""

from collections.abc import Mapping

import pytest
import torch
from support.descents import descended, descended_by_torch
from torch import nn

from resformer.errors import UserError
from resformer.optimizers.sgd import SGD


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_torchs(momentum: float, weight_decay: float) -> None:
    def make(own: Mapping[str, nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
        options = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay}
        return [torch.optim.SGD(own.values(), **options)]

    ours = descended(SGD(momentum=momentum, weight_decay=weight_decay), decay_all=True)
    torch.testing.assert_close(ours, descended_by_torch(make), rtol=1e-10, atol=1e-10)


def test_settings_are_checked() -> None:
    with pytest.raises(UserError, match=r"optimizer.momentum=1.0: must be at least 0 and under 1"):
        SGD(momentum=1.0, weight_decay=0.0)
