"""Size of the gradient of each parameter group."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace

_ATTENTION, _FFN = ("query", "key", "value", "output"), ("ffn_in", "ffn_gate", "ffn_out")
_WORDS = {"ffn_in": "FFN in", "ffn_gate": "FFN gate", "ffn_out": "FFN out"}


@final
class Gradient(Measure):
    """Euclidean norm of the loss' gradient by each matrix of a sub-layer, before any clipping; of a
    looped block it is that of all passes.

    As in Xiong et al. 2020, arXiv 2002.04745, fig. 3. Attention has query, key, value and output,
    an FFN its two or, with a gate, three.
    """

    columns: ClassVar[Mapping[str, str]] = {
        f"gradient_{group}": f"gradient of the {_WORDS.get(group, group)} matrix (norm)"
        for group in (*_ATTENTION, *_FFN)
    }

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Value behind the sub-layers that have such a matrix."""
        columns = {name: trace.empty_column() for name in self.columns}
        for sublayer in trace.sublayers:
            context = sublayer.context
            for group in _ATTENTION if context.is_attention else _FFN:
                gradient = trace.gradients.get(f"block{context.weights_block}.{group}.matrix")
                if gradient is not None:
                    norm_P = torch.linalg.vector_norm(gradient, dim=(1, 2))
                    columns[f"gradient_{group}"][context.sublayer] = norm_P
        return columns
