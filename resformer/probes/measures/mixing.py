"""Matrices by which a scheme mixes its streams."""

import itertools
from collections.abc import Iterable, Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace


@final
class Mixing(Measure):
    """Distance of the mixing matrices from the identity, and the gains of their products.

    M_i mixes the n streams of a token in sub-layer i, x' = M_i·x + …. The distance is the largest
    |M_i - I| of all entries and tokens: 0 of n plain residual streams. The composite gains are the
    "Amax gain magnitude" of Xie et al. 2025, arXiv 2512.24880, section 3.1 and fig. 3 (b): forward
    the largest row sum of absolute values of M_i ⋯ M_1, by which a signal can grow on its way from
    the embedding, backward the largest column sum of M_S ⋯ M_i, by which a gradient can grow on its
    way from the output; both averaged over tokens, and 1 of doubly stochastic matrices. Schemes
    without such matrices have none of them: NaN.
    """

    columns: ClassVar[Mapping[str, str]] = {
        "mixing_distance": "distance of the mixing matrix from the identity",
        "composite_gain_forward": "gain of the mixing matrices from the embedding on",
        "composite_gain_backward": "gain of the mixing matrices from the output back",
    }

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Values behind every sub-layer."""
        matrices = []
        for sublayer in trace.sublayers:
            M_PRnn = trace.residual.mixing(sublayer.before, sublayer.context)
            if M_PRnn is not None:
                matrices.append(M_PRnn)
        columns = {name: trace.empty_column() for name in self.columns}
        if matrices:
            columns["mixing_distance"][1:] = _by_layer(map(_distance, matrices))
            columns["composite_gain_forward"][1:] = _by_layer(
                product_PRnn.abs().sum(-1).amax(-1).mean(1)
                for product_PRnn in itertools.accumulate(matrices, lambda done, M: M @ done)
            )
            backward = itertools.accumulate(reversed(matrices), torch.matmul)
            columns["composite_gain_backward"][1:] = _by_layer(
                product_PRnn.abs().sum(-2).amax(-1).mean(1) for product_PRnn in backward
            ).flip(0)
        return columns


def _by_layer(values: Iterable[Tensor]) -> Tensor:
    """Values behind every sub-layer, (S, P)."""
    return torch.stack(list(values))


def _distance(M_PRnn: Tensor) -> Tensor:
    identity_nn = torch.eye(M_PRnn.shape[-1], dtype=M_PRnn.dtype, device=M_PRnn.device)
    return (M_PRnn - identity_nn).abs().flatten(1).amax(1)
