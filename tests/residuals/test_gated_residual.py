import pytest
import torch
from support.naive_model import Naive, assert_formula, inputs, rms, shape_of, silu, start
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.gated_residual import GatedResidual


@pytest.mark.parametrize(("n", "width"), [(2, 12), (3, 36)])
def test_formula(n: int, width: int) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        R = torch.stack([x] * n, 1)  # (T, n, D)

        def normed(owner: str) -> Tensor:
            gain = net.w[f"{owner}.gated_residual.gain"].view(n, -1)
            return rms(R) * gain

        def read(owner: str) -> Tensor:
            down, up = (net.w[f"{owner}.gated_residual.{part}"] for part in ("down", "up"))
            assert down.shape[1] == max(2, width // 8)
            gates = torch.sigmoid(silu(normed(owner).flatten(1) @ down / n) @ up)
            return (gates.view_as(R) * normed(owner)).mean(1)

        for i in net.sublayers:
            f, owner = net.F(i, read(f"sublayer{i}")), f"sublayer{i}"
            s = normed(owner).flatten(1) @ net.w[f"{owner}.gated_residual.write"] / n
            R = R + 2 * torch.sigmoid(s).unsqueeze(2) * f.unsqueeze(1)
        return read("output")

    assert_formula(GatedResidual(streams=n), layers, width=width)


def test_with_gates_that_do_not_move_it_is_pre_norm() -> None:
    """Half-open to read and with weight 1 to write: RMSNorms with a gain of one half."""
    logits = []
    for residual, model in (
        (GatedResidual(streams=4), {}),
        (Add(), {"norm": "pre", "norm_kind": "rms"}),
    ):
        shape = shape_of(residual, **model)
        flat_PN, w = start(shape)
        for name, tensor in w.items():
            if name.endswith(("gated_residual.up", "gated_residual.write")):
                tensor.zero_()
            if name.endswith("norm.gain"):
                tensor.fill_(0.5)
        logits.append(shape.transformer().forward(flat_PN, inputs(shape)))
    # float64, values of size 10 at most.
    torch.testing.assert_close(*logits, rtol=1e-9, atol=1e-9)


def test_the_arguments_of_its_gates_start_small_whatever_the_width() -> None:
    """The standard deviation of the writes' is √2 / n, 0.35 at n = 4."""
    for width in (24, 96):
        shape = shape_of(GatedResidual(streams=4), width=width)
        _, w = start(shape, members=20)
        u = torch.ones(4 * width, dtype=torch.float64)
        arguments = u @ w["sublayer1.gated_residual.write"] / 4
        # 80 numbers: their standard deviation is within 8 % of that of their distribution.
        assert 0.3 < arguments.std() < 0.4


def test_goes_without_norms_since_it_has_its_own() -> None:
    assert GatedResidual(streams=4).norms == ("none",)


@pytest.mark.parametrize("streams", [1, 17])
def test_impossible_settings_are_refused(streams: int) -> None:
    with pytest.raises(UserError, match=r"model\.residual\.streams"):
        GatedResidual(streams=streams)
