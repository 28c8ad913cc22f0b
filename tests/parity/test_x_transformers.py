"""Parity with the package `x-transformers`, whose norms and projections are given the biases that
ours have, and whose softmax, float32 by default, is that of the inputs.
"""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from support import foreign
from support.foreign import Compare, Stack, Weights
from support.schemes import scheme
from torch import Tensor, nn

PLACES = ("in", "branch", "out")
"""Norms of a sub-layer in the order in which the package keeps them, by our names."""


def sublayers(module: nn.Module) -> Iterator[tuple[int, nn.Module, nn.Module, str]]:
    """Number, norms and branch of every sub-layer, and the branch's name in the module."""
    for i, (norms, branch, _) in enumerate(module.layers, start=1):
        name = f"layers.{i - 1}.1"
        wrapped = hasattr(branch, "fn")
        yield i, norms, branch.fn if wrapped else branch, f"{name}.fn" if wrapped else name


def biased(module: nn.Module) -> nn.Module:
    """The stack with norms and projections that have biases."""
    for i, norms, branch, _ in sublayers(module):
        for place, norm in enumerate(norms):
            if norm is not None:
                norms[place] = nn.LayerNorm(12)
        if i % 2:
            for projection in ("to_q", "to_k", "to_v", "to_out"):
                setattr(branch, projection, nn.Linear(12, 12))
    if list(module.final_norm.parameters()):
        module.final_norm = nn.LayerNorm(12)
    return module


def weights(module: nn.Module, w: Weights) -> Weights:
    """Ours in the places of the package's."""
    theirs: Weights = {}
    for i, norms, _, name in sublayers(module):
        for place, norm in enumerate(norms):
            if norm is not None:
                own = foreign.layer_norm(w, f"sublayer{i}.{PLACES[place]}")
                theirs |= foreign.within(f"layers.{i - 1}.0.{place}", own)
        names = (
            {"to_q": "query", "to_k": "key", "to_v": "value", "to_out": "output"}
            if i % 2
            else {"ff.0.0": "ffn_in", "ff.2": "ffn_out"}
        )
        for projection, group in names.items():
            own = foreign.linear(w, f"block{(i + 1) // 2}.{group}")
            theirs |= foreign.within(f"{name}.{projection}", own)
    if isinstance(module.final_norm, nn.LayerNorm):
        theirs |= foreign.within("final_norm", foreign.layer_norm(w, "last"))
    return theirs


def unchanged(module: nn.Module) -> None:
    """Leave a stack as the package builds it."""


def stack_of(
    attention: str,
    gains: dict[str, str] | None = None,
    change: Callable[[nn.Module], None] = unchanged,
    **options: Any,
) -> Stack:
    """Stack with these options of the package, and a change of what they cannot say; `gains` are
    its learned gains of a sub-layer, with their names here.
    """
    x_transformers = pytest.importorskip("x_transformers")
    kind = x_transformers.Decoder if attention == "causal" else x_transformers.Encoder

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        small = {"dim": 12, "depth": 3, "heads": 3, "attn_dim_head": 4, "ff_mult": 2}
        module = kind(
            ff_custom_activation=nn.ReLU(),
            attn_custom_attn_fn=nn.Softmax(-1),
            norm_add_unit_offset=False,
            **{**small, **options},
        )
        change(module)
        theirs = weights(biased(module), w)
        for i, (name, ours) in itertools.product(range(1, 7), (gains or {}).items()):
            theirs[f"layers.{i - 1}.{name}"] = w[f"sublayer{i}.{ours}"]
        return foreign.call(module, theirs, x_BTD)

    return stack


PLACEMENTS = {
    "post": {"pre_norm": False},
    "pre": {},
    "sandwich": {"sandwich_norm": True},
    "pre_post": {"pre_and_post_norm": True},
}


@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
@pytest.mark.parametrize("norm", PLACEMENTS)
def test_norm_placements_of_plain_addition(norm: str, attention: str, compare: Compare) -> None:
    stack = stack_of(attention, **PLACEMENTS[norm])
    compare(scheme("add"), stack, norm=norm, attention=attention)


def test_gains_of_channels_on_branches(compare: Compare) -> None:
    stack = stack_of("causal", {"1.gamma": "layerscale.lambda"}, use_layerscale=True)
    compare(scheme("layerscale"), stack)


def test_gains_of_channels_on_skips(compare: Compare) -> None:
    gains = {"2.residual_scale": "admin.omega"}
    stack = stack_of("causal", gains, scale_residual=True, pre_norm=False)
    compare(scheme("admin"), stack)


def test_a_constant_on_skips(compare: Compare) -> None:
    """DeepNorm's (2L)^¼ at three blocks."""
    stack = stack_of("causal", scale_residual_constant=6**0.25, pre_norm=False)
    compare(scheme("deepnorm"), stack)


def test_a_constant_on_skips_from_the_second_block_on(compare: Compare) -> None:
    """KEEL's 2L, at three blocks; its first attention has no outer norm."""

    def change(module: nn.Module) -> None:
        module.layers[0][0][2] = None
        for _, _, residual in module.layers[2:]:
            residual.scale_residual_constant = 6

    compare(scheme("keel"), stack_of("causal", change=change, pre_and_post_norm=True))


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_a_constant_on_branches(exponent: float, compare: Compare) -> None:
    """S^(-exponent) at six sub-layers."""
    stack = stack_of("causal", depth_scale_residual=6**-exponent)
    compare(scheme("scaled", exponent=exponent), stack)


def test_norms_that_shrink_with_depth(compare: Compare) -> None:
    """LayerNorm scaling, which the package has not, as pre-norm with smaller gains and biases."""

    def stack(w: Weights, x_BTD: Tensor) -> Tensor:
        own = dict(w)
        for i in range(1, 7):
            for part in ("gain", "bias"):
                name = f"sublayer{i}.in.norm.{part}"
                own[name] = w[name] / ((i + 1) // 2) ** 0.5
        return stack_of("causal")(own, x_BTD)

    compare(scheme("lns"), stack)


def test_norms_behind_the_first_quarter_of_the_blocks_and_before_the_others(
    compare: Compare,
) -> None:
    def change(module: nn.Module) -> None:
        for norms, _, _ in module.layers[:2]:
            norms[0], norms[2] = None, norms[0]

    compare(scheme("mix_ln"), stack_of("causal", change=change, depth=4), depth=4)


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("attention", ["causal", "bidirectional"])
def test_values_of_the_first_block_are_mixed_into_those_of_the_others(
    norm: str, attention: str, compare: Compare
) -> None:
    options = {"add_value_residual": True, "learned_value_residual_mix": False}
    stack = stack_of(attention, **options, **PLACEMENTS[norm])
    compare(scheme("value_residual"), stack, norm=norm, attention=attention)


@pytest.mark.parametrize("norm", ["post", "pre"])
def test_means_over_tokens_and_deviations_have_gains_of_their_own(
    norm: str, compare: Compare
) -> None:
    """Bidirectional, since the package takes means over all tokens in a causal stack, too."""
    gains = {"2.alpha": "mv_split.mean", "2.beta": "mv_split.deviation"}
    stack = stack_of("bidirectional", gains, mv_split_residual=True, **PLACEMENTS[norm])
    compare(scheme("mv_split"), stack, norm=norm, attention="bidirectional")


@pytest.mark.parametrize("norm", ["post", "pre", "pre_post"])
def test_passes_share_the_weights_of_their_blocks(norm: str, compare: Compare) -> None:
    order = tuple(range(6)) * 2
    stack = stack_of("causal", layers_execute_order=order, **PLACEMENTS[norm])
    compare(scheme("add"), stack, norm=norm, depth=6, loops=2)
