"""SiameseNorm: a post-norm and a pre-norm stream share every sub-layer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import torch.nn.functional as nnf
from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, ones, zeros
from resformer.residuals.base import Architecture, ManyStreams, Streams, SublayerContext

_OUTPUT = "output.siamese"


@final
@dataclass(frozen=True)
class Siamese(ManyStreams):
    """f = F(N(x + N_y(y))), x' = N_x(x + f/√(2l)), y' = y + f, l the number of the block; the
    output is N(x + N_y(y)).

    Li et al. 2026, "SiameseNorm", arXiv 2602.08064, algorithm 1, with both of its mechanisms, the
    normalised input and the scaling by depth, as the authors' code for DeiT has them. It also
    normalises x at the embedding; here both streams start at the embedding itself. Of the paper
    only the abstract was checked, of the code all. Learned: gain and bias of N_y, a layer norm
    whatever `model.norm_kind` is; without the bias where `model.bias` is false. Initial values:
    those of a norm. With N_y = 0 this is post-norm, and with N_x = 0 pre-norm, up to N. Norm:
    pre_post, N and N_x.
    """

    own_norm: ClassVar[str] = "pre_post"
    norms: ClassVar[tuple[str, ...]] = ("pre_post",)

    def parameters(self, architecture: Architecture) -> list[ParameterSpec]:
        """Gain and bias of N_y of every sub-layer, and of the output."""
        output = [spec.within(_OUTPUT) for spec in _norm_parameters(architecture)]
        return [*super().parameters(architecture), *output]

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Gain and bias of N_y."""
        return _norm_parameters(architecture)

    def has_final_norm(self, norm: str, architecture: Architecture) -> bool:
        """Return True: the output is always normalised."""
        return True

    def expand_streams(self, x_PRD: Tensor) -> Streams:
        """Start x and y from the embedding."""
        return x_PRD, x_PRD

    def read(self, streams: Streams, context: SublayerContext) -> Tensor:
        """Sum of x and the normalised y."""
        owner = f"sublayer{context.sublayer}.{context.scheme}"
        return _read(streams, context.parameters, owner)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Add the branch to both streams, scaled by depth to x."""
        return streams[0] + f_PRD / (2 * context.block) ** 0.5, streams[1] + f_PRD

    def stream_output(self, streams: Streams, parameters: Mapping[str, Tensor]) -> Tensor:
        """Sum of x and the normalised y."""
        return _read(streams, parameters, _OUTPUT)


def _norm_parameters(architecture: Architecture) -> list[ParameterSpec]:
    bias = [zeros("bias", architecture.width)] if architecture.bias else []
    return [ones("gain", architecture.width), *bias]


def _read(streams: Streams, parameters: Mapping[str, Tensor], owner: str) -> Tensor:
    """Sum of x and the normalised y."""
    x_PRD, y_PRD = streams
    normed_PRD = nnf.layer_norm(y_PRD, y_PRD.shape[-1:])
    normed_PRD = normed_PRD * parameters[f"{owner}.gain"].unsqueeze(1)
    bias_PD = parameters.get(f"{owner}.bias")
    return x_PRD + (normed_PRD if bias_PD is None else normed_PRD + bias_PD.unsqueeze(1))
