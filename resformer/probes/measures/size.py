"""How large the stream is."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Observed, Probe


@final
class Size(Probe):
    """Root mean square over all entries of the stream: mostly 1.41 at the embedding; a norm makes
    it 1.
    """

    measures: ClassVar[Mapping[str, str]] = {"rms": "size of the stream (RMS)"}

    def measure(self, observed: Observed) -> dict[str, Tensor]:
        """In every layer."""
        return {
            "rms": torch.stack([x_PRD.square().mean((1, 2)).sqrt() for x_PRD in observed.streams])
        }
