"""AdamW against torch's, with weight decay of some parameters or all, and with factors."""

from collections.abc import Mapping

import pytest
import torch
from support.descents import DECAYING, descended, descended_by_torch, named
from torch import nn

from resformer.numerics.backends.base import Backend
from resformer.numerics.parameters import Factors
from resformer.optimizers.adamw import AdamW

# float32: 30 steps of size lr ≤ 0.3 add up their round-off, some five roundings each: 30 · 0.3 · 5
# · 6e-8.
TOLERANCE = {torch.float32: 3e-6, torch.float64: 1e-10}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("decay_all", [True, False])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_torchs(
    dtype: torch.dtype, decay_all: bool, weight_decay: float, backend: Backend
) -> None:
    optimizer = AdamW(beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=weight_decay)

    def make(own: Mapping[str, nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
        decaying = [p for name, p in own.items() if decay_all or name in DECAYING]
        others = [p for name, p in own.items() if not (decay_all or name in DECAYING)]
        options = {"lr": lr, "betas": (0.9, 0.98), "eps": 1e-8}
        decays = zip((decaying, others), (weight_decay, 0.0), strict=True)
        return [
            torch.optim.AdamW(group, weight_decay=decay, **options)
            for group, decay in decays
            if group
        ]

    ours = descended(optimizer, decay_all=decay_all, backend=backend, dtype=dtype)
    expected = descended_by_torch(make, dtype)
    torch.testing.assert_close(ours, expected, rtol=1e-6, atol=TOLERANCE[dtype])


def test_factors_are_those_of_torchs_groups(backend: Backend) -> None:
    factors = {"square": Factors(lr=0.5, eps=1e5, weight_decay=2.0), "bias": Factors(lr=3.0)}
    optimizer = AdamW(beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.1)

    def make(own: Mapping[str, nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
        groups = [
            {
                "params": [parameter],
                "lr": lr * of.lr,
                "eps": 1e-8 * of.eps,
                "weight_decay": 0.1 * of.weight_decay if name in DECAYING else 0.0,
            }
            for name, parameter in own.items()
            for of in [factors.get(name, Factors())]
        ]
        return [torch.optim.AdamW(groups, betas=(0.9, 0.98))]

    ours = descended(optimizer, factors=factors, backend=backend)
    expected = descended_by_torch(make)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)
    plain = named(descended(optimizer, backend=backend))
    changed = [name for name, tensor in named(ours).items() if not torch.equal(tensor, plain[name])]
    assert changed == ["bias", "square"]
