"""Transformer of P independent members in one batched computation.

Shapes: P members, B sequences, T tokens, U target positions, R = B·T rows, D width, H heads, K head
width, F FFN width, V vocabulary, L depth, S = 2·L sub-layers, N parameters of a member. Training
adds G gradient steps, E evaluations or the steps between two, C steps whose data are drawn
together. Nothing is ever reduced over P.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer import plugins
from resformer.errors import Incompatible, UserError
from resformer.keys import OWN
from resformer.model.activations import Activations, SublayerActivations
from resformer.model.settings import ModelSettings
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import AttentionSettings, Backend
from resformer.numerics.parameters import (
    ParameterSpec,
    identity,
    normal,
    ones,
    unpack,
    xavier,
    zeros,
)
from resformer.residuals.base import Architecture, ParameterGroup, Residual, SublayerContext

_ATTENTION: tuple[ParameterGroup, ...] = ("query", "key", "value", "output")
_FFN: tuple[ParameterGroup, ...] = ("ffn_in", "ffn_out")

_NORM_IN = ("pre", "sandwich", "pre_post")
_NORM_BRANCH = ("branch", "sandwich")
_NORM_OUT = ("post", "pre_post")
_ATTENTION_SKIPS, _FFN_SKIPS = ("both", "attention"), ("both", "ffn")
"""Values of `model.skip` with which attention and FFN keep their skips."""

_Attend = Callable[[SublayerContext, Any, Tensor], tuple[Any, Tensor, Tensor | None]]
"""Context, residual streams and input h_PRD → residual streams, output f_PRD and pattern."""


@final
@dataclass(frozen=True, kw_only=True)
class Transformer:
    """Model of one shape: a pure function of `flat_PN`.

    Settings are resolved: no `own`, `hidden` is given.
    """

    settings: ModelSettings
    residual: Residual[Any]
    vocabulary: int
    """V."""
    tokens: int
    """T."""
    num_targets: int
    """U: the last positions, which have a target."""
    compile: bool
    """True to compute with compiled kernels, False with torch's own operations."""

    def __post_init__(self) -> None:
        norm, skip = self.settings.norm, self.settings.skip
        scheme = type(self.residual).__name__.lower()
        if norm not in self.residual.norms:
            allowed = ", ".join(name for name in self.residual.norms if name != OWN)
            raise Incompatible(
                f"model.norm={norm}: the scheme {scheme} goes with "
                f"{allowed or 'placements of its own'} (or own) only"
            )
        if skip != "both" and not self.residual.skips:
            raise Incompatible(
                f"model.skip={skip}: the scheme {scheme} has no single skips to drop; both would "
                "work"
            )

    @cached_property
    def architecture(self) -> Architecture:
        """Sizes that the scheme may depend on."""
        settings = self.settings
        return Architecture(
            depth=settings.depth,
            width=settings.width,
            heads=settings.heads,
            causal=settings.attention == "causal",
        )

    @cached_property
    def _attention_settings(self) -> AttentionSettings:
        return AttentionSettings(
            tokens=self.tokens, heads=self.settings.heads, causal=self.architecture.causal
        )

    @property
    def hidden(self) -> int:
        """F."""
        if self.settings.hidden is None:
            raise UserError("model.hidden=null: resolve it first")
        return self.settings.hidden

    @property
    def backend(self) -> Backend:
        """Backend that computes the sub-layers."""
        return compiled if self.compile else eager

    @cached_property
    def parameter_specs(self) -> Sequence[ParameterSpec]:
        """Parameters of a member, in the order in which they lie in `flat_PN`.

        Xavier-uniform per (in, out) matrix, query, key and value separately; biases 0, norm gains
        1, token and position embeddings N(0, 1); the scheme may scale the draws of embeddings and
        of a block's matrices.
        """
        width, residual = self.settings.width, self.residual
        embedding = residual.gain("embedding", self.architecture)
        blocks = range(1, self.settings.depth + 1)
        return [
            normal("embedding.token", self.vocabulary, width, scale=embedding),
            normal("embedding.position", self.tokens, width, scale=embedding),
            *(spec for block in blocks for spec in self._block_parameters(block)),
            *residual.parameters(self.architecture),
            *(_norm_parameters("last", width) if self._has_final_norm else []),
            xavier("head.matrix", width, self.vocabulary),
            zeros("head.bias", self.vocabulary),
        ]

    @property
    def num_parameters(self) -> int:
        """N."""
        return sum(spec.size for spec in self.parameter_specs)

    def _block_parameters(self, block: int) -> list[ParameterSpec]:
        width, residual = self.settings.width, self.residual
        specs = []
        fans: dict[ParameterGroup, tuple[int, int]] = {
            "query": (width, width),
            "key": (width, width),
            "value": (width, width),
            "output": (width, width),
            "ffn_in": (width, self.hidden),
            "ffn_out": (self.hidden, width),
        }
        for group, (fan_in, fan_out) in fans.items():
            name = f"block{block}.{group}"
            if residual.starts_as_identity(group, block):
                specs.append(identity(f"{name}.matrix", fan_in, fan_out))
            else:
                gain = residual.gain(group, self.architecture)
                specs.append(xavier(f"{name}.matrix", fan_in, fan_out, gain))
            specs.append(zeros(f"{name}.bias", fan_out))
        for part, placements in (("in", _NORM_IN), ("branch", _NORM_BRANCH), ("out", _NORM_OUT)):
            for sublayer in (2 * block - 1, 2 * block):
                if self._placement(sublayer) in placements:
                    specs += _norm_parameters(f"sublayer{sublayer}.{part}", width)
        return specs

    @cached_property
    def _has_final_norm(self) -> bool:
        return self.residual.has_final_norm(self.settings.norm, self.architecture)

    def _placement(self, sublayer: int) -> str:
        return self.residual.placement(self.settings.norm, sublayer, self.architecture)

    def forward(
        self, flat_PN: Tensor, inputs_PBT: Tensor, draws_PS: Tensor | None = None
    ) -> Tensor:
        """Logits at the target positions, (P, B, U, V).

        `draws_PS` are a training step's random numbers for a scheme that is `random`, uniform in
        [0, 1).
        """
        parameters = unpack(self.parameter_specs, flat_PN)
        shapes_attention = self.residual.shapes_attention
        attend = self._attend_with_pattern if shapes_attention else self._attend_fused
        streams = self._embed(parameters, inputs_PBT)
        for context in self._contexts(parameters, draws_PS):
            streams = self._sublayer(context, streams, attend).after
        return self._logits(streams, parameters, inputs_PBT)

    def activations(self, flat_PN: Tensor, inputs_PBT: Tensor) -> Activations:
        """Logits as in an evaluation, with the activations of every sub-layer.

        Attention patterns are written out, whereas `forward` may compute them in a fused kernel.
        """
        parameters = unpack(self.parameter_specs, flat_PN)
        streams, sublayers = self._embed(parameters, inputs_PBT), list[SublayerActivations]()
        for context in self._contexts(parameters, None):
            sublayers.append(self._sublayer(context, streams, self._attend_with_pattern))
            streams = sublayers[-1].after
        output_PRD = self.residual.stream_output(streams, parameters)
        return Activations(
            logits_PBUV=self._logits(streams, parameters, inputs_PBT),
            sublayers=sublayers,
            streams=[*(sublayer.x_PRD for sublayer in sublayers), output_PRD],
        )

    def _contexts(
        self, parameters: Mapping[str, Tensor], draws_PS: Tensor | None
    ) -> Iterator[SublayerContext]:
        scheme = plugins.name_of(self.residual)
        for sublayer in range(1, self.architecture.sublayers + 1):
            yield SublayerContext(
                sublayer=sublayer,
                architecture=self.architecture,
                scheme=scheme,
                parameters=parameters,
                draw_P=None if draws_PS is None else draws_PS[:, sublayer - 1],
            )

    def _embed(self, parameters: Mapping[str, Tensor], inputs_PBT: Tensor) -> Any:
        """Residual streams of the embedded tokens."""
        token_PBTD = _look_up(parameters["embedding.token"], inputs_PBT)
        x_PBTD = token_PBTD + parameters["embedding.position"].unsqueeze(1)
        return self.residual.expand_streams(x_PBTD.flatten(1, 2))

    def _sublayer(
        self, context: SublayerContext, streams: Any, attend: _Attend
    ) -> SublayerActivations:
        residual, parameters = self.residual, context.parameters
        placement, name = self._placement(context.sublayer), f"sublayer{context.sublayer}"
        x_PRD = h_PRD = residual.read(streams, context)
        if placement in _NORM_IN:
            h_PRD = self._norm(parameters, f"{name}.in", h_PRD)
        h_PRD = residual.scale_input(h_PRD, context)
        if context.is_attention:
            streams, f_PRD, a_PBHTT = attend(context, streams, h_PRD)
            keeps_skip = self.settings.skip in _ATTENTION_SKIPS
        else:
            weights, a_PBHTT = _linear_parameters(context, _FFN), None
            f_PRD = self.backend.ffn(h_PRD, weights, self.settings.activation)
            keeps_skip = self.settings.skip in _FFN_SKIPS
        if placement in _NORM_BRANCH:
            f_PRD = self._norm(parameters, f"{name}.branch", f_PRD)
        after = residual.write(streams, f_PRD, context) if keeps_skip else f_PRD
        if placement in _NORM_OUT:
            post_norm = partial(self._norm, parameters, f"{name}.out")
            after = residual.apply_post_norm(after, post_norm, context)
        return SublayerActivations(
            context=context,
            before=streams if keeps_skip else None,
            x_PRD=x_PRD,
            f_PRD=f_PRD,
            a_PBHTT=a_PBHTT,
            after=after,
        )

    def _attend_fused(
        self, context: SublayerContext, streams: Any, h_PRD: Tensor
    ) -> tuple[Any, Tensor, None]:
        """Attention as the backend computes it, without its pattern."""
        weights = _linear_parameters(context, _ATTENTION)
        f_PRD = self.backend.attend(h_PRD, weights, self._attention_settings)
        return streams, f_PRD, None

    def _attend_with_pattern(
        self, context: SublayerContext, streams: Any, h_PRD: Tensor
    ) -> tuple[Any, Tensor, Tensor]:
        """Attention whose values and pattern the scheme may change."""
        w_value, b_value = _linear_parameters(context, ("value",))
        v_PRD = eager.linear(h_PRD, w_value, b_value)
        streams, v_PRD = self.residual.attention_values(streams, v_PRD, context)
        weights = _linear_parameters(context, ("query", "key"))
        a_PBHTT = eager.attention_pattern(h_PRD, weights, self._attention_settings)
        a_PBHTT = self.residual.attention_pattern(a_PBHTT, context)
        f_PRD = eager.attend_with_pattern(a_PBHTT, v_PRD, _linear_parameters(context, ("output",)))
        return streams, f_PRD, a_PBHTT

    def _norm(self, parameters: Mapping[str, Tensor], name: str, x_PRD: Tensor) -> Tensor:
        gain_PD, bias_PD = parameters[f"{name}.norm.gain"], parameters[f"{name}.norm.bias"]
        return self.backend.norm(x_PRD, gain_PD, bias_PD)

    def _logits(self, streams: Any, parameters: Mapping[str, Tensor], inputs_PBT: Tensor) -> Tensor:
        sequences = inputs_PBT.shape[1]
        final_norm = partial(self._norm, parameters, "last") if self._has_final_norm else _unchanged
        targets = self._target_rows(streams, sequences)
        x_PRD = self.residual.reduce_streams(targets, final_norm, parameters)
        bias_P1V = parameters["head.bias"].unsqueeze(1)
        logits_PRV = torch.baddbmm(bias_P1V, x_PRD, parameters["head.matrix"])
        return logits_PRV.view(*inputs_PBT.shape[:2], self.num_targets, self.vocabulary)

    def _target_rows(self, streams: Any, sequences: int) -> Any:
        """Residual streams in the rows that have a target, (P, B·U, D) each."""
        if isinstance(streams, tuple):
            return tuple(self._target_rows(stream, sequences) for stream in streams)
        x_PBTD = streams.unflatten(-2, (sequences, self.tokens))
        return x_PBTD[..., -self.num_targets :, :].flatten(-3, -2)

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
        scheme = tokens * self.residual.flops_per_row(self.architecture)
        head = 2 * self.num_targets * width * self.vocabulary
        return 3 * sequences * (self.settings.depth * per_block + scheme + head)


def _unchanged(x_PRD: Tensor) -> Tensor:
    return x_PRD


def _norm_parameters(name: str, width: int) -> list[ParameterSpec]:
    return [ones(f"{name}.norm.gain", width), zeros(f"{name}.norm.bias", width)]


def _linear_parameters(context: SublayerContext, groups: Sequence[ParameterGroup]) -> list[Tensor]:
    """Matrix and bias of each of these groups in the context's block, one after another."""
    return [
        context.parameters[f"block{context.block}.{group}.{part}"]
        for group in groups
        for part in ("matrix", "bias")
    ]


def _look_up(token_PVD: Tensor, inputs_PBT: Tensor) -> Tensor:
    """Rows of each member's own embedding table: one look-up in the tables laid end to end."""
    members, vocabulary, _ = token_PVD.shape
    first_row = torch.arange(members, device=inputs_PBT.device).mul_(vocabulary)
    return nnf.embedding(inputs_PBT + first_row[:, None, None], token_PVD.flatten(0, 1))
