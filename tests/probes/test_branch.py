from typing import Any

import pytest
import torch
from support.schemes import name_of, schemes
from support.traces import trace_of

from resformer.probes.measures.branch import Branch
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.parallel import Parallel
from resformer.residuals.plain import Plain
from resformer.residuals.rezero import ReZero


def test_branch_ratio_of_a_sum() -> None:
    trace = trace_of(Add(), norm="pre")
    shares = Branch().compute(trace)["branch_share"]
    assert shares[0].isnan().all()
    for sublayer in trace.sublayers:
        together = sublayer.x_PRD + sublayer.f_PRD
        expected = sublayer.f_PRD.square().sum((1, 2)).sqrt() / together.square().sum((1, 2)).sqrt()
        torch.testing.assert_close(shares[sublayer.context.sublayer], expected)


def test_branch_ratio_with_the_skip_scaled() -> None:
    trace = trace_of(DeepNorm())
    sublayer = trace.sublayers[2]
    together = 6**0.25 * sublayer.x_PRD + sublayer.f_PRD
    expected = sublayer.f_PRD.square().sum((1, 2)).sqrt() / together.square().sum((1, 2)).sqrt()
    torch.testing.assert_close(Branch().compute(trace)["branch_share"][3], expected)


def test_the_ratio_is_one_without_a_skip_and_zero_switched_off() -> None:
    assert (Branch().compute(trace_of(Plain()))["branch_share"][1:] == 1).all()
    assert (Branch().compute(trace_of(ReZero(initial=0.0)))["branch_share"][1:] == 0).all()
    dropped = Branch().compute(trace_of(Add(), skip="attention"))["branch_share"]
    assert (
        (dropped == 1).all(1) == torch.tensor([False, False, True, False, True, False, True])
    ).all()


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_every_scheme_has_a_branch_ratio(residual: Residual[Any]) -> None:
    """But where attention's output joins the stream with the FFN's."""
    shares = Branch().compute(trace_of(residual))["branch_share"]
    missing = [0, 1, 3, 5] if isinstance(residual, Parallel) else [0]
    assert shares.isnan().all(1).nonzero().flatten().tolist() == missing
    assert (shares[~shares.isnan()] >= 0).all()
