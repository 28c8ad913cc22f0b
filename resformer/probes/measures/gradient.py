"""How large the gradient is that reaches each group of weights."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Observed, Probe

_ATTENTION, _FFN = ("query", "key", "value", "output"), ("ffn_in", "ffn_out")
_WORDS = {"ffn_in": "FFN in", "ffn_out": "FFN out"}


@final
class Gradient(Probe):
    """Euclidean norm of the loss' gradient by each matrix of a sub-layer, before any clipping.

    As in Xiong et al. 2020, arXiv 2002.04745, fig. 3. Attention has query, key, value and output,
    an FFN its two.
    """

    measures: ClassVar[Mapping[str, str]] = {
        f"gradient_{group}": f"gradient of the {_WORDS.get(group, group)} matrix (norm)"
        for group in (*_ATTENTION, *_FFN)
    }

    def measure(self, observed: Observed) -> dict[str, Tensor]:
        """In the sub-layers that have such a matrix."""
        found = {name: observed.nowhere() for name in self.measures}
        for seen in observed.seen:
            for group in _ATTENTION if seen.place.attends else _FFN:
                gradient = observed.gradients[f"block{seen.place.block}.{group}.matrix"]
                found[f"gradient_{group}"][seen.place.sublayer] = torch.linalg.vector_norm(
                    gradient, dim=(1, 2)
                )
        return found
