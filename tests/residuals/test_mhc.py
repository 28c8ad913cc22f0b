import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.naive_model import Naive, assert_formula, context, outputs, shape_of
from support.naive_model import start as initial
from support.traces import trace_of
from torch import Tensor

from resformer.errors import UserError
from resformer.residuals.add import Add
from resformer.residuals.mhc import Mhc, doubly_stochastic

STARTS = pytest.mark.parametrize("start", ["apart", "published"])


@pytest.mark.parametrize(("n", "start"), [(2, "apart"), (3, "apart"), (3, "published")])
def test_formula(n: int, start: str) -> None:
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
            c_M = net.w[f"{name}.mix"] - (8 if start == "apart" else 3)
            M = torch.exp(scale["mix"] * (u @ phi[:, 2 * n :]).unflatten(-1, (n, n)) + c_M)
            for _ in range(20):
                M = M / M.sum(1, keepdim=True)
                M = M / M.sum(2, keepdim=True)
            f = net.pre(i, torch.einsum("tn,tnd->td", a, H))
            H = torch.einsum("tkj,tjd->tkd", M, H) + torch.einsum("tk,td->tkd", b, f)
        return net.norm("last", H.sum(1))

    assert_formula(Mhc(streams=n, dynamic=0.01, start=start), layers)


@STARTS
def test_is_pre_norm_at_the_start_but_for_scales_that_norms_take_out(start: str) -> None:
    """Every stream gets the same branch, so that all stay equal and M, whose rows sum to 1, mixes
    equal streams.
    """
    # Norms take a scale out but for their epsilon of 1e-5.
    torch.testing.assert_close(
        outputs(Mhc(streams=4, dynamic=0.01, start=start)),
        outputs(Add(), norm="pre"),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize(("start", "logit"), [("apart", 8.0), ("published", 6.0)])
def test_matrices_start_near_the_identity(start: str, logit: float) -> None:
    """With logits that are equal off the diagonal, exp alone is a multiple of M."""
    scheme = Mhc(streams=4, dynamic=0.01, start=start)
    _, w = initial(shape_of(scheme))
    streams = tuple(
        torch.randn(4, 2, 5, 12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    )
    M = scheme.mixing(streams, context(scheme, 3, w))
    off = math.exp(-logit) / (1 + 3 * math.exp(-logit))
    expected = off + (1 - 4 * off) * torch.eye(4, dtype=torch.float64)
    torch.testing.assert_close(M, expected.expand(2, 5, -1, -1), rtol=1e-12, atol=1e-15)


@STARTS
def test_matrices_have_no_gradient_at_the_start(start: str) -> None:
    """Streams are equal, and rows sum to 1 whatever the logits."""
    gradients = trace_of(Mhc(streams=4, dynamic=0.01, start=start)).gradients
    for i in range(1, 7):
        assert gradients[f"sublayer{i}.mhc.write"].abs().max() > 1e-4
        # Differences of float64 numbers of size 0.01, times M off the diagonal, 2.5e-3.
        assert gradients[f"sublayer{i}.mhc.mix"].abs().max() < 1e-17


@STARTS
def test_the_stream_that_is_read_takes_turns(start: str) -> None:
    _, w = initial(shape_of(Mhc(streams=4, dynamic=0.01, start=start)))
    own = 1.0 if start == "apart" else 3.0
    for i in range(1, 7):
        read = [w[f"sublayer{i}.mhc.read{j}"][0].item() for j in range(4)]
        assert read == [own if j == i % 4 else -own for j in range(4)]


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


@pytest.mark.fuzz
@given(
    rows=st.lists(
        st.lists(st.floats(-1000, 1000, width=32), min_size=3, max_size=3), min_size=3, max_size=3
    ),
    shift=st.floats(-1000, 1000, width=32),
)
def test_logits_of_any_size_make_a_matrix_and_a_common_shift_none(
    rows: list[list[float]], shift: float
) -> None:
    """exp(89) is infinite in float32, and exp(-104) is 0."""
    logits = torch.tensor(rows, requires_grad=True)
    matrix = doubly_stochastic(logits)
    (gradient,) = torch.autograd.grad((matrix * torch.arange(9.0).view(3, 3)).sum(), logits)
    assert gradient.isfinite().all()
    torch.testing.assert_close(matrix.sum(-1), torch.ones(3), rtol=0, atol=1e-5)
    # Each of 40 normalisations rounds logarithms of up to 4,000 by up to 2e-4, and none increases
    # the range of what came before.
    torch.testing.assert_close(doubly_stochastic(logits + shift), matrix, rtol=0, atol=2e-2)


def test_matrices_of_a_member_do_not_depend_on_the_members_beside_it() -> None:
    """Bit for bit, with their gradients, for every number of streams and numbers of rows that fill
    no vector register.
    """
    generator = torch.Generator().manual_seed(0)
    for n in range(2, 17):
        for rows in (1, 7, 65):
            logits_PRnn = (5 * torch.randn(3, rows, n, n, generator=generator)).requires_grad_()
            weights_PRnn = torch.randn(3, rows, n, n, generator=generator)

            def matrices(members: slice, of: Tensor, by: Tensor) -> tuple[Tensor, Tensor]:
                M_PRnn = doubly_stochastic(of[members])
                return M_PRnn, torch.autograd.grad((M_PRnn * by[members]).sum(), of)[0][members]

            together = matrices(slice(None), logits_PRnn, weights_PRnn)
            for member in range(3):
                one = slice(member, member + 1)
                alone = matrices(one, logits_PRnn, weights_PRnn)
                assert all(
                    torch.equal(part[0], whole[member])
                    for part, whole in zip(alone, together, strict=True)
                )


@pytest.mark.parametrize(
    ("streams", "dynamic", "start"),
    [(1, 0.01, "apart"), (17, 0.01, "apart"), (4, float("nan"), "apart"), (4, 0.01, "paper")],
)
def test_impossible_settings_are_refused(streams: int, dynamic: float, start: str) -> None:
    with pytest.raises(UserError, match=r"model\.residual\."):
        Mhc(streams=streams, dynamic=dynamic, start=start)
