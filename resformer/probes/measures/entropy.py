"""Entropy of the attention pattern."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace


@final
class Entropy(Measure):
    """Entropy of the attention pattern, in nats, averaged over tokens, heads and sequences.

    0 where every token attends to one, ln T where it attends to all T alike; as in Zhai et al.
    2023, "Stabilizing transformer training by preventing attention entropy collapse", arXiv
    2303.06296. A causal token t can attend to t tokens only. Patterns that a scheme made negative
    have none: NaN.
    """

    columns: ClassVar[Mapping[str, str]] = {"attention_entropy": "attention entropy (nats)"}

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Value behind every attention."""
        column = trace.empty_column()
        for sublayer in trace.sublayers:
            if sublayer.a_PBHTT is not None:
                a_PBHTT = torch.where(sublayer.a_PBHTT < 0, torch.nan, sublayer.a_PBHTT)
                entropy_PBHT = torch.special.entr(a_PBHTT).sum(-1)
                column[sublayer.context.sublayer] = entropy_PBHT.flatten(1).mean(1)
        return {"attention_entropy": column}
