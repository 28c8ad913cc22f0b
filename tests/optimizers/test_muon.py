"""Muon against torch's Muon and AdamW, and the matrix that it moves along."""

from collections.abc import Mapping

import pytest
import torch
from support.descents import DECAYING, MATRICES, descended, descended_by_torch
from torch import Tensor, nn

from resformer.optimizers.muon import Muon, orthogonal


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_torchs_for_matrices_and_adamw_for_the_rest(
    weight_decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In float64: torch orthogonalises in bfloat16 unless it is kept from that."""
    monkeypatch.setattr(Tensor, "bfloat16", Tensor.clone)
    optimizer = Muon(momentum=0.95, beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=weight_decay)

    def make(own: Mapping[str, nn.Parameter], lr: float) -> list[torch.optim.Optimizer]:
        matrices = [own[name] for name in MATRICES]
        groups = [
            {"params": [own[name]], "weight_decay": weight_decay if name in DECAYING else 0.0}
            for name in own
            if name not in MATRICES
        ]
        return [
            torch.optim.Muon(
                matrices,
                lr=lr,
                weight_decay=weight_decay,
                momentum=0.95,
                adjust_lr_fn="match_rms_adamw",
            ),
            torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.98), eps=1e-8),
        ]

    ours, expected = descended(optimizer), descended_by_torch(make)
    torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-10)


def test_members_do_not_see_each_other() -> None:
    optimizer = Muon(momentum=0.95, beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.1)
    together = descended(optimizer, dtype=torch.float32)
    for row in range(3):
        alone = descended(optimizer, dtype=torch.float32, rows=[row])
        assert torch.equal(alone[0], together[row])


@pytest.mark.parametrize("shape", [(4, 7), (7, 4), (32, 32)])
def test_a_direction_is_nearly_orthogonal_with_the_same_singular_vectors(
    shape: tuple[int, int],
) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2, 3, *shape, dtype=torch.float64, generator=generator)
    near = orthogonal(x)
    left, _, right = torch.linalg.svd(x, full_matrices=False)
    values = left.mT @ near @ right.mT
    size = values.diagonal(dim1=-2, dim2=-1)
    assert (values - torch.diag_embed(size)).abs().max() < 1e-9
    assert size.max() < 1.3  # the iteration leaves them between 0.7 and 1.2, small ones below
    assert size[..., 0].min() > 0.6


def test_a_gradient_of_zero_moves_nothing() -> None:
    assert torch.equal(orthogonal(torch.zeros(1, 2, 3, 4)), torch.zeros(1, 2, 3, 4))
