"""One run at a time, tuned as the documentation says."""

from typing import final

import numpy as np
import torch

from lib.bench.cases import Case
from lib.bench.peers.base import Losses, Peer, Timed, fastest
from lib.bench.training import train

_TRIAL_STEPS = 30


@final
class Tuned(Peer):
    """The script's loop with AdamW fused, denormal numbers flushed, and one thread or all,
    whichever is faster.
    """

    def prepare(self, case: Case) -> str:
        """Choose the number of threads."""
        self._case = case
        torch.set_flush_denormal(True)
        threads = fastest({1, torch.get_num_threads()}, self._trial)
        torch.set_num_threads(threads)
        return f"{threads} thread{'s' if threads > 1 else ''}, fused AdamW"

    def losses(self, steps: int) -> Losses:
        """Losses of the first two members, one after the other."""
        return np.array(
            [train(self._case, member, steps, fused=True)[0] for member in self._case.members(2)]
        )

    def run(self, steps: int) -> list[Timed]:
        """The first member."""
        return [train(self._case, self._case.members(1)[0], steps, fused=True)[1]]

    def _trial(self, threads: int) -> list[Timed]:
        torch.set_num_threads(threads)
        return self.run(_TRIAL_STEPS)
