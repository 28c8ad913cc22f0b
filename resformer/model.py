"""The stacked transformer: P independent members in one batched computation.

Shapes: P members, B sequences, T tokens, R = B·T rows, D width, H heads, K head width, F FFN width, V vocabulary, L
depth, N parameters of a member. Nothing is ever reduced over P.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.arithmetic import compiled, eager
from resformer.arithmetic.base import Arithmetic
from resformer.choices import CHOICES
from resformer.errors import Incompatible, UserError, require
from resformer.residuals.base import Group, Place, Residual
from resformer.weights import Weight, ones, unpack, xavier, zeros

_ATTEND = ("query", "key", "value", "output")
_FEED = ("ffn_in", "ffn_out")

_INNER = ("pre", "sandwich", "pre_post")
_BRANCH = ("branch", "sandwich")
_OUTER = ("post", "pre_post")
_LAST = ("pre", "sandwich", "branch")


@final
@dataclass(frozen=True)
class ModelSettings:
    """The block and how many of it. Values stand in `configs/config.yaml`; here is what is allowed."""

    depth: int
    """L, blocks: pairs of attention and FFN."""
    width: int
    """D."""
    heads: int
    """H; the width is split among them."""
    hidden: int | None
    """F, the FFN's width; None is 4·D."""
    activation: str
    """Of the FFN: relu or gelu."""
    attention: str
    """bidirectional, causal, or own: what the task calls for."""
    norm: str
    """Norm placement, or own: what the residual scheme calls for."""

    def __post_init__(self) -> None:
        require(1 <= self.depth <= 1024, "model.depth", self.depth, "must be from 1 to 1024 blocks")
        require(2 <= self.width <= 4096, "model.width", self.width, "must be from 2 to 4096")
        require(1 <= self.heads <= self.width, "model.heads", self.heads, f"must be from 1 to {self.width}, the width")
        if self.hidden is not None:
            # With one neuron a matrix product becomes one of vectors, whose bits depend on the size of the stack.
            require(2 <= self.hidden <= 65536, "model.hidden", self.hidden, "must be from 2 to 65536, or null")
        for setting, value in (
            ("model.activation", self.activation),
            ("model.attention", self.attention),
            ("model.norm", self.norm),
        ):
            require(value in CHOICES[setting], setting, value, f"must be one of {', '.join(CHOICES[setting])}")
        if self.width % self.heads:
            fitting = [str(heads) for heads in range(1, self.width + 1) if self.width % heads == 0]
            raise Incompatible(
                f"model.heads={self.heads}: must divide model.width={self.width}: one of {', '.join(fitting)}"
            )


@final
@dataclass(frozen=True)
class Transformer:
    """A model of one shape: a pure function of `flat_PN`.

    Settings are resolved: no `own`, `hidden` is given. `tokens` is how many it reads, `scored` how many of the last
    positions have an answer, `compile` whether the kernels compute it.
    """

    settings: ModelSettings
    residual: Residual
    vocabulary: int
    tokens: int
    scored: int
    compile: bool

    def __post_init__(self) -> None:
        norm = self.settings.norm
        if norm not in self.residual.norms:
            scheme = type(self.residual).__name__.lower()
            raise Incompatible(
                f"model.norm={norm}: the scheme {scheme} goes with {', '.join(self.residual.norms)} (or own) only"
            )

    @property
    def hidden(self) -> int:
        """F."""
        if self.settings.hidden is None:
            raise UserError("model.hidden=null: resolve it first")
        return self.settings.hidden

    def weights(self) -> list[Weight]:
        """All weights of a member, in the order in which they lie in `flat_PN`.

        Xavier-uniform per (in, out) matrix, query, key and value separately; biases 0, norm gains 1, token and
        position embeddings N(0, 1); the scheme may scale the draws of a block's matrices.
        """
        depth, width = self.settings.depth, self.settings.width
        return [
            Weight("embedding.token", (self.vocabulary, width), "normal", 1.0),
            Weight("embedding.position", (self.tokens, width), "normal", 1.0),
            *(weight for block in range(1, depth + 1) for weight in self._block_weights(block)),
            *self.residual.weights(depth, width),
            *(_norm_weights("last", width) if self.settings.norm in _LAST else []),
            xavier("head.matrix", width, self.vocabulary),
            zeros("head.bias", self.vocabulary),
        ]

    @cached_property
    def _layout(self) -> list[Weight]:
        return self.weights()

    def _block_weights(self, block: int) -> list[Weight]:
        depth, width, norm = self.settings.depth, self.settings.width, self.settings.norm
        found = []
        fans: dict[Group, tuple[int, int]] = {
            "query": (width, width),
            "key": (width, width),
            "value": (width, width),
            "output": (width, width),
            "ffn_in": (width, self.hidden),
            "ffn_out": (self.hidden, width),
        }
        for group, (fan_in, fan_out) in fans.items():
            name = f"block{block}.{group}"
            found += [
                xavier(f"{name}.matrix", fan_in, fan_out, self.residual.gain(group, depth)),
                zeros(f"{name}.bias", fan_out),
            ]
        for part, placements in (("in", _INNER), ("branch", _BRANCH), ("out", _OUTER)):
            if norm in placements:
                for sublayer in (2 * block - 1, 2 * block):
                    found += _norm_weights(f"sublayer{sublayer}.{part}", width)
        return found

    def forward(self, flat_PN: Tensor, reads_PBT: Tensor) -> Tensor:
        """Logits at the scored positions, (P, B, scored, V)."""
        w = unpack(self._layout, flat_PN)
        norm = self.settings.norm
        x_PBTD = _embed(w["embedding.token"], reads_PBT) + w["embedding.position"].unsqueeze(1)
        carried = self.residual.open(x_PBTD.flatten(1, 2))
        for sublayer in range(1, 2 * self.settings.depth + 1):
            place = Place(sublayer, self.settings.depth, w)
            h_PRD = self.residual.read(carried, place)
            if norm in _INNER:
                h_PRD = self._norm(w, f"sublayer{sublayer}.in", h_PRD)
            f_PRD = self._branch(w, place, h_PRD)
            if norm in _BRANCH:
                f_PRD = self._norm(w, f"sublayer{sublayer}.branch", f_PRD)
            carried = self.residual.write(carried, f_PRD, place)
            if norm in _OUTER:
                carried = self._norm(w, f"sublayer{sublayer}.out", carried)
        x_PBTD = self.residual.close(carried).view(x_PBTD.shape)
        x_PRD = x_PBTD[:, :, -self.scored :].flatten(1, 2)
        if norm in _LAST:
            x_PRD = self._norm(w, "last", x_PRD)
        logits_PRV = torch.baddbmm(w["head.bias"].unsqueeze(1), x_PRD, w["head.matrix"])
        return logits_PRV.view(*reads_PBT.shape[:2], self.scored, self.vocabulary)

    @property
    def arithmetic(self) -> Arithmetic:
        """What computes it."""
        return compiled if self.compile else eager

    def _branch(self, w: Mapping[str, Tensor], place: Place, h_PRD: Tensor) -> Tensor:
        """F: attention in odd sub-layers, the FFN in even ones."""
        settings = self.settings
        groups = _ATTEND if place.sublayer % 2 else _FEED
        own = [w[f"block{place.block}.{group}.{part}"] for group in groups for part in ("matrix", "bias")]
        if place.sublayer % 2:
            causal = settings.attention == "causal"
            return self.arithmetic.attend(h_PRD, own, self.tokens, settings.heads, causal)
        return self.arithmetic.feed(h_PRD, own, settings.activation)

    def _norm(self, w: Mapping[str, Tensor], name: str, x_PRD: Tensor) -> Tensor:
        return self.arithmetic.norm(x_PRD, w[f"{name}.norm.gain"], w[f"{name}.norm.bias"])

    def parameters(self) -> int:
        """N."""
        return sum(weight.size for weight in self.weights())

    def flops_per_step(self, sequences: int) -> int:
        """Floating-point operations of one member's training step in matrix products.

        A product of (m, k) and (k, n) counts 2·m·k·n, the backward pass twice the forward pass; causal attention
        counts in full, since it is computed in full. Norms, activations and sums are left out.
        """
        tokens, width = self.tokens, self.settings.width
        per_block = 2 * tokens * (4 * width * width + 2 * width * self.hidden) + 4 * tokens * tokens * width
        head = 2 * self.scored * width * self.vocabulary
        return 3 * sequences * (self.settings.depth * per_block + head)


def _norm_weights(name: str, width: int) -> list[Weight]:
    return [ones(f"{name}.norm.gain", width), zeros(f"{name}.norm.bias", width)]


def _embed(token_PVD: Tensor, reads_PBT: Tensor) -> Tensor:
    """Each member's rows of its own table: one look-up in the tables laid end to end."""
    members, vocabulary, _ = token_PVD.shape
    first_row = torch.arange(members, device=reads_PBT.device).mul_(vocabulary)
    return nnf.embedding(reads_PBT + first_row[:, None, None], token_PVD.flatten(0, 1))
