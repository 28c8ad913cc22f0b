"""How widely attention looks."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Observed, Probe


@final
class Entropy(Probe):
    """Entropy of the weights that attention mixes with, in nats, averaged over tokens, heads and
    sequences.

    0 where every token looks at one, ln T where it looks at all T alike; as in Zhai et al. 2023,
    "Stabilizing transformer training by preventing attention entropy collapse", arXiv 2303.06296. A
    causal token t can see t only. Weights that a scheme made negative have none: NaN.
    """

    measures: ClassVar[Mapping[str, str]] = {"attention_entropy": "attention entropy (nats)"}

    def measure(self, observed: Observed) -> dict[str, Tensor]:
        """Behind every attention."""
        found = observed.nowhere()
        for seen in observed.seen:
            if seen.a_PBHTT is not None:
                a = torch.where(seen.a_PBHTT < 0, torch.nan, seen.a_PBHTT)
                found[seen.place.sublayer] = torch.special.entr(a).sum(-1).flatten(1).mean(1)
        return {"attention_entropy": found}
