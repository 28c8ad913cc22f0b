"""The compiled kernels against torch's own operations: what they compute, and what they do with
NaN.
"""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import AdamWSettings, AttentionSettings, Backend

KERNELS = pytest.mark.usefixtures("kernels")

# Sums of some hundred terms of size 1 in another order. Layer norm amplifies the round-off of a row
# that hardly varies, in narrow widths a thousandfold and more: so they are tried in float64 only.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 3e-5}


def sublayers(
    tokens: int, width: int, heads: int, hidden: int, causal: bool
) -> dict[str, Callable[..., Tensor]]:
    """Each sub-layer as a function of an arithmetic, x_PRD and the weights in the order of
    `shapes`.
    """
    settings = AttentionSettings(tokens=tokens, heads=heads, causal=causal)
    return {
        "attend": lambda a, x, w: a.attend(x, w[:8], settings),
        "ffn": lambda a, x, w: a.ffn(x, w[8:12], "relu"),
        "norm": lambda a, x, w: a.norm(x, w[12], w[13]),
    }


def outcome(
    backend: Backend,
    sublayer: Callable[..., Tensor],
    x_PRD: Tensor,
    flat_PN: Tensor,
    hidden: int,
):
    """The output, and the gradients of x and all weights for a fixed gradient of the output."""
    x_PRD, flat_PN = x_PRD.clone().requires_grad_(), flat_PN.clone().requires_grad_()
    y_PRD = sublayer(backend, x_PRD, _weights(flat_PN, x_PRD.shape[2], hidden))
    slope_PRD = torch.linspace(-1, 1, y_PRD.numel(), dtype=y_PRD.dtype).view(y_PRD.shape)
    return [y_PRD.detach(), *torch.autograd.grad(y_PRD, (x_PRD, flat_PN), slope_PRD)]


def drawn(
    members: int, rows: int, width: int, hidden: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    count = 4 * (width * width + width) + 2 * width * hidden + hidden + 3 * width
    generator = torch.Generator().manual_seed(members + rows + width)
    return (
        torch.randn(members, rows, width, dtype=dtype, generator=generator),
        torch.randn(members, count, dtype=dtype, generator=generator) * 0.3,
    )


@KERNELS
@settings(max_examples=60, deadline=None)
@given(
    members=st.integers(1, 4),
    sequences=st.integers(1, 70),
    tokens=st.integers(1, 40),
    heads=st.integers(1, 4),
    head_width=st.integers(1, 20),
    hidden=st.integers(2, 70),
    causal=st.booleans(),
)
def test_kernels_compute_what_torch_computes(
    members: int,
    sequences: int,
    tokens: int,
    heads: int,
    head_width: int,
    hidden: int,
    causal: bool,
) -> None:
    """Any sizes: rows that fill no vector, more of them than one chunk, one token, one member."""
    same(
        members, sequences, tokens, heads * max(head_width, 2), heads, hidden, causal, torch.float64
    )


@KERNELS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("tokens", "width", "hidden"),
    [(8, 32, 128), (16, 32, 128), (32, 64, 256), (10, 36, 50), (300, 16, 20)],
)
def test_kernels_compute_what_torch_computes_in_both_precisions(
    tokens: int, width: int, hidden: int, dtype: torch.dtype
) -> None:
    same(3, 32, tokens, width, 4, hidden, tokens == 16, dtype)


def same(
    members: int,
    sequences: int,
    tokens: int,
    width: int,
    heads: int,
    hidden: int,
    causal: bool,
    dtype: torch.dtype,
) -> None:
    x_PRD, flat_PN = drawn(members, sequences * tokens, width, hidden, dtype)
    for sublayer in sublayers(tokens, width, heads, hidden, causal).values():
        expected = outcome(eager, sublayer, x_PRD, flat_PN, hidden)
        for ours, theirs in zip(
            outcome(compiled, sublayer, x_PRD, flat_PN, hidden), expected, strict=True
        ):
            off = (ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-3)
            assert off < TOLERANCE[dtype]


@KERNELS
def test_gradients_are_the_slopes_of_the_values() -> None:
    x_PRD, flat_PN = drawn(2, 6, 4, 6, torch.float64)
    for sublayer in sublayers(3, 4, 2, 6, causal=True).values():
        torch.autograd.gradcheck(
            lambda x, flat, sublayer=sublayer: sublayer(compiled, x, _weights(flat, 4, 6)),
            (x_PRD.requires_grad_(), flat_PN.requires_grad_()),
        )


def _weights(flat_PN: Tensor, width: int, hidden: int) -> list[Tensor]:
    shapes = [
        *[(width, width), (width,)] * 4,
        (width, hidden),
        (hidden,),
        (hidden, width),
        *[(width,)] * 3,
    ]
    parts = flat_PN.split_with_sizes([torch.Size(shape).numel() for shape in shapes], dim=1)
    return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


@KERNELS
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["attend", "ffn", "norm"])
def test_values_that_are_not_finite_are_seen_and_stay_with_their_member(
    name: str, bad: float
) -> None:
    """The kernels give a number that is not finite where torch's operations do; other members
    keep their bits.
    """
    x_PRD, flat_PN = drawn(3, 32, 32, 64, torch.float32)
    sublayer = sublayers(8, 32, 4, 64, causal=False)[name]
    clean = outcome(compiled, sublayer, x_PRD, flat_PN, 64)
    x_PRD[1, 5, 3] = bad
    broken = outcome(compiled, sublayer, x_PRD, flat_PN, 64)
    expected = outcome(eager, sublayer, x_PRD, flat_PN, 64)
    for ours, before, theirs in zip(broken, clean, expected, strict=True):
        assert torch.equal(ours[[0, 2]], before[[0, 2]])
        assert torch.equal(torch.isfinite(ours[1]), torch.isfinite(theirs[1]))


def test_a_gradient_that_is_not_finite_spoils_its_member_only(backend: Backend) -> None:
    generator = torch.Generator().manual_seed(0)
    flat_PN, grad_PN = (torch.randn(3, 100, generator=generator) for _ in range(2))
    moments = [torch.zeros(3, 100) for _ in range(2)]
    settings = AdamWSettings(clip=1.0, beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.0)
    lr_P, number = torch.full((3,), 1e-2), torch.tensor(1)
    clean = flat_PN.clone()
    backend.update(
        clean, grad_PN.clone(), moments[0].clone(), moments[1].clone(), lr_P, settings, number
    )
    grad_PN[1, 50] = float("nan")
    norm_P = backend.update(flat_PN, grad_PN, moments[0], moments[1], lr_P, settings, number)
    assert torch.isnan(norm_P).tolist() == [False, True, False]
    assert torch.isnan(flat_PN).all(dim=1).tolist() == [False, True, False]
    assert torch.equal(flat_PN[[0, 2]], clean[[0, 2]])


@KERNELS
def test_bits_do_not_depend_on_how_a_batch_is_cut() -> None:
    """A row's output is the same in a batch of one sequence and of many."""
    x_PRD, flat_PN = drawn(1, 80 * 8, 32, 128, torch.float32)
    for sublayer in sublayers(8, 32, 4, 128, causal=False).values():
        whole, part = (
            sublayer(compiled, x, _weights(flat_PN, 32, 128))
            for x in (x_PRD, x_PRD[:, 8:40].contiguous())
        )
        assert torch.equal(whole[:, 8:40], part)


@KERNELS
def test_the_exponential_is_good_to_two_units_in_the_last_place() -> None:
    """Through attention to two keys whose scores differ by d: the share of the first is 1 / (1 +
    e^-d).
    """
    scores = torch.linspace(0, 30, 5000)
    x_PRD = torch.stack([scores, torch.zeros_like(scores)], dim=1).reshape(-1, 2, 1)
    one, none = torch.ones(len(x_PRD), 1, 1), torch.zeros(len(x_PRD), 1)
    identity = [one, none] * 4
    query_one = [torch.zeros_like(one), torch.ones_like(none), *identity[2:]]
    settings = AttentionSettings(tokens=2, heads=1, causal=False)
    mixed = compiled.attend(x_PRD, query_one, settings)[:, 0, 0].double()
    exact = scores.double() * torch.sigmoid(scores.double())
    assert ((mixed - exact).abs() / exact.clamp(min=1e-3)).max() < 4 * 2**-23
