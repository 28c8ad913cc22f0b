"""One run at a time, as the obvious script does it."""

from typing import final

import torch

from lib.bench.cases import Case
from lib.bench.peers.base import Timed
from lib.bench.peers.one import One, train
from resformer.model.shape import Member


@final
class Script(One):
    """`nn.TransformerEncoder` and `torch.optim.AdamW` with nothing set: torch's default threads and
    optimiser loop.
    """

    def prepare(self, case: Case) -> str:
        """There is nothing to choose."""
        self._case = case
        return f"{torch.get_num_threads()} threads (default)"

    def _train(self, member: Member, steps: int) -> tuple[list[float], Timed]:
        return train(self._case, member, steps, fused=False)
