"""How alike the tokens of a sequence are."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
import torch.nn.functional as nnf
from torch import Tensor

from resformer.probes.measures.base import Observed, Probe


@final
class Similarity(Probe):
    """Mean cosine of the angle between two tokens of one sequence: 1 where all point the same way.

    As in Noci et al. 2022, "Signal propagation in transformers", arXiv 2206.03126. A sequence of
    one token has none.
    """

    measures: ClassVar[Mapping[str, str]] = {"similarity": "token similarity (mean cosine)"}

    def measure(self, observed: Observed) -> dict[str, Tensor]:
        """In every layer."""
        found = []
        for layer in range(len(observed.streams)):
            unit = _unit(observed.by_sequence(layer))
            tokens = unit.shape[2]
            # All pairs of different tokens at once: |Σ u|² = Σ |u|² + Σ_{s≠t} u_s·u_t.
            pairs = unit.sum(2).square().sum(-1) - unit.square().sum((2, 3))
            found.append(
                (pairs / (tokens * (tokens - 1))).mean(1)
                if tokens > 1
                else observed.nowhere()[layer]
            )
        return {"similarity": torch.stack(found)}


def _unit(x: Tensor) -> Tensor:
    """Vectors of length 1 along the last axis, whatever theirs was; NaN for nothing but zeros."""
    return nnf.normalize(x / x.abs().amax(-1, keepdim=True), dim=-1)
