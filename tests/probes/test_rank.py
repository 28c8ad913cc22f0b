import math

import pytest
import torch
from support.traces import of_streams

from resformer.probes.measures.rank import Rank

GENERATOR = torch.Generator().manual_seed(0)


def test_relative_residual_by_hand() -> None:
    stream = torch.tensor([[[[1.0, 0.0], [0.0, 1.0]]]], dtype=torch.float64)
    measured = Rank().compute(of_streams(stream))
    # X - 1·(½ ½) has entries ±½: largest column and row sums 1, as those of X.
    assert measured["relative_residual"].item() == pytest.approx(1.0)
    assert measured["effective_rank"].item() == pytest.approx(2.0)


def test_equal_tokens_have_no_residual() -> None:
    stream = torch.randn(2, 3, 1, 6, generator=GENERATOR, dtype=torch.float64).expand(-1, -1, 5, -1)
    measured = Rank().compute(of_streams(stream))
    # A mean of five equal float64 is off by 1e-16 of them, and the sums of six entries of that by
    # 1e-15.
    assert measured["relative_residual"].max() < 1e-14
    torch.testing.assert_close(measured["effective_rank"], torch.ones(1, 2, dtype=torch.float64))


@pytest.mark.parametrize("small", [1e-3, 1e-12])
def test_a_small_difference_is_measured(small: float) -> None:
    """Below 1e-7 float32 would see nothing of it."""
    same = torch.ones(1, 1, 4, 4, dtype=torch.float64)
    apart = small * torch.eye(4, dtype=torch.float64).view(1, 1, 4, 4)
    measured = Rank().compute(of_streams(same + apart))["relative_residual"].item()
    # |ε(I - ¼)| = ε·(¾ + 3·¼) = 1.5 ε, |X| = 4 + ε.
    assert measured == pytest.approx(1.5 * small / (4 + small), rel=1e-3)


def test_effective_rank_is_the_exponential_of_an_entropy() -> None:
    stream = torch.diag(torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)).view(1, 1, 3, 3)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert Rank().compute(of_streams(stream))["effective_rank"].item() == pytest.approx(
        math.exp(entropy)
    )


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_stream_that_is_not_finite_has_no_rank(bad: float) -> None:
    stream = torch.ones(2, 1, 3, 3, dtype=torch.float64)
    stream[1, 0, 1, 1] = bad
    measured = Rank().compute(of_streams(stream))["effective_rank"]
    assert measured.isnan().tolist() == [[False, True]]
