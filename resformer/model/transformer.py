"""The stacked transformer: P independent members in one batched computation.

Shapes: P members, B sequences, T tokens, R = B·T rows, D width, H heads, K head width, F FFN width,
V vocabulary, L depth, N parameters of a member. Nothing is ever reduced over P.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.errors import Incompatible, UserError
from resformer.keys import OWN
from resformer.model.hooks import Seen, Watch
from resformer.model.settings import ModelSettings
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import Backend
from resformer.numerics.parameters import ParameterSpec, identity, ones, unpack, xavier, zeros
from resformer.residuals.base import Group, Place, Residual, Stack

_ATTEND: tuple[Group, ...] = ("query", "key", "value", "output")
_FFN: tuple[Group, ...] = ("ffn_in", "ffn_out")

_INNER = ("pre", "sandwich", "pre_post")
_BRANCH = ("branch", "sandwich")
_OUTER = ("post", "pre_post")
_SKIPPING = {
    "both": (True, True),
    "attention": (True, False),
    "ffn": (False, True),
    "none": (False, False),
}
"""Whether attention and FFN keep their skips."""


@final
@dataclass(frozen=True)
class Transformer:
    """A model of one shape: a pure function of `flat_PN`.

    Settings are resolved: no `own`, `hidden` is given. `tokens` is how many it reads, `scored` how
    many of the last positions have an answer, `compile` whether the kernels compute it.
    """

    settings: ModelSettings
    residual: Residual[Any]
    vocabulary: int
    tokens: int
    scored: int
    compile: bool

    def __post_init__(self) -> None:
        norm, skip, scheme = (
            self.settings.norm,
            self.settings.skip,
            type(self.residual).__name__.lower(),
        )
        if norm not in self.residual.norms:
            fitting = (
                ", ".join(name for name in self.residual.norms if name != OWN)
                or "placements of its own"
            )
            raise Incompatible(
                f"model.norm={norm}: the scheme {scheme} goes with {fitting} (or own) only"
            )
        if skip != "both" and not self.residual.skips:
            raise Incompatible(
                f"model.skip={skip}: the scheme {scheme} has no single skips to drop; both would "
                "work"
            )

    @cached_property
    def stack(self) -> Stack:
        """What the scheme may ask about."""
        settings = self.settings
        return Stack(settings.depth, settings.width, settings.heads, settings.attention == "causal")

    @property
    def hidden(self) -> int:
        """F."""
        if self.settings.hidden is None:
            raise UserError("model.hidden=null: resolve it first")
        return self.settings.hidden

    def weights(self) -> list[ParameterSpec]:
        """All weights of a member, in the order in which they lie in `flat_PN`.

        Xavier-uniform per (in, out) matrix, query, key and value separately; biases 0, norm gains
        1, token and position embeddings N(0, 1); the scheme may scale the draws of a block's
        matrices.
        """
        width, residual = self.settings.width, self.residual
        embedding = residual.gain("embedding", self.stack)
        return [
            ParameterSpec("embedding.token", (self.vocabulary, width), "normal", embedding),
            ParameterSpec("embedding.position", (self.tokens, width), "normal", embedding),
            *(
                weight
                for block in range(1, self.settings.depth + 1)
                for weight in self._block_weights(block)
            ),
            *residual.weights(self.stack),
            *(_norm_weights("last", width) if self._last_norm else []),
            xavier("head.matrix", width, self.vocabulary),
            zeros("head.bias", self.vocabulary),
        ]

    @cached_property
    def _layout(self) -> list[ParameterSpec]:
        return self.weights()

    @cached_property
    def _last_norm(self) -> bool:
        return self.residual.last_norm(self.settings.norm, self.stack)

    def _placement(self, sublayer: int) -> str:
        return self.residual.placement(self.settings.norm, sublayer, self.stack)

    def _block_weights(self, block: int) -> list[ParameterSpec]:
        width, residual = self.settings.width, self.residual
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
            name, gain = f"block{block}.{group}", residual.gain(group, self.stack)
            drawn = xavier(f"{name}.matrix", fan_in, fan_out, gain)
            found += [
                identity(drawn) if residual.identity(group, block) else drawn,
                zeros(f"{name}.bias", fan_out),
            ]
        for part, placements in (("in", _INNER), ("branch", _BRANCH), ("out", _OUTER)):
            for sublayer in (2 * block - 1, 2 * block):
                if self._placement(sublayer) in placements:
                    found += _norm_weights(f"sublayer{sublayer}.{part}", width)
        return found

    def forward(
        self,
        flat_PN: Tensor,
        reads_PBT: Tensor,
        draws_PS: Tensor | None = None,
        watch: Watch | None = None,
    ) -> Tensor:
        """Logits at the scored positions, (P, B, scored, V).

        `draws_PS` are a training step's random numbers for a scheme that wants some, uniform in [0,
        1). `watch` is shown every sub-layer; torch's own operations compute attention then.
        """
        w = unpack(self._layout, flat_PN)
        x_PBTD = _embed(w["embedding.token"], reads_PBT) + w["embedding.position"].unsqueeze(1)
        carried = self.residual.open(x_PBTD.flatten(1, 2))
        for sublayer in range(1, self.stack.sublayers + 1):
            draw_P = None if draws_PS is None else draws_PS[:, sublayer - 1]
            carried = self._sublayer(Place(sublayer, self.stack, w, draw_P), carried, watch)
        if watch is not None:
            watch.output(self.residual.end(carried, w))
        x_PRD = self._close(self._scored(carried, reads_PBT.shape[1]), w)
        logits_PRV = torch.baddbmm(w["head.bias"].unsqueeze(1), x_PRD, w["head.matrix"])
        return logits_PRV.view(*reads_PBT.shape[:2], self.scored, self.vocabulary)

    @property
    def backend(self) -> Backend:
        """What computes it."""
        return compiled if self.compile else eager

    def _sublayer(self, place: Place, carried: Any, watch: Watch | None) -> Any:
        """Carried → carried'."""
        residual, settings, w = self.residual, self.settings, place.weights
        norm, name = self._placement(place.sublayer), f"sublayer{place.sublayer}"
        x_PRD = residual.read(carried, place)
        h_PRD = self._norm(w, f"{name}.in", x_PRD) if norm in _INNER else x_PRD
        h_PRD, mixed = residual.enter(h_PRD, place), list[Tensor]()
        if not place.attends:
            f_PRD = self.backend.ffn(h_PRD, self._linear(place, _FFN), settings.activation)
        elif residual.shapes_attention or watch is not None:
            carried, f_PRD = self._attend_as_shaped(place, carried, h_PRD, mixed)
        else:
            form = (self.tokens, settings.heads, self.stack.causal)
            f_PRD = self.backend.attend(h_PRD, self._linear(place, _ATTEND), *form)
        if norm in _BRANCH:
            f_PRD = self._norm(w, f"{name}.branch", f_PRD)
        keeps_skip = _SKIPPING[settings.skip][0 if place.attends else 1]
        if watch is not None:
            watch.sublayer(
                Seen(
                    place,
                    carried if keeps_skip else None,
                    x_PRD,
                    f_PRD,
                    mixed[0] if mixed else None,
                )
            )
        carried = residual.write(carried, f_PRD, place) if keeps_skip else f_PRD
        return (
            residual.outer(carried, partial(self._norm, w, f"{name}.out"), place)
            if norm in _OUTER
            else carried
        )

    def _attend_as_shaped(
        self, place: Place, carried: Any, h_PRD: Tensor, mixed: list[Tensor]
    ) -> tuple[Any, Tensor]:
        """Attention whose values and weights go through the scheme's hands; the weights are put
        into `mixed`.
        """

        def mix(a_PBHTT: Tensor) -> Tensor:
            mixed.append(self.residual.mix(a_PBHTT, place))
            return mixed[0]

        w_value, b_value = self._linear(place, ("value",))
        carried, v_PRD = self.residual.values(carried, eager.linear(h_PRD, w_value, b_value), place)
        others, form = (
            self._linear(place, ("query", "key", "output")),
            (self.tokens, self.settings.heads),
        )
        return carried, eager.attend_to(h_PRD, v_PRD, others, *form, self.stack.causal, mix)

    def _linear(self, place: Place, groups: Sequence[Group]) -> list[Tensor]:
        """Matrix and bias of each of these groups, one after another."""
        return [
            place.weights[f"block{place.block}.{group}.{part}"]
            for group in groups
            for part in ("matrix", "bias")
        ]

    def _norm(self, w: Mapping[str, Tensor], name: str, x_PRD: Tensor) -> Tensor:
        return self.backend.norm(x_PRD, w[f"{name}.norm.gain"], w[f"{name}.norm.bias"])

    def _close(self, carried: Any, w: Mapping[str, Tensor]) -> Tensor:
        """The output of the stack, behind the last norm if one stands."""
        return self.residual.close(
            carried, partial(self._norm, w, "last") if self._last_norm else _unchanged, w
        )

    def _scored(self, carried: Any, sequences: int) -> Any:
        """What is carried in the rows that have an answer, (..., P, B·scored, D)."""
        if isinstance(carried, tuple):
            return tuple(self._scored(part, sequences) for part in carried)
        return carried.unflatten(-2, (sequences, self.tokens))[..., -self.scored :, :].flatten(
            -3, -2
        )

    def parameters(self) -> int:
        """N."""
        return sum(weight.size for weight in self.weights())

    def flops_per_step(self, sequences: int) -> int:
        """Floating-point operations of one member's training step in matrix products.

        A product of (m, k) and (k, n) counts 2·m·k·n, the backward pass twice the forward pass;
        causal attention counts in full, since it is computed in full. Norms, activations and sums
        are left out.
        """
        tokens, width = self.tokens, self.settings.width
        per_block = (
            2 * tokens * (4 * width * width + 2 * width * self.hidden) + 4 * tokens * tokens * width
        )
        scheme = tokens * self.residual.flops_per_row(self.stack)
        head = 2 * self.scored * width * self.vocabulary
        return 3 * sequences * (self.settings.depth * per_block + scheme + head)


def _unchanged(x_PRD: Tensor) -> Tensor:
    return x_PRD


def _norm_weights(name: str, width: int) -> list[ParameterSpec]:
    return [ones(f"{name}.norm.gain", width), zeros(f"{name}.norm.bias", width)]


def _embed(token_PVD: Tensor, reads_PBT: Tensor) -> Tensor:
    """Each member's rows of its own table: one look-up in the tables laid end to end."""
    members, vocabulary, _ = token_PVD.shape
    first_row = torch.arange(members, device=reads_PBT.device).mul_(vocabulary)
    return nnf.embedding(reads_PBT + first_row[:, None, None], token_PVD.flatten(0, 1))
