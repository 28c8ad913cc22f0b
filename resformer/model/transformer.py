"""Transformer of P independent members in one batched computation.

Shapes: P members, B sequences, T tokens, X numbers of a token that is no symbol, U target
positions, R = B·T rows, D width, H heads, K head width, F FFN width, V vocabulary, L depth, S = 2·L
sub-layers, N parameters of a member. Training adds G gradient steps, E evaluations or the steps
between two, C steps whose data are drawn together. Nothing is ever reduced over P.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property, partial
from typing import Any, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer import plugins
from resformer.errors import Incompatible, UserError
from resformer.keys import OWN
from resformer.model import positions, weights
from resformer.model.activations import Activations, SublayerActivations
from resformer.model.own_module import NO_PROBE, OwnBlocks, check_settings
from resformer.model.parametrisation import (
    Parametrisation,
    check_parametrisation,
    parametrisation,
)
from resformer.model.recompute import recomputed
from resformer.model.settings import ModelSettings
from resformer.model.specs import (
    DECODER,
    NORM_BRANCH,
    NORM_IN,
    NORM_OUT,
    ffn_width,
    parameter_specs,
)
from resformer.numerics import rng
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import GATED, AttentionSettings, Backend, Linear
from resformer.numerics.elementwise import gelu
from resformer.numerics.parameters import ParameterSpec, initial_values, unpack
from resformer.residuals.base import Architecture, Projections, Residual, SublayerContext

_ATTENTION_SKIPS, _FFN_SKIPS = ("both", "attention"), ("both", "ffn")
"""Values of `model.skip` with which attention and FFN keep their skips."""

_Attend = Callable[[SublayerContext, Any, Tensor], tuple[Any, Tensor, Tensor | None]]
"""Context, residual streams and input x_PRD → residual streams, output f_PRD and pattern."""


@final
@dataclass(frozen=True, kw_only=True)
class Transformer:
    """Model of one shape: a pure function of `flat_PN`.

    Settings are resolved: no `own`, `hidden` is given.
    """

    settings: ModelSettings
    residual: Residual[Any]
    vocabulary: int
    """V: outputs at a target, and of symbols, the number that there are."""
    numbers: int | None
    """X: numbers of a token; None where tokens are symbols."""
    tokens: int
    """T."""
    num_targets: int
    """U: the last positions, which have a target."""
    from_last: bool
    """True if all targets are decoded from the output at the last token."""
    dropout: float
    """Share of the numbers of each branch that are left out in training."""
    compile: bool
    """True to compute with compiled kernels, False with torch's own operations."""

    def __post_init__(self) -> None:
        norm, skip = self.settings.norm, self.settings.skip
        scheme = plugins.name_of(self.residual)
        if norm not in self.residual.norms:
            allowed = ", ".join(name for name in self.residual.norms if name != OWN)
            raise Incompatible(
                f"model.norm={norm}: the scheme {scheme} goes with "
                f"{allowed or 'placements of its own'} (or own) only"
            )
        self.residual.check(self.architecture)
        if skip != "both" and not self.residual.skips:
            raise Incompatible(
                f"model.skip={skip}: the scheme {scheme} has no single skips to drop; both would "
                "work"
            )
        if self.settings.tied and self.numbers is not None:
            raise Incompatible(
                "model.tied=true: tokens of this task are real numbers, which have no table that a "
                "head could share; false would work"
            )
        if self.from_last and self.settings.parametrisation != "standard":
            raise Incompatible(
                f"model.parametrisation={self.settings.parametrisation}: has no factors for the "
                "decoder of this task; standard would work"
            )
        if self.settings.module is not None:
            check_settings(self.settings, scheme=scheme, dropout=self.dropout)
        if self.settings.parametrisation != "standard":
            check_parametrisation(
                self.settings, scheme=scheme, fits=self.residual.goes_with_parametrisations
            )

    @cached_property
    def own(self) -> OwnBlocks | None:
        """Blocks of one's own."""
        if self.settings.module is None:
            return None
        return OwnBlocks(
            path=self.settings.module,
            depth=self.settings.depth,
            width=self.settings.width,
            heads=self.settings.heads,
            tokens=self.tokens,
            causal=self.architecture.causal,
        )

    @cached_property
    def architecture(self) -> Architecture:
        """Sizes that the scheme may depend on."""
        settings = self.settings
        return Architecture(
            depth=settings.depth,
            distinct_blocks=settings.distinct_blocks,
            width=settings.width,
            heads=settings.heads,
            tokens=self.tokens,
            causal=settings.attention == "causal",
            bias=settings.bias,
        )

    @cached_property
    def parametrisation(self) -> Parametrisation:
        """Factors of the parametrisation."""
        return parametrisation(self.settings)

    @cached_property
    def attention_settings(self) -> AttentionSettings:
        """Settings of every attention."""
        settings = self.settings
        return AttentionSettings(
            tokens=self.tokens,
            heads=settings.heads,
            causal=self.architecture.causal,
            scale=(settings.width // settings.heads) ** -0.5 * self.parametrisation.scores,
            rotary_base=settings.rope_base if settings.position == "rope" else None,
        )

    @property
    def ffn_width(self) -> int:
        """F."""
        return ffn_width(self.settings)

    @property
    def backend(self) -> Backend:
        """Backend that computes the sub-layers."""
        return compiled if self.compile else eager

    @cached_property
    def parameter_specs(self) -> Sequence[ParameterSpec]:
        """Parameters of a member, in the order in which they lie in `flat_PN`."""
        return parameter_specs(
            self.settings,
            self.residual,
            self.architecture,
            own=self.own,
            vocabulary=self.vocabulary,
            numbers=self.numbers,
            tokens=self.tokens,
            from_last=self.from_last,
        )

    def initial_values(self, seed_P: Tensor, dtype: torch.dtype) -> Tensor:
        """Initial `flat_PN` on the CPU."""
        if self.own is not None:
            return self.own.initial_values(self.parameter_specs, seed_P, dtype)
        return initial_values(self.parameter_specs, seed_P, dtype)

    @property
    def num_parameters(self) -> int:
        """N."""
        return sum(spec.size for spec in self.parameter_specs)

    @cached_property
    def has_final_norm(self) -> bool:
        """True if a norm follows the last block."""
        return self.residual.has_final_norm(self.settings.norm, self.architecture)

    def placement(self, sublayer: int) -> str:
        """Norm placement of a sub-layer."""
        return self.residual.placement(self.settings.norm, sublayer, self.architecture)

    def keeps_skip(self, context: SublayerContext) -> bool:
        """Return True if `model.skip` leaves the sub-layer its skip."""
        return self.settings.skip in (_ATTENTION_SKIPS if context.is_attention else _FFN_SKIPS)

    @property
    def random(self) -> bool:
        """True if a training step needs random numbers."""
        return self.residual.random or self.dropout > 0

    def forward(
        self,
        flat_PN: Tensor,
        inputs_PBT: Tensor,
        key_P: Tensor | None = None,
        step: Tensor | None = None,
        *,
        recompute: bool = False,
        without: Collection[int] = (),
    ) -> Tensor:
        """Logits at the target positions, (P, B, U, V), of symbols (P, B, T) or real numbers
        (P, B, T, X).

        `key_P` are keys of a training step's random numbers, None in an evaluation; `step` is the
        number of training steps taken, a training step included, by default 0. With `recompute` the
        backward pass computes the activations of each block again.

        The sub-layers `without`, numbers from 1 to S, are left out: they are not called, nor are
        the norms and mixing matrices around them, and the residual streams pass unchanged. Of the
        history that a scheme keeps, their outputs, keys and values are missing; softmaxes over it
        are over the rest. All other sub-layers keep their numbers, with the weights and factors
        that belong to these. A block whose FFN alone is left out ends behind its attention; one
        that is left out whole has no output.
        """
        parameters = unpack(self.parameter_specs, flat_PN)
        if self.own is not None:
            if without:
                raise UserError(f"model.module={self.own.path}: no sub-layer of it can be left out")
            x_PBTD = self._embedded(parameters, inputs_PBT)
            x_PBTD = self.own.forward(parameters, x_PBTD, recompute=recompute)
            return self._logits(x_PBTD.flatten(1, 2), parameters, inputs_PBT)
        streams = self._streams(parameters, inputs_PBT)
        step = _no_step(inputs_PBT) if step is None else step
        sublayers = self.contexts(parameters, key_P, step, without=without)
        for contexts in zip(sublayers, sublayers, strict=True):  # attention and FFN of a block
            kept = [context for context in contexts if context.sublayer not in without]
            block = partial(self._block, kept)
            streams = recomputed(block, streams) if recompute else block(streams)
        return self._logits(streams, parameters, inputs_PBT)

    def activations(
        self,
        flat_PN: Tensor,
        inputs_PBT: Tensor,
        step: Tensor | None = None,
        *,
        without: Collection[int] = (),
    ) -> Activations:
        """Logits as in an evaluation after so many steps, with the activations of every sub-layer
        but those `without`, which are left out as in `forward`.

        Attention patterns are written out, whereas `forward` may compute them in a fused kernel.
        """
        if self.own is not None:
            raise UserError(f"model.module={self.own.path}: {NO_PROBE}")
        parameters = unpack(self.parameter_specs, flat_PN)
        streams, sublayers = self._streams(parameters, inputs_PBT), list[SublayerActivations]()
        step = _no_step(inputs_PBT) if step is None else step
        for context in self.contexts(parameters, None, step, without=without):
            if context.sublayer in without:
                continue
            sublayers.append(self._sublayer(context, streams, self._attend_with_pattern))
            streams = sublayers[-1].after
        output_PRD = self.residual.stream_output(streams, parameters)
        return Activations(
            logits_PBUV=self._logits(streams, parameters, inputs_PBT),
            sublayers=sublayers,
            streams=[*(sublayer.x_PRD for sublayer in sublayers), output_PRD],
        )

    def contexts(
        self,
        parameters: Mapping[str, Tensor],
        key_P: Tensor | None,
        step: Tensor,
        *,
        without: Collection[int] = (),
    ) -> Iterator[SublayerContext]:
        """Every sub-layer with these parameters, in order."""
        scheme, draws_PS = plugins.name_of(self.residual), None
        if key_P is not None and self.residual.random:
            scheme_key_P = rng.key(key_P, "scheme")
            draws_PS = (rng.uniform(scheme_key_P, self.architecture.sublayers) + 1) / 2
        for sublayer in range(1, self.architecture.sublayers + 1):
            yield SublayerContext(
                sublayer=sublayer,
                architecture=self.architecture,
                scheme=scheme,
                parameters=parameters,
                step=step,
                key_P=key_P,
                draw_P=None if draws_PS is None else draws_PS[:, sublayer - 1],
                without=without,
            )

    def _streams(self, parameters: Mapping[str, Tensor], inputs_PBT: Tensor) -> Any:
        """Residual streams of the embedded tokens."""
        return self.residual.expand_streams(self._embedded(parameters, inputs_PBT).flatten(1, 2))

    def _embedded(self, parameters: Mapping[str, Tensor], inputs_PBT: Tensor) -> Tensor:
        """Embedded tokens, (P, B, T, D)."""
        embed = _look_up if self.numbers is None else _project
        x_PBTD = embed(parameters["embedding.token"], inputs_PBT)
        if self.settings.tied:
            x_PBTD = x_PBTD * math.sqrt(self.settings.width)
        if self.settings.position == "learned":
            x_PBTD = x_PBTD + parameters["embedding.position"].unsqueeze(1)
        if self.settings.position == "sinusoidal":
            width = self.settings.width
            x_PBTD = x_PBTD + positions.sinusoidal(self.tokens, width, x_PBTD.dtype, x_PBTD.device)
        return x_PBTD

    def _block(self, contexts: Sequence[SublayerContext], streams: Any) -> Any:
        """Residual streams behind the sub-layers of a block."""
        shapes_attention = self.residual.shapes_attention
        attend = self._attend_with_pattern if shapes_attention else self._attend_fused
        for context in contexts:
            streams = self._sublayer(context, streams, attend).after
        return streams

    def _sublayer(
        self, context: SublayerContext, streams: Any, attend: _Attend
    ) -> SublayerActivations:
        residual, parameters = self.residual, context.parameters
        placement, name = self.placement(context.sublayer), f"sublayer{context.weights_sublayer}"
        x_PRD = residual.read(streams, context)
        if context.is_attention:
            streams, f_PRD, a_PBHTT = attend(context, streams, x_PRD)
        else:
            f_PRD, a_PBHTT = self._ffn(context, x_PRD), None
        if placement in NORM_BRANCH:
            f_PRD = self._norm(parameters, f"{name}.branch", f_PRD)
        f_PRD = self._scaled_and_dropped(f_PRD, context)
        keeps_skip = self.keeps_skip(context)
        after = residual.write(streams, f_PRD, context) if keeps_skip else f_PRD
        if placement in NORM_OUT:
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

    def _scaled_and_dropped(self, f_PRD: Tensor, context: SublayerContext) -> Tensor:
        """Output of a branch as it joins the stream: scaled by the parametrisation, and in training
        with dropout (Srivastava et al. 2014), whose random numbers are those of the seed, the step
        and the sub-layer.
        """
        if self.parametrisation.branch != 1.0:
            f_PRD = f_PRD * self.parametrisation.branch
        if not self.dropout or context.key_P is None:
            return f_PRD
        key_P = rng.key(context.key_P, "dropout", context.sublayer)
        kept_PRD = rng.chances(key_P, f_PRD[0].numel(), 1.0 - self.dropout).view(f_PRD.shape)
        return torch.where(kept_PRD, f_PRD / (1.0 - self.dropout), 0.0)

    def _branch_input(self, context: SublayerContext, x_PRD: Tensor) -> Tensor:
        """Input of a branch: normalised and scaled where the scheme has it."""
        if self.placement(context.sublayer) in NORM_IN:
            name = f"sublayer{context.weights_sublayer}.in"
            x_PRD = self._norm(context.parameters, name, x_PRD)
        scale = self.residual.input_scale(context)
        return x_PRD if scale == 1.0 else x_PRD * scale

    def _attend_fused(
        self, context: SublayerContext, streams: Any, x_PRD: Tensor
    ) -> tuple[Any, Tensor, None]:
        """Attention as the backend computes it, without its pattern."""
        attention = weights.attention(context.parameters, context.weights_block)
        h_PRD = self._branch_input(context, x_PRD)
        return streams, self.backend.attend(h_PRD, attention, self.attention_settings), None

    def _attend_with_pattern(
        self, context: SublayerContext, streams: Any, x_PRD: Tensor
    ) -> tuple[Any, Tensor, Tensor]:
        """Attention whose inputs, projections and pattern the scheme may change."""
        residual, settings = self.residual, self.attention_settings
        attention = weights.attention(context.parameters, context.weights_block)
        branch_input = cache(partial(self._branch_input, context))  # mostly of one tensor
        query_PRD, key_PRD, value_PRD = map(
            branch_input, residual.attention_inputs(streams, x_PRD, context)
        )
        v_PRD = eager.linear(value_PRD, attention.value)
        q_PRD = eager.queries(query_PRD, attention, settings)
        k_PRD = eager.keys(key_PRD, attention, settings)
        projections = Projections(query=q_PRD, key=k_PRD, value=v_PRD)
        streams, projections = residual.attention_projections(streams, projections, context)
        a_PBHTT = eager.attention_pattern(projections.query, projections.key, settings)
        a_PBHTT = residual.attention_pattern(a_PBHTT, context)
        f_PRD = eager.attend_with_pattern(a_PBHTT, projections.value, attention.output)
        return streams, f_PRD, a_PBHTT

    def _ffn(self, context: SublayerContext, x_PRD: Tensor) -> Tensor:
        activation = self.settings.activation
        ffn = weights.ffn(context.parameters, context.weights_block, activation)
        return self.backend.ffn(self._branch_input(context, x_PRD), ffn, activation)

    def _norm(self, parameters: Mapping[str, Tensor], name: str, x_PRD: Tensor) -> Tensor:
        return self.backend.norm(x_PRD, weights.norm(parameters, name), self.settings.norm_kind)

    def _logits(self, streams: Any, parameters: Mapping[str, Tensor], inputs_PBT: Tensor) -> Tensor:
        sequences = inputs_PBT.shape[1]
        final_norm = partial(self._norm, parameters, "last") if self.has_final_norm else _unchanged
        targets = self._target_rows(streams, sequences)
        x_PRD = self.residual.reduce_streams(targets, final_norm, parameters)
        if self.from_last:
            x_PRD = self._decoded(parameters, x_PRD)
        if self.parametrisation.logits != 1.0:
            x_PRD = x_PRD * self.parametrisation.logits
        head = weights.head(parameters, tied=self.settings.tied)
        logits_PRV = eager.linear(x_PRD, head) if self.vocabulary > 1 else _one_output(x_PRD, head)
        return logits_PRV.view(*inputs_PBT.shape[:2], self.num_targets, self.vocabulary)

    def _decoded(self, parameters: Mapping[str, Tensor], x_PBD: Tensor) -> Tensor:
        """Rows (P, B·U, D) for all targets from one row for each sequence: with a code of the
        target's place, through the decoder of MAD (Poli et al. 2024, arXiv 2403.17844, as in the
        authors' code).
        """
        width = self.settings.width
        code_UD = positions.sinusoidal(self.num_targets, width, x_PBD.dtype, x_PBD.device)
        x_PRD = (x_PBD.unsqueeze(2) + code_UD).flatten(1, 2)
        for layer in DECODER:
            h_PRD = self._norm(parameters, layer, x_PRD)
            x_PRD = gelu(eager.linear(h_PRD, weights.linear(parameters, layer)))
        return self._norm(parameters, "decoded", x_PRD)

    def _target_rows(self, streams: Any, sequences: int) -> Any:
        """Residual streams in the rows that have a target, (P, B·U, D) each, or in the last row of
        each sequence if all targets are decoded from it.
        """
        if isinstance(streams, tuple):
            return tuple(self._target_rows(stream, sequences) for stream in streams)
        x_PBTD = streams.unflatten(-2, (sequences, self.tokens))
        rows = 1 if self.from_last else self.num_targets
        return x_PBTD[..., -rows:, :].flatten(-3, -2)

    def flops_per_step(self, sequences: int) -> int:
        """Floating-point operations of one member's training step in matrix products.

        A product of (m, k) and (k, n) counts 2·m·k·n, the backward pass twice the forward pass;
        causal attention counts in full, since it is computed in full. Norms, activations and sums
        are left out.
        """
        tokens, width = self.tokens, self.settings.width
        embedding = 2 * tokens * (self.numbers or 0) * width
        decoder = len(DECODER) * width if self.from_last else 0
        output = self.residual.flops_per_output_row(self.architecture)
        head = self.num_targets * 2 * width * (decoder + self.vocabulary)
        head += output * (1 if self.from_last else self.num_targets)
        if self.own is not None:
            return 3 * sequences * (embedding + self.own.flops_per_sequence() + head)
        ffn = (3 if self.settings.activation in GATED else 2) * width * self.ffn_width
        per_block = 2 * tokens * (4 * width * width + ffn) + 4 * tokens * tokens * width
        scheme = tokens * self.residual.flops_per_row(self.architecture)
        return 3 * sequences * (embedding + self.settings.depth * per_block + scheme + head)


def _no_step(inputs_PBT: Tensor) -> Tensor:
    return torch.zeros((), dtype=torch.int64, device=inputs_PBT.device)


def _unchanged(x_PRD: Tensor) -> Tensor:
    return x_PRD


def _look_up(token_PVD: Tensor, inputs_PBT: Tensor) -> Tensor:
    """Rows of each member's own embedding table: one look-up in the tables laid end to end."""
    members, vocabulary, _ = token_PVD.shape
    first_row = torch.arange(members, device=inputs_PBT.device).mul_(vocabulary)
    return nnf.embedding(inputs_PBT + first_row[:, None, None], token_PVD.flatten(0, 1))


def _one_output(x_PRD: Tensor, weights: Linear) -> Tensor:
    """Linear layer with one output, (P, R, 1), without a product of a matrix and a vector, whose
    bits depend on the number of members.
    """
    output_PR1 = (x_PRD * weights.matrix_PDE.transpose(1, 2)).sum(-1, keepdim=True)
    return output_PR1 if weights.bias_PE is None else output_PR1 + weights.bias_PE.unsqueeze(1)


def _project(token_PXD: Tensor, inputs_PBTX: Tensor) -> Tensor:
    """Tokens of real numbers, each times its member's own matrix."""
    x_PRD = torch.bmm(inputs_PBTX.flatten(1, 2).to(token_PXD.dtype), token_PXD)
    return x_PRD.view(*inputs_PBTX.shape[:-1], -1)
