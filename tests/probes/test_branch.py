from typing import Any

import pytest
import torch
from support.schemes import name_of, schemes
from support.traces import observed

from resformer.probes.measures.branch import Branch
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero


def test_branch_ratio_of_a_sum() -> None:
    looked_at = observed(Add(), norm="pre")
    found = Branch().measure(looked_at)["branch_share"]
    assert found[0].isnan().all()
    for seen in looked_at.seen:
        together = seen.x_PRD + seen.f_PRD
        expected = seen.f_PRD.square().sum((1, 2)).sqrt() / together.square().sum((1, 2)).sqrt()
        torch.testing.assert_close(found[seen.place.sublayer], expected)


def test_branch_ratio_with_the_skip_scaled() -> None:
    looked_at = observed(DeepNorm())
    seen = looked_at.seen[2]
    together = 6**0.25 * seen.x_PRD + seen.f_PRD
    expected = seen.f_PRD.square().sum((1, 2)).sqrt() / together.square().sum((1, 2)).sqrt()
    torch.testing.assert_close(Branch().measure(looked_at)["branch_share"][3], expected)


def test_the_ratio_is_one_without_a_skip_and_zero_switched_off() -> None:
    assert (Branch().measure(observed(Plain()))["branch_share"][1:] == 1).all()
    assert (Branch().measure(observed(ReZero(0.0)))["branch_share"][1:] == 0).all()
    dropped = Branch().measure(observed(Add(), skip="attention"))["branch_share"]
    assert (
        (dropped == 1).all(1) == torch.tensor([False, False, True, False, True, False, True])
    ).all()


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_every_scheme_has_a_branch_ratio(residual: Residual[Any]) -> None:
    found = Branch().measure(observed(residual))["branch_share"][1:]
    assert found.isfinite().all()
    assert (found >= 0).all()
