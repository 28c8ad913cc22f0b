"""Weights of a sub-layer, as the backends take them, by their names among the parameters."""

from collections.abc import Mapping

from torch import Tensor

from resformer.numerics.backends.base import (
    GATED,
    AttentionWeights,
    FfnWeights,
    Linear,
    NormWeights,
)
from resformer.residuals.base import ParameterGroup


def attention(parameters: Mapping[str, Tensor], block: int) -> AttentionWeights:
    """Weights of this block's attention."""
    return AttentionWeights(
        query=_linear(parameters, block, "query"),
        key=_linear(parameters, block, "key"),
        value=_linear(parameters, block, "value"),
        output=_linear(parameters, block, "output"),
        query_gain_PK=parameters.get(f"block{block}.query.gain"),
        key_gain_PK=parameters.get(f"block{block}.key.gain"),
    )


def ffn(parameters: Mapping[str, Tensor], block: int, activation: str) -> FfnWeights:
    """Weights of this block's FFN, with a gate where its activation has one."""
    return FfnWeights(
        ffn_in=_linear(parameters, block, "ffn_in"),
        ffn_out=_linear(parameters, block, "ffn_out"),
        gate=_linear(parameters, block, "ffn_gate") if activation in GATED else None,
    )


def norm(parameters: Mapping[str, Tensor], name: str) -> NormWeights:
    """Weights of the norm of this name."""
    return NormWeights(
        gain_PD=parameters[f"{name}.norm.gain"],
        bias_PD=parameters.get(f"{name}.norm.bias"),
        slope_P1=parameters.get(f"{name}.norm.slope"),
        shift_P1=parameters.get(f"{name}.norm.shift"),
    )


def head(parameters: Mapping[str, Tensor], *, tied: bool) -> Linear:
    """Linear layer from the width to the vocabulary; tied, its matrix is that of the tokens."""
    tokens_PVD = parameters["embedding.token"]
    return Linear(
        matrix_PDE=tokens_PVD.transpose(1, 2) if tied else parameters["head.matrix"],
        bias_PE=parameters.get("head.bias"),
    )


def _linear(parameters: Mapping[str, Tensor], block: int, group: ParameterGroup) -> Linear:
    return linear(parameters, f"block{block}.{group}")


def linear(parameters: Mapping[str, Tensor], name: str) -> Linear:
    """Weights of the linear layer of this name."""
    return Linear(parameters[f"{name}.matrix"], parameters.get(f"{name}.bias"))
