"""Parts of a block against torch's own modules and formulas written out, forward and gradient."""

import dataclasses
import itertools
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import OmegaConf
from support import shapes
from support.naive_model import Naive, assert_formula, turned
from torch import Tensor, nn

from resformer.model import positions
from resformer.model.shape import Member, Shape
from resformer.numerics.backends import eager
from resformer.numerics.backends.base import (
    GATED,
    AttentionSettings,
    AttentionWeights,
    Backend,
    FfnWeights,
    Linear,
    NormWeights,
)
from resformer.numerics.parameters import unpack
from resformer.plugins import config_folder
from resformer.residuals.add import Add
from resformer.training.population import Population

GENERATOR = torch.Generator().manual_seed(0)
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}
"""float64: sums of some tens of terms of size 1, in another order."""


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=GENERATOR).requires_grad_()


def drawn_together(members: int, *shapes: tuple[int, ...]) -> list[Tensor]:
    """Weights (P, *shape) that lie in one row for each member, as in a model."""
    flat_PN = drawn(members, sum(map(math.prod, shapes)))
    parts = flat_PN.split_with_sizes([*map(math.prod, shapes)], dim=1)
    return [part.view(-1, *shape) for part, shape in zip(parts, shapes, strict=True)]


def assert_same(ours: Tensor, theirs: Tensor, *inputs: Tensor) -> None:
    """Equal values, and equal gradients of a sum that no symmetry of the values leaves alone."""
    slope = torch.linspace(-1, 1, ours.numel(), dtype=ours.dtype).view(ours.shape)
    torch.testing.assert_close(ours, theirs, **TOLERANCE)
    gradients = (
        torch.autograd.grad((output * slope).sum(), inputs, retain_graph=True)
        for output in (ours, theirs)
    )
    for mine, reference in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, reference, **TOLERANCE)


# --- norms


@pytest.mark.parametrize("width", [2, 7, 32])
def test_rms_norm_is_torchs(backend: Backend, width: int) -> None:
    x_PRD, gain_PD = drawn(3, 5, width), drawn(3, width)
    ours = backend.norm(x_PRD, NormWeights(gain_PD=gain_PD), "rms")
    module = nn.RMSNorm(width, eps=1e-6, dtype=torch.float64)
    theirs = torch.stack(
        [
            torch.func.functional_call(module, {"weight": gain_D}, (x_RD,))
            for gain_D, x_RD in zip(gain_PD, x_PRD, strict=True)
        ]
    )
    assert_same(ours, theirs, x_PRD, gain_PD)


@pytest.mark.parametrize("biased", [True, False])
def test_layer_norm_is_torchs(backend: Backend, biased: bool) -> None:
    x_PRD, gain_PD, bias_PD = drawn(3, 5, 12), drawn(3, 12), drawn(3, 12)
    bias = bias_PD if biased else None
    ours = backend.norm(x_PRD, NormWeights(gain_PD=gain_PD, bias_PD=bias), "layer")
    theirs = torch.stack(
        [
            nn.functional.layer_norm(x, (12,), gain, bias_D if biased else None)
            for x, gain, bias_D in zip(x_PRD, gain_PD, bias_PD, strict=True)
        ]
    )
    assert_same(ours, theirs, x_PRD, gain_PD, *([bias_PD] if biased else []))


def test_dyt_and_derf_are_their_formulas(backend: Backend) -> None:
    x_PRD, gain_PD, bias_PD = drawn(3, 5, 12), drawn(3, 12), drawn(3, 12)
    slope_P1, shift_P1 = drawn(3, 1), drawn(3, 1)
    weights = NormWeights(gain_PD=gain_PD, bias_PD=bias_PD, slope_P1=slope_P1, shift_P1=shift_P1)
    inside = slope_P1[:, None] * x_PRD
    gain, bias = gain_PD[:, None], bias_PD[:, None]
    learned = (x_PRD, gain_PD, bias_PD, slope_P1)
    dyt = gain * torch.tanh(inside) + bias
    assert_same(backend.norm(x_PRD, weights, "dyt"), dyt, *learned)
    derf = gain * torch.erf(inside + shift_P1[:, None]) + bias
    assert_same(backend.norm(x_PRD, weights, "derf"), derf, *learned, shift_P1)


# --- attention


def attention(
    backend: Backend, x_PRD: Tensor, matrices: list[Tensor], gains: list[Tensor], **changes: Any
) -> Tensor:
    settings = AttentionSettings(tokens=6, heads=3, causal=True, scale=0.5)
    weights = AttentionWeights(*map(Linear, matrices), *gains)
    return backend.attend(x_PRD, weights, dataclasses.replace(settings, **changes))


def naive_attention(
    x_RD: Tensor, matrices: list[Tensor], gains: list[Tensor], base: float | None
) -> Tensor:
    """Attention of 3 heads over sequences of 6 tokens, a head and a query at a time."""
    sequences = []
    for x_TD in x_RD.split(6):
        heads = []
        for head in range(3):
            q, k, v = ((x_TD @ matrix).chunk(3, -1)[head] for matrix in matrices[:3])
            if gains:
                q, k = (
                    gain * part / torch.sqrt((part**2).mean(-1, keepdim=True) + 1e-6)
                    for part, gain in zip((q, k), gains, strict=True)
                )
            if base is not None:
                q, k = (turned(part, base) for part in (q, k))
            rows = [(0.5 * k[: t + 1] @ q[t]).softmax(0) @ v[: t + 1] for t in range(6)]
            heads.append(torch.stack(rows))
        sequences.append(torch.cat(heads, -1) @ matrices[3])
    return torch.cat(sequences)


@pytest.mark.parametrize("normed", [True, False])
@pytest.mark.parametrize("base", [None, 100.0, 10_000.0])
def test_attention_is_its_formula(backend: Backend, normed: bool, base: float | None) -> None:
    x_PRD = drawn(2, 12, 12)
    *matrices, first, second = drawn_together(2, *[(12, 12)] * 4, (4,), (4,))
    gains = [first, second] if normed else []
    ours = attention(backend, x_PRD, matrices, gains, rotary_base=base)
    theirs = torch.stack(
        [
            naive_attention(
                x_PRD[p], [matrix[p] for matrix in matrices], [gain[p] for gain in gains], base
            )
            for p in (0, 1)
        ]
    )
    assert_same(ours, theirs, x_PRD, *matrices, *gains)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(0, 20))
def test_scores_of_turned_heads_depend_on_distances_alone(t: int, s: int, shift: int) -> None:
    generator = torch.Generator().manual_seed(t + 21 * s)
    q, k = (torch.randn(8, dtype=torch.float64, generator=generator) for _ in range(2))
    cosine, sine = eager.rotation(50, 8, 100.0, torch.float64, torch.device("cpu"))

    def at(part: Tensor, place: int) -> Tensor:
        first, second = part.chunk(2)
        return part * cosine[place] + torch.cat([-second, first]) * sine[place]

    score, moved = (at(q, t + by) @ at(k, s + by) for by in (0, shift))
    assert score.item() == pytest.approx(moved.item(), abs=1e-12)


# --- FFN

_TORCHS = {
    "relu": nn.functional.relu,
    "gelu": nn.functional.gelu,
    "silu": nn.functional.silu,
    "relu2": lambda x: nn.functional.relu(x) ** 2,
    "swiglu": nn.functional.silu,
    "geglu": nn.functional.gelu,
}


@pytest.mark.parametrize("activation", _TORCHS)
@pytest.mark.parametrize("biased", [True, False])
def test_ffn_is_its_formula(backend: Backend, activation: str, biased: bool) -> None:
    x_PRD = drawn(2, 300, 6)  # more rows than a kernel takes at once
    parts = drawn_together(2, (6, 9), (9,), (6, 9), (9,), (9, 6), (6,))
    into, gate, out = itertools.starmap(Linear, zip(parts[::2], parts[1::2], strict=True))
    if not biased:
        into, gate, out = (layer._replace(bias_PE=None) for layer in (into, gate, out))
    gated = activation in GATED
    weights = FfnWeights(ffn_in=into, ffn_out=out, gate=gate if gated else None)
    ours = backend.ffn(x_PRD, weights, activation)

    def linear(layer: Linear, x: Tensor) -> Tensor:
        product = x @ layer.matrix_PDE
        return product if layer.bias_PE is None else product + layer.bias_PE[:, None]

    hidden, act = linear(into, x_PRD), _TORCHS[activation]
    hidden = act(linear(gate, x_PRD)) * hidden if gated else act(hidden)
    used = [*into, *out, *(gate if gated else ())]
    assert_same(ours, linear(out, hidden), x_PRD, *(part for part in used if part is not None))


def test_a_gated_ffn_has_about_the_parameters_of_one_without() -> None:
    plain, gated = (
        shapes.shape(width=32, heads=2, hidden=128, activation=activation).transformer()
        for activation in ("relu", "swiglu")
    )
    assert gated.ffn_width == 85
    assert gated.num_parameters == pytest.approx(plain.num_parameters, rel=0.01)


# --- presets


@pytest.mark.parametrize("compiled", [False, True])
def test_the_modern_preset_is_its_formula(compiled: bool, request: pytest.FixtureRequest) -> None:
    if compiled:
        request.getfixturevalue("kernels")
    default, modern = (
        OmegaConf.load(config_folder() / name) for name in ("config.yaml", "model/modern.yaml")
    )

    def layers(net: Naive, x: Tensor) -> Tensor:
        for i in net.sublayers:
            x = x + net.pre(i, x)
        return net.norm("last", x)

    settings = {"rope_base": default.model.rope_base, **modern}
    assert_formula(Add(), layers, compile=compiled, **settings)


# --- positions, tied embeddings, biases


def test_sinusoidal_positions_are_the_papers() -> None:
    place = positions.sinusoidal(7, 6, torch.float64, torch.device("cpu"))
    for t in range(7):
        for i in range(3):
            angle = t / 10_000 ** (2 * i / 6)
            assert place[t, 2 * i] == pytest.approx(math.sin(angle))
            assert place[t, 2 * i + 1] == pytest.approx(math.cos(angle))


@pytest.mark.parametrize("position", ["learned", "rope", "sinusoidal", "none"])
def test_only_a_position_tells_an_encoders_tokens_apart(position: str) -> None:
    """The outputs of a sequence of equal tokens differ where the model has positions."""
    base = 100.0 if position == "rope" else None
    shape = shapes.shape(position=position, rope_base=base, attention="bidirectional", norm="pre")
    model = shape.transformer()
    flat_PN = model.initial_values(torch.arange(2), torch.float64)
    inputs = torch.full((2, 1, model.tokens), 3)
    logits = model.forward(flat_PN, inputs)[:, 0]
    alike = torch.allclose(logits, logits[:, :1].expand_as(logits), atol=1e-9)
    assert alike == (position in ("rope", "none"))  # turning equal values changes no mean of them


def test_a_tied_head_is_the_embedding() -> None:
    tied, apart = (shapes.shape(tied=value).transformer() for value in (True, False))
    width, vocabulary = tied.settings.width, tied.vocabulary
    assert apart.num_parameters - tied.num_parameters == width * vocabulary
    flat_PN = tied.initial_values(torch.arange(2), torch.float64)
    token = unpack(tied.parameter_specs, flat_PN)["embedding.token"]
    other = apart.initial_values(torch.arange(2), torch.float64)
    wide = unpack(apart.parameter_specs, other)["embedding.token"]
    torch.testing.assert_close(token * math.sqrt(width), wide)  # the stream starts the same
    assert "head.matrix" not in [spec.name for spec in tied.parameter_specs]


@pytest.mark.parametrize("kind", ["layer", "rms", "dyt", "derf"])
def test_without_biases_there_is_none(kind: str) -> None:
    names = [
        spec.name for spec in shapes.shape(bias=False, norm_kind=kind).transformer().parameter_specs
    ]
    assert [name for name in names if "bias" in name] == []


# --- dropout


def losses(shape: Shape, members: list[Member], steps: int = 3) -> Tensor:
    """Losses of the first steps, (P, steps)."""
    population = Population(shape, members, dtype=torch.float32)
    for _ in range(steps):
        population.advance()
    return torch.from_numpy(population.recorded(0)[0]).T


def test_dropout_depends_on_seed_and_step_alone() -> None:
    shape = shapes.shape(dropout=0.3, norm="pre")
    members = [Member(seed=seed, lr=1e-3) for seed in (0, 1, 2)]
    together = losses(shape, members)
    assert torch.equal(losses(shape, members[1:2])[0], together[1])
    assert not torch.equal(losses(shapes.changed(shape, dropout=0.0), members), together)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_dropout_leaves_out_its_share_of_a_branch_and_keeps_its_mean(share: float) -> None:
    shape = shapes.shape(
        dropout=share, norm="none", depth=1, residual=Add(), task=shapes.shape().task
    )
    model = dataclasses.replace(shape.transformer(), num_targets=1)
    kept = model._scaled_and_dropped(
        torch.ones(2, 200, 16),
        next(model.contexts({}, torch.tensor([3, 4]), torch.tensor(0))),
    )
    assert kept.unique().tolist() == pytest.approx([0.0, 1 / (1 - share)])
    # 3,200 numbers a member: five standard errors of a share are at most 0.045.
    assert (kept == 0).float().mean(dim=(1, 2)).tolist() == pytest.approx([share] * 2, abs=0.045)
    assert not torch.equal(kept[0], kept[1])


def test_an_evaluation_drops_nothing() -> None:
    with_dropout, without = (shapes.shape(dropout=share) for share in (0.5, 0.0))
    member = [Member(seed=0, lr=0.0)]
    evaluations = [
        Population(shape, member, dtype=torch.float32).evaluate()
        for shape in (with_dropout, without)
    ]
    assert evaluations[0] == evaluations[1]
