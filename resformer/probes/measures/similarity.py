"""Similarity of the tokens of a sequence."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch.nn.functional as nnf
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace


@final
class Similarity(Measure):
    """Mean cosine of the angle between two tokens of one sequence: 1 where all point the same way.

    As in Noci et al. 2022, "Signal propagation in transformers", arXiv 2206.03126. A sequence of
    one token has none.
    """

    columns: ClassVar[Mapping[str, str]] = {"similarity": "token similarity (mean cosine)"}

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Value in every layer."""
        column = trace.empty_column()
        for layer in range(len(trace.streams)):
            unit_PBTD = _unit(trace.by_sequence(layer))
            tokens = unit_PBTD.shape[2]
            if tokens > 1:
                # All pairs of different tokens at once: |Σ u|² = Σ |u|² + Σ_{s≠t} u_s·u_t.
                pairs = unit_PBTD.sum(2).square().sum(-1) - unit_PBTD.square().sum((2, 3))
                column[layer] = (pairs / (tokens * (tokens - 1))).mean(1)
        return {"similarity": column}


def _unit(x: Tensor) -> Tensor:
    """Vectors scaled to length 1 along the last axis, however small; NaN for zero vectors."""
    return nnf.normalize(x / x.abs().amax(-1, keepdim=True), dim=-1)
