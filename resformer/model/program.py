"""Program of a model for compiled kernels, where its residual scheme is a weighted sum."""

import ctypes
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, final

import torch
from torch import Tensor

from resformer.model import positions, weights
from resformer.model.specs import NORM_BRANCH, NORM_IN, NORM_OUT
from resformer.numerics.backends.base import NormWeights
from resformer.numerics.backends.eager import RMS_EPSILON, rotation
from resformer.numerics.backends.kernels.build import library
from resformer.numerics.backends.kernels.functions import ACTIVATIONS, NORM_EPSILON
from resformer.numerics.backends.kernels.program import (
    ModelPlan,
    NormPlan,
    Program,
    SublayerPlan,
    WeightPlan,
)
from resformer.numerics.parameters import unpack
from resformer.residuals.base import SublayerContext, WeightedSum

if TYPE_CHECKING:
    from resformer.model.transformer import Transformer

_NO_NORM = NormPlan(-1, -1)


_INHERITED = ("expand_streams", "read", "write", "apply_post_norm", "reduce_streams")


def has_program(model: "Transformer", device: str) -> bool:
    """Return True if kernels can take whole steps of a model: on the CPU, of symbols with a target
    each, with a scheme that does no more than weigh the terms of a sum.

    Its weights may still be no parameters, but computed of some, for which there is no program.
    """
    residual, settings = model.residual, model.settings
    return (
        model.compile
        and device == "cpu"
        and isinstance(residual, WeightedSum)
        and all(getattr(type(residual), name) is getattr(WeightedSum, name) for name in _INHERITED)
        and not residual.shapes_attention
        and not model.random
        and settings.module is None
        and model.numbers is None
        and not model.from_last
        and settings.norm_kind in NORM_EPSILON
    )


def program(model: "Transformer", device: str, dtype: torch.dtype) -> Program | None:
    """Program of a model; None where kernels know parts of it only."""
    if not has_program(model, device):
        return None
    assert isinstance(model.residual, WeightedSum)
    return _Planner(model, model.residual, _columns(model)).program(dtype)


def _columns(model: "Transformer") -> Mapping[str, Tensor]:
    """Column of every parameter in `flat_PN`, (1, *shape) by name."""
    specs = model.parameter_specs
    return unpack(specs, torch.arange(model.num_parameters).unsqueeze(0))


@final
@dataclass(frozen=True)
class _Planner:
    """Plans of a model's parts, its parameters being their own columns."""

    model: "Transformer"
    residual: WeightedSum
    columns: Mapping[str, Tensor]

    def program(self, dtype: torch.dtype) -> Program | None:
        """The program; None if a weight is no parameter."""
        sublayers = list[SublayerPlan]()
        for context in self.model.contexts(self.columns, None, torch.tensor(0)):
            skip = self._weight(self.residual.skip_weight(context))
            branch = self._weight(self.residual.branch_weight(context))
            if skip is None or branch is None:
                return None
            sublayers.append(self._sublayer(context, skip, branch))
        tables = self._tables(dtype)
        plan = self._plan((SublayerPlan * len(sublayers))(*sublayers), tables)
        return Program(library(dtype), plan, tables)

    def _plan(
        self, sublayers: "ctypes.Array[SublayerPlan]", tables: Mapping[str, Tensor | None]
    ) -> ModelPlan:
        model, settings = self.model, self.model.settings
        return ModelPlan(
            tokens=model.tokens,
            targets=model.num_targets,
            vocabulary=model.vocabulary,
            width=settings.width,
            heads=settings.heads,
            hidden=model.ffn_width,
            causal=model.architecture.causal,
            activation=ACTIVATIONS[settings.activation],
            centred=settings.norm_kind == "layer",
            tied=settings.tied,
            num_sublayers=len(sublayers),
            attention_scale=model.attention_settings.scale,
            head_epsilon=RMS_EPSILON,
            norm_epsilon=NORM_EPSILON[settings.norm_kind],
            embedding_scale=math.sqrt(settings.width) if settings.tied else 1.0,
            logit_scale=model.parametrisation.logits,
            token=self._first("embedding.token"),
            position=self._first("embedding.position"),
            head=self._first("head.matrix"),
            head_bias=self._first("head.bias"),
            last=self._norm("last") if model.has_final_norm else _NO_NORM,
            **{name: None if table is None else table.data_ptr() for name, table in tables.items()},
            sublayers=sublayers,
        )

    def _tables(self, dtype: torch.dtype) -> dict[str, Tensor | None]:
        """Tables of fixed positions, (T, D), and of rotary ones, (T, K)."""
        settings, cpu = self.model.settings, torch.device("cpu")
        tokens, width = self.model.tokens, settings.width
        tables: dict[str, Tensor | None] = dict.fromkeys(("positions", "cosine", "sine"))
        if settings.position == "sinusoidal":
            tables["positions"] = positions.sinusoidal(tokens, width, dtype, cpu)
        if settings.position == "rope":
            assert settings.rope_base is not None
            angles = rotation(tokens, width // settings.heads, settings.rope_base, dtype, cpu)
            tables["cosine"], tables["sine"] = angles
        return tables

    def _sublayer(
        self, context: SublayerContext, skip: WeightPlan, branch: WeightPlan
    ) -> SublayerPlan:
        placement, name = (
            self.model.placement(context.sublayer),
            f"sublayer{context.weights_sublayer}",
        )
        if not self.model.keeps_skip(context):
            skip, branch = WeightPlan(0.0, -1, 0), WeightPlan(1.0, -1, 0)
        branch.factor *= self.model.parametrisation.branch
        return SublayerPlan(
            attention=context.is_attention,
            norm_in=self._norm(f"{name}.in") if placement in NORM_IN else _NO_NORM,
            norm_branch=self._norm(f"{name}.branch") if placement in NORM_BRANCH else _NO_NORM,
            norm_out=self._norm(f"{name}.out") if placement in NORM_OUT else _NO_NORM,
            input_scale=self.residual.input_scale(context),
            skip=skip,
            branch=branch,
            weights=(ctypes.c_long * 10)(*self._weights(context)),
        )

    def _weights(self, context: SublayerContext) -> list[int]:
        """Columns of the weights in the order in which the kernels take them."""
        if context.is_attention:
            attention = weights.attention(self.columns, context.weights_block)
            parts = (*attention.query, *attention.key, *attention.value, *attention.output)
            gains = (attention.query_gain_PK, attention.key_gain_PK)
            return [*map(_column, (*parts, *gains))]
        ffn = weights.ffn(self.columns, context.weights_block, self.model.settings.activation)
        parts = (*ffn.ffn_in, *ffn.ffn_out, *(ffn.gate or (None, None)))
        return [*map(_column, parts), *[-1] * 4]

    def _norm(self, name: str) -> NormPlan:
        norm: NormWeights = weights.norm(self.columns, name)
        return NormPlan(_column(norm.gain_PD), _column(norm.bias_PD))

    def _first(self, name: str) -> int:
        return _column(self.columns.get(name))

    def _weight(self, weight: float | Tensor) -> WeightPlan | None:
        """Plan of a weight; None if it is no parameter of one entry or one per channel."""
        if not isinstance(weight, Tensor):
            return WeightPlan(weight, -1, 0)
        known = any(weight is column for column in self.columns.values())
        if not known or weight.numel() not in (1, self.model.settings.width):
            return None
        return WeightPlan(1.0, _column(weight), weight.numel())


def _column(columns: Tensor | None) -> int:
    return -1 if columns is None else int(columns.flatten()[0])
