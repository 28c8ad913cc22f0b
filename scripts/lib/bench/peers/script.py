"""One run at a time, as the obvious script does it."""

from typing import final

import numpy as np
import torch

from lib.bench.cases import Case
from lib.bench.peers.base import Losses, Peer, Timed
from lib.bench.training import train


@final
class Script(Peer):
    """`nn.TransformerEncoder` and `torch.optim.AdamW` with nothing set: torch's default threads and
    optimiser loop.
    """

    def prepare(self, case: Case) -> str:
        """There is nothing to choose."""
        self._case = case
        return f"{torch.get_num_threads()} threads (default)"

    def losses(self, steps: int) -> Losses:
        """Losses of the first two members, one after the other."""
        return np.array(
            [train(self._case, member, steps, fused=False)[0] for member in self._case.members(2)]
        )

    def run(self, steps: int) -> list[Timed]:
        """The first member."""
        return [train(self._case, self._case.members(1)[0], steps, fused=False)[1]]
