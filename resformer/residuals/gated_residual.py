"""Gated residual: several streams, read through a gate per channel and written by a scalar each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.errors import require_between
from resformer.numerics.elementwise import sigmoid
from resformer.numerics.parameters import ParameterSpec, ones, xavier
from resformer.residuals.base import (
    Architecture,
    ManyStreams,
    Streams,
    SublayerContext,
    inverse_rms,
    total,
)

_OUTPUT = "output.gated_residual"


@final
@dataclass(frozen=True, kw_only=True)
class GatedResidual(ManyStreams):
    """n = `streams` streams s; F reads 1/n·Σ_j G_j⊙u_j, u_j = γ_j⊙s_j/rms(s_j), G =
    σ(silu(u·W_d/n)·W_u), u the u_j end to end; s_j' = s_j + 2σ(u·W_w/n)_j·F, per sub-layer.

    Qwen Team 2026, "On the design of Qwen3.8-Next architecture", arXiv 2608.30320, section 2.2, eq.
    30 to 34, and the model's code in the library transformers. W_d has D/8 columns, as there, and
    at least 2. The streams start as n copies of the embedding; the output is read in the same way,
    with weights of its own, in the place of a last norm. Learned: γ and all W. Initial values: γ =
    1; the paper gives none for W, which are normal with σ = 0.02 at a width of 2560 in the code and
    Xavier-uniform here, as all matrices, so that the arguments of σ start small there and here. Of
    the paper's text the abstract was checked, of the code all. Norm: none, since the read
    normalises.
    """

    streams: int
    """n."""

    own_norm: ClassVar[str] = "none"
    norms: ClassVar[tuple[str, ...]] = ("none",)

    def __post_init__(self) -> None:
        # With one stream, products with W_w would be those of a matrix and a vector, whose bits
        # depend on the number of members.
        require_between("model.residual.streams", self.streams, low=2, high=16)

    def parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        """Parameters of every sub-layer, and those with which the output is read."""
        output = [spec.within(_OUTPUT) for spec in self._read_parameters(architecture)]
        return [*super().parameters(architecture), *output]

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Gains γ, and matrices W_d, W_u and W_w."""
        write = xavier("write", self.streams * architecture.width, self.streams)
        return [*self._read_parameters(architecture), write]

    def _read_parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        width, rank = self.streams * architecture.width, _rank(architecture)
        return [ones("gain", width), xavier("down", width, rank), xavier("up", rank, width)]

    def flops_per_row(self, architecture: Architecture) -> int:
        """Count the products of reads and writes."""
        write = 2 * self.streams * architecture.width * self.streams
        return architecture.sublayers * (self.flops_per_output_row(architecture) + write)

    def flops_per_output_row(self, architecture: Architecture) -> int:
        """Count the products of one read."""
        return 2 * 2 * self.streams * architecture.width * _rank(architecture)

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start from n copies of the embedding."""
        return (x_PRD,) * self.streams

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Mean of the normalised streams through their gates G."""
        gain_PN, down_PNr, up_PrN = map(context.sublayer_parameter, ("gain", "down", "up"))
        return _gated_mean(streams, gain_PN, down_PNr, up_PrN)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to each stream by its own weight."""
        u_PRN = _normed(streams, context.sublayer_parameter("gain"))
        logits_PRn = torch.bmm(u_PRN, context.sublayer_parameter("write")) / self.streams
        weights_PRn = 2 * sigmoid(logits_PRn)
        return tuple(s_PRD + weights_PRn[..., j : j + 1] * f_PRD for j, s_PRD in enumerate(streams))

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Mean of the normalised streams through the gates of the output."""
        names = (f"{_OUTPUT}.{part}" for part in ("gain", "down", "up"))
        gain_PN, down_PNr, up_PrN = (parameters[name] for name in names)
        return _gated_mean(streams, gain_PN, down_PNr, up_PrN)


def _rank(architecture: Architecture) -> int:
    """Columns of W_d, r; one would make a product of a matrix and a vector."""
    return max(2, architecture.width // 8)


def _gated_mean(streams: Streams, gain_PN: Tensor, down_PNr: Tensor, up_PrN: Tensor) -> Tensor:
    n, u_PRN = len(streams), _normed(streams, gain_PN)
    low_PRr = torch.bmm(u_PRN, down_PNr) / n
    gates_PRN = sigmoid(torch.bmm(low_PRr * sigmoid(low_PRr), up_PrN))
    return total((gates_PRN * u_PRN).chunk(n, -1)) / n


def _normed(streams: Streams, gain_PN: Tensor) -> Tensor:
    """The streams u_j end to end, (P, R, n·D)."""
    unit_PRN = torch.cat([s_PRD * inverse_rms(s_PRD).unsqueeze(-1) for s_PRD in streams], -1)
    return unit_PRN * gain_PN.unsqueeze(1)
