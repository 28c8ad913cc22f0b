"""Size of the stream."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace


@final
class Size(Measure):
    """Root mean square over all entries of the stream: mostly 1.41 at the embedding; a norm makes
    it 1.
    """

    columns: ClassVar[Mapping[str, str]] = {"rms": "size of the stream (RMS)"}

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Value in every layer."""
        rms = [x_PRD.square().mean((1, 2)).sqrt() for x_PRD in trace.streams]
        return {"rms": torch.stack(rms)}
