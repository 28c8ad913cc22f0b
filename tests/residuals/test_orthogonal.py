import torch
from support.naive_model import Naive, assert_formula, context
from torch import Tensor

from resformer.residuals.orthogonal import Orthogonal


def layers(net: Naive, x: Tensor) -> Tensor:
    for i in net.sublayers:
        f = net.pre(i, x)
        onto = torch.stack(
            [torch.outer(row, row) / (row @ row + 1e-6) for row in x]
        )  # a projection per token
        x = x + f - (onto @ f.unsqueeze(-1)).squeeze(-1)
    return net.norm("last", x)


def test_formula() -> None:
    assert_formula(Orthogonal(), layers)


def written(x_PRD: Tensor, f_PRD: Tensor) -> Tensor:
    return Orthogonal().write(x_PRD, f_PRD, context(Orthogonal(), 1))


def test_what_is_added_is_orthogonal_to_the_stream_of_each_token() -> None:
    x, f = torch.randn(2, 3, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    added = written(x, f) - x
    # The ε of 1e-6 leaves x·f·ε / (|x|² + ε), under 1e-6 of a product of size 10.
    torch.testing.assert_close(
        (added * x).sum(-1), torch.zeros(3, 5, dtype=torch.float64), rtol=0, atol=1e-5
    )
    # The stream grows as by Pythagoras, up to the same part.
    torch.testing.assert_close(
        written(x, f).square().sum(-1), (x.square() + added.square()).sum(-1), rtol=1e-5, atol=0
    )


def test_an_orthogonal_branch_is_added_whole_and_a_parallel_one_left_out() -> None:
    x, f = torch.zeros(2, 1, 1, 12, dtype=torch.float64)
    x[..., :6], f[..., 6:] = 3.0, 2.0
    assert torch.equal(written(x, f), x + f)
    # The part that ε leaves: 2·|x|·ε / |x|², |x|² = 54.
    torch.testing.assert_close(written(x, 2 * x), x, rtol=1e-6, atol=0)


def test_a_stream_of_zeros_takes_the_branch_whole() -> None:
    x, f = torch.zeros(1, 2, 12), torch.ones(1, 2, 12)
    assert torch.equal(written(x, f), f)
