"""Linear regression in context."""

import pytest
import torch
from support import shapes

from resformer.errors import Incompatible, UserError
from resformer.numerics import rng
from resformer.tasks.regress import Regress


def drawn(dimensions: int, points: int, sequences: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Points (B, points, d) and the values there (B, points), both float64."""
    task = Regress(dimensions=dimensions, points=points)
    source, target = task.draw(rng.key(torch.tensor([4]), "test"), sequences)
    return source[0, :, ::2, :dimensions].double(), target[0, :, ::2].double()


def test_points_and_values_stand_in_turn() -> None:
    source, target = Regress(dimensions=3, points=4).draw(rng.key(torch.tensor([1, 2]), "test"), 5)
    assert source.shape == (2, 5, 7, 4)
    assert not source[..., ::2, 3].any()  # points have no value
    assert not source[..., 1::2, :3].any()  # and values are at no point
    assert torch.equal(source[..., 1::2, 3], target[..., :-1:2])
    assert target[..., 1::2].isnan().all()


def test_values_are_linear_in_the_points() -> None:
    x, y = drawn(3, 8, 50)
    w = torch.linalg.lstsq(x, y.unsqueeze(-1)).solution
    # Points and values are rounded to float32, and eight points seldom lie in a plane.
    torch.testing.assert_close(x @ w, y.unsqueeze(-1), rtol=1e-5, atol=1e-5)


def test_least_squares_explains_as_much_as_the_docstring_says() -> None:
    dimensions, points = 3, 8
    x, y = drawn(dimensions, points, 20_000)
    for known in range(points):
        w = torch.linalg.pinv(x[:, :known]) @ y[:, :known].unsqueeze(-1)
        error = (x[:, known].unsqueeze(1) @ w).flatten() - y[:, known]
        # 20,000 squares of a standard deviation under twice their mean.
        expected = max(0, dimensions - known)
        assert float(error.square().mean()) == pytest.approx(expected, rel=0.07, abs=1e-4)


def test_weights_differ_from_sequence_to_sequence() -> None:
    x, y = drawn(2, 2, 30)
    w = torch.linalg.solve(x, y)
    assert (w.unsqueeze(0) - w.unsqueeze(1)).abs().sum(-1).fill_diagonal_(1).min() > 1e-3


def test_what_shows_or_shares_tokens_does_not_go_with_it() -> None:
    task = Regress(dimensions=2, points=4)
    with pytest.raises(Incompatible, match=r"attention=bidirectional: .*=regress; causal"):
        shapes.shape(task=task, attention="bidirectional")
    with pytest.raises(Incompatible, match=r"tied=true: .* false would work"):
        shapes.shape(task=task, tied=True)


@pytest.mark.parametrize(
    ("dimensions", "points", "message"),
    [(0, 4, "task.dimensions=0"), (65, 4, "task.dimensions=65"), (2, 257, "task.points=257")],
)
def test_a_size_out_of_range_is_refused(dimensions: int, points: int, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Regress(dimensions=dimensions, points=points)
