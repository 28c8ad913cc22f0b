"""Parity with the package `admin-torch` of the paper's authors."""

import pytest
import torch
from support import foreign
from support.foreign import Compare, Weights
from support.naive_model import shape_of, start
from support.schemes import scheme
from torch import Tensor

admin_torch = pytest.importorskip("admin_torch")


def test_skips_are_the_authors_module(compare: Compare) -> None:
    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        for i in range(1, 7):
            skip = admin_torch.as_module(6, as_parameter=True, embed_dim=12)
            own = {"omega": w[f"sublayer{i}.admin.omega"]}
            summed = foreign.call(skip, own, x_BTD, foreign.sublayer(w, i)(x_BTD))
            x_BTD = foreign.norm(w, f"sublayer{i}.out")(summed)
        return x_BTD

    compare(scheme("admin"), stack)


@pytest.mark.parametrize("depth", [1, 2, 6, 18, 100])
def test_skips_start_as_the_authors_do(depth: int) -> None:
    """Their argument counts sub-layers. They keep ω in float32."""
    _, w = start(shape_of(scheme("admin"), depth=depth), members=1)
    theirs = admin_torch.as_module(2 * depth, as_parameter=True, embed_dim=12).omega.detach()
    assert torch.equal(w["sublayer1.admin.omega"][0].float(), theirs)
