import pytest
import torch
from support.naive_model import away_from_start, shape_of, start
from support.schemes import scheme
from support.traces import trace_of, trace_with
from torch import Tensor

from resformer.probes.measures.mixing import Mixing
from resformer.residuals.add import Add
from resformer.residuals.hyper import Hyper


def hyper_with(matrices: list[list[list[float]]]) -> dict[str, Tensor]:
    """Measures of a model of two streams whose sub-layer i mixes by matrix i, x' = M·x."""
    shape = shape_of(Hyper(streams=2, dynamic=0.0))
    flat_PN, w = start(shape)
    for i, rows in enumerate(matrices, 1):
        w[f"sublayer{i}.hyper.mix"].copy_(torch.tensor(rows).T)
    return Mixing().compute(trace_with(shape, flat_PN))


def test_distance_and_composite_gains_by_hand() -> None:
    identity = [[1.0, 0.0], [0.0, 1.0]]
    shear, scaled = [[1.0, -0.5], [0.0, 1.0]], [[1.0, 0.0], [2.0, 1.0]]
    measured = hyper_with([shear, identity, scaled, identity, identity, identity])
    assert measured["mixing_distance"][1:, 0].tolist() == [0.5, 0, 2, 0, 0, 0]
    # scaled·shear = [[1, -½], [2, 0]]: row sums 1.5 and 2, column sums 3 and ½.
    assert measured["composite_gain_forward"][1:, 0].tolist() == [1.5, 1.5, 2, 2, 2, 2]
    assert measured["composite_gain_backward"][1:, 0].tolist() == [3, 3, 3, 1, 1, 1]
    assert all(column[0].isnan().all() for column in measured.values())


def test_members_and_tokens_are_apart() -> None:
    """A gain is a mean over tokens, the distance the largest of them."""
    shape = shape_of(scheme("hyper"))
    trace = trace_with(shape, away_from_start(shape))
    measured = Mixing().compute(trace)
    first = trace.sublayers[0]
    M = trace.residual.mixing(first.before, first.context)
    assert M is not None
    for member in range(2):
        gains, distances = [], []
        for matrix in M[member]:
            gains.append(matrix.abs().sum(1).max())
            distances.append((matrix - torch.eye(4)).abs().max())
        torch.testing.assert_close(
            measured["composite_gain_forward"][1, member], torch.stack(gains).mean()
        )
        assert measured["mixing_distance"][1, member] == max(distances)


# 20 rounds of Sinkhorn and Knopp leave column sums some 1e-3 from 1, where a sum over all
# permutations rounds.
@pytest.mark.parametrize(("name", "tolerance"), [("mhc", 1e-2), ("mhc_lite", 1e-12)])
def test_products_of_doubly_stochastic_matrices_gain_nothing(name: str, tolerance: float) -> None:
    shape = shape_of(scheme(name))
    measured = Mixing().compute(trace_with(shape, away_from_start(shape)))
    distances, forward, backward = (column[1:] for column in measured.values())
    assert (distances > 1e-4).all()
    # Rows are scaled last.
    torch.testing.assert_close(forward, torch.ones_like(forward), rtol=1e-12, atol=0)
    torch.testing.assert_close(backward, torch.ones_like(backward), rtol=tolerance, atol=0)


def test_streams_that_are_not_mixed_keep_the_identity() -> None:
    measured = Mixing().compute(trace_of(scheme("hyper")))
    assert (measured["mixing_distance"][1:] == 0).all()
    assert (measured["composite_gain_forward"][1:] == 1).all()
    assert (measured["composite_gain_backward"][1:] == 1).all()


def test_a_scheme_with_one_stream_has_no_mixing() -> None:
    assert all(column.isnan().all() for column in Mixing().compute(trace_of(Add())).values())
