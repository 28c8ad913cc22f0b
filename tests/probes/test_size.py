import torch
from support.traces import of_streams, trace_of

from resformer.probes.measures.size import Size
from resformer.residuals.add import Add


def test_root_mean_square() -> None:
    stream = torch.tensor(
        [[[[3.0, 4.0], [0.0, 5.0]]], [[[1.0, 1.0], [1.0, 1.0]]]], dtype=torch.float64
    )
    rms = Size().compute(of_streams(stream, 2 * stream))["rms"]
    torch.testing.assert_close(
        rms, torch.tensor([[12.5**0.5, 1.0], [2 * 12.5**0.5, 2.0]], dtype=torch.float64)
    )


def test_a_norm_makes_the_root_mean_square_one() -> None:
    rms = Size().compute(trace_of(Add(), norm="post"))["rms"]
    assert rms.shape == (7, 2)
    # But for its epsilon of 1e-5.
    torch.testing.assert_close(rms[1:], torch.ones_like(rms[1:]), rtol=1e-4, atol=0)
    assert (rms[0] > 1.2).all()
