"""Parameters of a transformer: their names, shapes, initial values and roles.

Matrices are Xavier-uniform per (in, out), query, key and value separately; biases 0, gains of norms
1, embeddings N(0, 1). The residual scheme may scale the draws of embeddings and of a block's
matrices, and adds parameters of its own. Those of one block:

    block3.query.matrix     (D, D), and so key, value and output
    block3.ffn_in.matrix    (D, F), and so ffn_gate where the FFN has a gate; ffn_out (F, D)
    block3.query.bias       (D), one for each matrix
    block3.query.gain       (K), and so key, with `model.qk_norm`
    sublayer5.in.norm.gain  (D), and so .branch and .out where the placement has them; bias (D),
                            with dyt and derf slope (1), with derf shift (1)

A task whose targets are all decoded from the last token has decoder1 and decoder2, (D, D) each,
with norms, in front of the head.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

from resformer.errors import UserError
from resformer.model.own_module import OwnBlocks
from resformer.model.parametrisation import Parametrisation, parametrisation
from resformer.model.settings import ModelSettings
from resformer.numerics.backends.base import GATED
from resformer.numerics.parameters import (
    ParameterSpec,
    Role,
    constant,
    normal,
    ones,
    xavier,
    zeros,
)
from resformer.residuals.base import Architecture, ParameterGroup, Residual

NORM_IN = ("pre", "sandwich", "pre_post")
NORM_BRANCH = ("branch", "sandwich")
NORM_OUT = ("post", "pre_post")
"""Placements with a norm before a sub-layer, behind it, and behind the sum."""
DECODER = ("decoder1", "decoder2")
"""Layers between the last token and the head, where all targets are decoded from it."""
_SLOPE = 0.5
"""Initial slope of DyT and Derf (Zhu et al. 2025, arXiv 2503.10622, section 4)."""


def ffn_width(settings: ModelSettings) -> int:
    """F: with a gate, and so a third matrix, two thirds of `hidden`, so that parameters compare
    (Shazeer 2020, arXiv 2002.05202, section 3).
    """
    if settings.hidden is None:
        raise UserError("model.hidden=null: resolve it first")
    gated = settings.activation in GATED
    return max(2, round(settings.hidden * 2 / 3)) if gated else settings.hidden


def parameter_specs(
    settings: ModelSettings,
    residual: Residual[Any],
    architecture: Architecture,
    *,
    own: OwnBlocks | None,
    vocabulary: int,
    numbers: int | None,
    tokens: int,
    from_last: bool,
) -> list[ParameterSpec]:
    """Parameters of a member, in the order in which they lie in `flat_PN`."""
    return list(
        _Specs(
            settings=settings,
            residual=residual,
            architecture=architecture,
            parametrisation=parametrisation(settings),
            own=own,
            vocabulary=vocabulary,
            numbers=numbers,
            tokens=tokens,
            from_last=from_last,
        ).all()
    )


@final
@dataclass(frozen=True, kw_only=True)
class _Specs:
    """Parameters of one model, part by part."""

    settings: ModelSettings
    residual: Residual[Any]
    architecture: Architecture
    parametrisation: Parametrisation
    own: OwnBlocks | None
    vocabulary: int
    numbers: int | None
    tokens: int
    from_last: bool

    def all(self) -> Iterator[ParameterSpec]:
        """Embeddings, blocks, the scheme's own, last norm, decoder, head."""
        yield from self._in("embedding", self._embeddings())
        if self.own is not None:
            yield from self.own.parameter_specs
        else:
            for block in range(1, self.settings.distinct_blocks + 1):
                yield from self._block(block)
            yield from self._in("gate", self.residual.parameters(self.architecture))
        if self.residual.has_final_norm(self.settings.norm, self.architecture):
            yield from self._in("last", self._norm("last"))
        if self.from_last:
            yield from self._decoder()
        if not self.settings.tied:
            yield from self._in("head", [self._head()])
        if self.settings.bias:
            yield from self._in("head_bias", [zeros("head.bias", self.vocabulary)])

    def _in(self, role: Role, specs: Sequence[ParameterSpec]) -> list[ParameterSpec]:
        """The parameters with their role, and its factors."""
        factors = self.residual.factors(role, self.architecture)
        if role in self.parametrisation.roles:
            factors *= self.parametrisation.roles[role]
        return [replace(spec, role=role, factors=spec.factors * factors) for spec in specs]

    def _embeddings(self) -> list[ParameterSpec]:
        """A tied one is drawn as a head, and multiplied by √D where it is looked up (Vaswani et al.
        2017, arXiv 1706.03762, section 3.4), so that the stream starts with the same size. A token
        of X numbers is multiplied by a matrix (X, D), drawn so that it starts with that size, too.
        """
        width, gain = self.settings.width, self.residual.gain("embedding", self.architecture)
        scale = gain / math.sqrt(width) if self.settings.tied else gain
        scale /= math.sqrt(self.numbers or 1)
        specs = [normal("embedding.token", self.numbers or self.vocabulary, width, scale=scale)]
        if self.settings.position == "learned":
            specs.append(normal("embedding.position", self.tokens, width, scale=gain))
        return specs

    def _block(self, block: int) -> Iterator[ParameterSpec]:
        settings = self.settings
        width, hidden = settings.width, ffn_width(settings)
        into_ffn: list[ParameterGroup] = ["ffn_in"]
        into_ffn += ["ffn_gate"] if settings.activation in GATED else []
        fans: dict[ParameterGroup, tuple[int, int]] = {
            **dict.fromkeys(("query", "key", "value", "output"), (width, width)),
            **dict.fromkeys(into_ffn, (width, hidden)),
            "ffn_out": (hidden, width),
        }
        for group, (fan_in, fan_out) in fans.items():
            name = f"block{block}.{group}"
            yield from self._in("matrix", [self._matrix(group, block, fan_in, fan_out)])
            if settings.bias:
                yield from self._in("vector", [zeros(f"{name}.bias", fan_out)])
            if settings.qk_norm and group in ("query", "key"):
                yield from self._in("vector", [ones(f"{name}.gain", width // settings.heads)])
        for part, placements in (("in", NORM_IN), ("branch", NORM_BRANCH), ("out", NORM_OUT)):
            for sublayer in (2 * block - 1, 2 * block):
                if not self._placements(sublayer).isdisjoint(placements):
                    yield from self._in("vector", self._norm(f"sublayer{sublayer}.{part}"))

    def _placements(self, sublayer: int) -> set[str]:
        """Norm placements of the sub-layer in every pass over the blocks."""
        settings = self.settings
        passes = range(sublayer, 2 * settings.depth + 1, 2 * settings.distinct_blocks)
        place = self.residual.placement
        return {place(settings.norm, each, self.architecture) for each in passes}

    def _matrix(
        self, group: ParameterGroup, block: int, fan_in: int, fan_out: int
    ) -> ParameterSpec:
        name = f"block{block}.{group}.matrix"
        # A gate is drawn as it is: an FFN with one is then scaled as one without.
        gain = 1.0 if group == "ffn_gate" else self.residual.gain(group, self.architecture)
        spec = xavier(name, fan_in, fan_out, gain)
        return self.residual.initial_matrix(spec, group, block, self.architecture)

    def _norm(self, name: str) -> list[ParameterSpec]:
        kind, width = self.settings.norm_kind, self.settings.width
        specs = [ones(f"{name}.norm.gain", width)]
        if self.settings.bias and kind != "rms":
            specs.append(zeros(f"{name}.norm.bias", width))
        if kind in ("dyt", "derf"):
            specs.append(constant(f"{name}.norm.slope", 1, value=_SLOPE))
        if kind == "derf":
            specs.append(zeros(f"{name}.norm.shift", 1))
        return specs

    def _decoder(self) -> Iterator[ParameterSpec]:
        """Linear layers with a norm in front, and a norm behind them."""
        width = self.settings.width
        for layer in DECODER:
            yield from self._in("last", self._norm(layer))
            yield from self._in("head", [xavier(f"{layer}.matrix", width, width)])
            if self.settings.bias:
                yield from self._in("head_bias", [zeros(f"{layer}.bias", width)])
        yield from self._in("last", self._norm("decoded"))

    def _head(self) -> ParameterSpec:
        width, base = self.settings.width, self.parametrisation.head_width
        vocabulary = self.vocabulary
        gain = 1.0 if base is None else math.sqrt((width + vocabulary) / (base + vocabulary))
        return xavier("head.matrix", width, vocabulary, gain)
