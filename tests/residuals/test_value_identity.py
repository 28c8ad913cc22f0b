import torch
from support.naive_model import Naive, assert_formula, shape_of, start
from support.schemes import scheme
from torch import Tensor

from resformer.residuals.value_identity import ValueIdentity

SCHEME = ValueIdentity(ffn_gain_at_18_blocks=0.1)


def layers(net: Naive, x: Tensor) -> Tensor:
    for block in range(1, net.depth + 1):
        x = net.pre(2 * block - 1, x)
        x = x + net.w[f"block{block}.value_identity.ffn_gain"] * net.pre(2 * block, x)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(SCHEME, layers)


def test_values_and_outputs_start_as_the_identity() -> None:
    _, w = start(shape_of(SCHEME))
    for group in ("value", "output"):
        assert torch.equal(w[f"block2.{group}.matrix"][1], torch.eye(12, dtype=torch.float64))
    assert not torch.equal(w["block2.query.matrix"][1], torch.eye(12, dtype=torch.float64))


def test_starts_as_shaped_attention_but_for_its_queries() -> None:
    """What it is the control of: the same FFN and the same matrices, another pattern."""
    (_, ours), (_, theirs) = (
        start(shape_of(scheme(name))) for name in ("value_identity", "shaped")
    )
    for name, tensor in ours.items():
        other = theirs[name.replace("value_identity", "shaped")]
        assert torch.equal(tensor, other) or name.endswith(".query.matrix")
