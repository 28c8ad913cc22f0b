"""The compiled kernels against torch's own operations: what they compute, and what they do with
NaN.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sublayers import BLOCKS, SUBLAYERS, Block, outcome

from resformer.keys import ACTIVATIONS, NORM_KINDS
from resformer.numerics import source_code
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import (
    AdamWSettings,
    AttentionSettings,
    AttentionWeights,
    Backend,
    Linear,
)
from resformer.numerics.backends.kernels import build, compiler, sources

KERNELS = pytest.mark.usefixtures("kernels")

# Sums of some hundred terms of size 1 in another order. Layer norm amplifies the round-off of a row
# that hardly varies, in narrow widths a thousandfold and more: so they are tried in float64 only.
TOLERANCE = {torch.float64: 1e-10, torch.float32: 3e-5}


@st.composite
def blocks(draw: st.DrawFn) -> Block:
    heads, head_width = draw(st.integers(1, 4)), draw(st.integers(2, 20))
    turned = head_width % 2 == 0 and draw(st.booleans())
    return Block(
        tokens=draw(st.integers(1, 40)),
        width=heads * head_width,
        heads=heads,
        hidden=draw(st.integers(2, 70)),
        causal=draw(st.booleans()),
        bias=draw(st.booleans()),
        gains=draw(st.booleans()),
        rotary_base=draw(st.floats(2.0, 1e6)) if turned else None,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        norm=draw(st.sampled_from(NORM_KINDS[:2])),
    )


@KERNELS
@settings(max_examples=100, deadline=None)
@given(blocks(), st.integers(1, 4), st.integers(1, 70))
def test_kernels_compute_what_torch_computes(block: Block, members: int, sequences: int) -> None:
    """Any sizes: rows that fill no vector, more of them than one chunk, one token, one member."""
    same(block, members, sequences, torch.float64)


@KERNELS
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(
    ("tokens", "sequences", "width", "hidden"),
    [(8, 32, 32, 128), (16, 32, 32, 128), (32, 16, 64, 256), (10, 32, 40, 50), (300, 2, 16, 20)],
)
def test_kernels_compute_what_torch_computes_in_both_precisions(
    tokens: int, sequences: int, width: int, hidden: int, activation: str, dtype: torch.dtype
) -> None:
    for block in BLOCKS:
        sizes = {"tokens": tokens, "width": width, "hidden": hidden, "causal": tokens == 16}
        same(replace(block, activation=activation, **sizes), 3, sequences, dtype)


def same(block: Block, members: int, sequences: int, dtype: torch.dtype) -> None:
    x_PRD, flat_PN = block.drawn(members, sequences, dtype)
    for name in SUBLAYERS:
        expected = outcome(name, eager, block, x_PRD, flat_PN)
        for ours, theirs in zip(
            outcome(name, compiled, block, x_PRD, flat_PN), expected, strict=True
        ):
            off = (ours - theirs).abs().max() / theirs.abs().max().clamp(min=1e-3)
            assert off < TOLERANCE[dtype], name


@KERNELS
@pytest.mark.parametrize("block", BLOCKS, ids=["classic", "modern"])
@pytest.mark.parametrize("name", SUBLAYERS)
def test_gradients_are_the_slopes_of_the_values(block: Block, name: str) -> None:
    small = replace(block, tokens=3, width=8, heads=2, hidden=6, causal=True)
    x_PRD, flat_PN = small.drawn(2, 2, torch.float64)
    torch.autograd.gradcheck(
        lambda x, flat: small.compute(name, compiled, x, flat),
        (x_PRD.requires_grad_(), flat_PN.requires_grad_()),
    )


@KERNELS
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("name", SUBLAYERS)
@pytest.mark.parametrize("block", BLOCKS, ids=["classic", "modern"])
def test_values_that_are_not_finite_are_seen_and_stay_with_their_member(
    block: Block, name: str, bad: float
) -> None:
    """The kernels give a number that is not finite where torch's operations do; other members
    keep their bits.
    """
    x_PRD, flat_PN = block.drawn(3, 4, torch.float32)
    clean = outcome(name, compiled, block, x_PRD, flat_PN)
    x_PRD[1, 5, 3] = bad
    broken = outcome(name, compiled, block, x_PRD, flat_PN)
    expected = outcome(name, eager, block, x_PRD, flat_PN)
    for ours, before, theirs in zip(broken, clean, expected, strict=True):
        assert torch.equal(ours[[0, 2]], before[[0, 2]])
        assert torch.equal(torch.isfinite(ours[1]), torch.isfinite(theirs[1]))


def test_a_gradient_that_is_not_finite_spoils_its_member_only(backend: Backend) -> None:
    generator = torch.Generator().manual_seed(0)
    flat_PN, grad_PN = (torch.randn(3, 100, generator=generator) for _ in range(2))
    moments = [torch.zeros(3, 100) for _ in range(2)]
    settings = AdamWSettings(beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.0)
    lr_P, number = torch.full((3,), 1e-2), torch.tensor(1)
    clean, clean_grad_PN = flat_PN.clone(), grad_PN.clone()
    backend.clip(clean_grad_PN, 1.0)
    backend.adamw(
        clean, clean_grad_PN, moments[0].clone(), moments[1].clone(), lr_P, settings, number
    )
    grad_PN[1, 50] = float("nan")
    norm_P = backend.clip(grad_PN, 1.0)
    backend.adamw(flat_PN, grad_PN, moments[0], moments[1], lr_P, settings, number)
    assert torch.isnan(norm_P).tolist() == [False, True, False]
    assert torch.isnan(flat_PN).all(dim=1).tolist() == [False, True, False]
    assert torch.equal(flat_PN[[0, 2]], clean[[0, 2]])


@KERNELS
@pytest.mark.parametrize("block", BLOCKS, ids=["classic", "modern"])
@pytest.mark.parametrize("name", SUBLAYERS)
def test_bits_do_not_depend_on_how_a_batch_is_cut(block: Block, name: str) -> None:
    """A row's output is the same in a batch of one sequence and of many."""
    x_PRD, flat_PN = block.drawn(1, 80, torch.float32)
    whole, part = (
        block.compute(name, compiled, x, flat_PN) for x in (x_PRD, x_PRD[:, 8:40].contiguous())
    )
    assert torch.equal(whole[:, 8:40], part)


def test_gradients_that_are_not_clipped_stay_as_they_are(backend: Backend) -> None:
    grad_PN = torch.tensor([[3.0, 4.0], [float("inf"), 1.0]])
    before = grad_PN.clone()
    assert backend.clip(grad_PN, None).tolist() == [5.0, float("inf")]
    assert torch.equal(grad_PN, before)


def test_the_kernels_are_tested_against_the_operations_that_torch_has_here() -> None:
    """After a change of these operations and with the tests above passed, it is the new digest."""
    assert source_code.digest(sources.REFERENCE) == sources.TESTED


def test_kernels_are_not_used_where_torchs_operations_are_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever tries another norm in eager.py gets that one, and a line that says so."""
    edited = tmp_path / "eager.py"
    edited.write_text(Path(eager.__file__).read_text().replace("1e-5", "1e-4"))
    base, _, others = sources.REFERENCE
    monkeypatch.setattr(sources, "REFERENCE", (base, edited, others))
    with pytest.raises(compiler.Unavailable, match=r"eager\.py are not those that the kernels"):
        build._chosen.__wrapped__(torch.float32)


@KERNELS
def test_the_exponential_is_good_to_two_units_in_the_last_place() -> None:
    """Through attention to two keys whose scores differ by d: the share of the first is 1 / (1 +
    e^-d).
    """
    scores = torch.linspace(0, 30, 5000)
    x_PRD = torch.stack([scores, torch.zeros_like(scores)], dim=1).reshape(-1, 2, 1)
    one, none = torch.ones(len(x_PRD), 1, 1), torch.zeros(len(x_PRD), 1)
    same = Linear(one, none)
    weights = AttentionWeights(
        query=Linear(torch.zeros_like(one), torch.ones_like(none)),
        key=same,
        value=same,
        output=same,
    )
    settings = AttentionSettings(tokens=2, heads=1, causal=False, scale=1.0)
    mixed = compiled.attend(x_PRD, weights, settings)[:, 0, 0].double()
    exact = scores.double() * torch.sigmoid(scores.double())
    assert ((mixed - exact).abs() / exact.clamp(min=1e-3)).max() < 4 * 2**-23
