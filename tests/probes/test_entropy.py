import math
from dataclasses import replace

import pytest
import torch
from support.traces import trace_of

from resformer.probes.measures.entropy import Entropy
from resformer.residuals.add import Add


def with_weights(a_TT: torch.Tensor) -> torch.Tensor:
    trace = trace_of(Add())
    sublayers = list(trace.sublayers)
    sublayers[2] = replace(sublayers[2], a_PBHTT=a_TT.expand(2, 3, 3, -1, -1))
    return Entropy().compute(replace(trace, sublayers=sublayers))["attention_entropy"][3]


def test_entropy_goes_from_one_token_to_all() -> None:
    assert with_weights(torch.eye(10, dtype=torch.float64)).tolist() == [0.0, 0.0]
    uniform = torch.full((10, 10), 0.1, dtype=torch.float64)
    assert with_weights(uniform).tolist() == [pytest.approx(math.log(10))] * 2


def test_entropy_stands_behind_attention_only() -> None:
    entropies = Entropy().compute(trace_of(Add()))["attention_entropy"]
    assert (~entropies.isnan()).any(1).tolist() == [False, True, False, True, False, True, False]
    assert (entropies.nan_to_num() < math.log(10)).all()


def test_attention_weights_below_zero_have_no_entropy() -> None:
    weights = torch.eye(10, dtype=torch.float64)
    weights[0, 1], weights[0, 0] = -0.1, 1.1
    assert with_weights(weights).isnan().all()
