import pytest
import torch
from support.naive_model import Naive, assert_formula, inputs, shape_of, start
from torch import Tensor

from resformer.residuals.add import Add
from resformer.residuals.b2t import B2t


def layers(net: Naive, x: Tensor) -> Tensor:
    for block in range(1, net.depth + 1):
        y = net.post(2 * block - 1, x + net.attention(block, x))
        x = net.post(2 * block, x + y + net.ffn(block, y))
    return x


def test_formula() -> None:
    assert_formula(B2t(), layers)


def test_goes_with_post_norm_only() -> None:
    assert B2t().norms == ("post",)


def test_of_a_block_that_reads_zero_it_is_post_norm() -> None:
    """There is nothing to carry from bottom to top;
    biases make sure that there is something else.
    """
    outputs = []
    for residual in (B2t(), Add()):
        shape = shape_of(residual, depth=1, norm="post")  # at depth 1 both start alike
        flat_PN, w = start(shape)
        w["embedding.token"].zero_()
        w["embedding.position"].zero_()
        w["block1.output.bias"].copy_(torch.arange(12.0).expand(2, 12))
        outputs.append(shape.transformer().forward(flat_PN, inputs(shape)))
    assert outputs[0].std() > 0.1
    assert torch.equal(*outputs)


@pytest.mark.parametrize(("depth", "gain"), [(4, 0.5), (16, 0.25)])
def test_initial_matrices_are_scaled_by_depth(depth: int, gain: float) -> None:
    """As the authors' code was seen to: all six matrices of a layer, and nothing else."""
    _, ours = start(shape_of(B2t(), depth=depth))
    _, base = start(shape_of(Add(), depth=depth))
    for name, tensor in base.items():
        lighter = name.startswith("block") and name.endswith(".matrix")
        torch.testing.assert_close(ours[name], tensor * gain if lighter else tensor)
