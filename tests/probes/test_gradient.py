import torch
from support.traces import trace_of

from resformer.probes.measures.gradient import Gradient
from resformer.residuals.add import Add
from resformer.residuals.rezero import ReZero


def test_norms_stand_behind_the_sublayer_that_has_the_matrix() -> None:
    trace = trace_of(Add())
    norms = Gradient().compute(trace)
    for group, sublayer in (("query", 1), ("output", 3), ("ffn_in", 2), ("ffn_out", 6)):
        gradient = trace.gradients[f"block{(sublayer + 1) // 2}.{group}.matrix"]
        expected = gradient.square().sum((1, 2)).sqrt()
        torch.testing.assert_close(norms[f"gradient_{group}"][sublayer], expected)
        assert (expected > 0).all()
    for group, column in norms.items():
        has = range(2, 7, 2) if "ffn" in group else range(1, 7, 2)
        has = [] if "gate" in group else has  # this FFN has none
        assert [layer for layer in range(7) if not column[layer].isnan().any()] == list(has)


def test_a_branch_that_is_switched_off_has_no_gradient() -> None:
    norms = Gradient().compute(trace_of(ReZero(initial=0.0)))
    assert all((column.nan_to_num() == 0).all() for column in norms.values())


def test_a_gate_has_a_gradient_of_its_own() -> None:
    trace = trace_of(Add(), activation="swiglu")
    column = Gradient().compute(trace)["gradient_ffn_gate"]
    gradient = trace.gradients["block2.ffn_gate.matrix"]
    torch.testing.assert_close(column[4], gradient.square().sum((1, 2)).sqrt())
