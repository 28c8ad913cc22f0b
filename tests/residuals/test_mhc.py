import pytest
import torch
from support.naive_model import Naive, assert_formula, outputs
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.mhc import Mhc, doubly_stochastic


@pytest.mark.parametrize("n", [2, 3])
def test_formula(n: int) -> None:
    def layers(net: Naive, x: Tensor) -> Tensor:
        H = x.unsqueeze(1).expand(-1, n, -1)  # (T, n, D)
        for i in net.sublayers:
            name = f"sublayer{i}.mhc"
            u = H.flatten(1)
            u = u / torch.sqrt((u**2).mean(-1, keepdim=True) + 1e-6)
            phi, scale = (
                net.w[f"{name}.dynamic"],
                {of: net.w[f"{name}.scale_{of}"] for of in ("read", "write", "mix")},
            )
            c_a = torch.cat([net.w[f"{name}.read{j}"] for j in range(n)])
            a = torch.sigmoid(scale["read"] * (u @ phi[:, :n]) + c_a)
            b = 2 * torch.sigmoid(scale["write"] * (u @ phi[:, n : 2 * n]) + net.w[f"{name}.write"])
            c_M = net.w[f"{name}.mix"] - 8
            M = torch.exp(scale["mix"] * (u @ phi[:, 2 * n :]).unflatten(-1, (n, n)) + c_M)
            for _ in range(20):
                M = M / M.sum(1, keepdim=True)
                M = M / M.sum(2, keepdim=True)
            f = net.pre(i, torch.einsum("tn,tnd->td", a, H))
            H = torch.einsum("tkj,tjd->tkd", M, H) + torch.einsum("tk,td->tkd", b, f)
        return net.norm("last", H.sum(1))

    assert_formula(Mhc(streams=n, dynamic=0.01), layers)


def test_is_pre_norm_at_the_start_but_for_scales_that_norms_take_out() -> None:
    # Norms take a scale out but for their epsilon of 1e-5.
    torch.testing.assert_close(
        outputs(Mhc(streams=4, dynamic=0.01)), outputs(Add(), norm="pre"), rtol=1e-3, atol=1e-3
    )


def test_rows_and_columns_sum_to_one() -> None:
    matrices = doubly_stochastic(
        torch.randn(50, 4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    torch.testing.assert_close(
        matrices.sum(-1), torch.ones(50, 4, dtype=torch.float64), rtol=1e-12, atol=1e-12
    )
    # Rows come last; columns are as near as 20 rounds bring them.
    torch.testing.assert_close(
        matrices.sum(-2), torch.ones(50, 4, dtype=torch.float64), rtol=1e-2, atol=1e-2
    )
    assert matrices.min() > 0


@pytest.mark.parametrize(("streams", "dynamic"), [(1, 0.01), (17, 0.01), (4, float("nan"))])
def test_impossible_settings_are_refused(streams: int, dynamic: float) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        Mhc(streams=streams, dynamic=dynamic)
