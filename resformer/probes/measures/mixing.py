"""Matrices by which a scheme mixes its streams."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace


@final
class Mixing(Measure):
    """Distance of the mixing matrices from the identity, and the gain of their product.

    M_i mixes the n streams of a token in sub-layer i, x' = M_i·x + …. The distance is the largest
    |M_i - I| of all entries and tokens: 0 of n plain residual streams. The composite gain is that
    of M_i ⋯ M_1, from the embedding to sub-layer i: the largest row sum of absolute values (growth
    of a signal on its way forward) or column sum (of a gradient on its way back), whichever is
    larger, averaged over tokens (Xie et al. 2025, arXiv 2512.24880, section 3.1 and fig. 3, "Amax
    gain magnitude", where the two are apart): 1 of doubly stochastic matrices. Schemes without such
    matrices have neither: NaN.
    """

    columns: ClassVar[Mapping[str, str]] = {
        "mixing_distance": "distance of the mixing matrix from the identity",
        "composite_gain": "composite gain of the mixing matrices",
    }

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Values behind every sub-layer."""
        distance, gain = trace.empty_column(), trace.empty_column()
        product_PRnn: Tensor | None = None
        for sublayer in trace.sublayers:
            M_PRnn = trace.residual.mixing(sublayer.before, sublayer.context)
            if M_PRnn is not None:
                product_PRnn = M_PRnn if product_PRnn is None else M_PRnn @ product_PRnn
                distance[sublayer.context.sublayer] = _distance(M_PRnn)
                gain[sublayer.context.sublayer] = _gain(product_PRnn)
        return {"mixing_distance": distance, "composite_gain": gain}


def _distance(M_PRnn: Tensor) -> Tensor:
    identity_nn = torch.eye(M_PRnn.shape[-1], dtype=M_PRnn.dtype, device=M_PRnn.device)
    return (M_PRnn - identity_nn).abs().flatten(1).amax(1)


def _gain(product_PRnn: Tensor) -> Tensor:
    absolute = product_PRnn.abs()
    forward_PR, backward_PR = absolute.sum(-1).amax(-1), absolute.sum(-2).amax(-1)
    return torch.maximum(forward_PR, backward_PR).mean(1)
