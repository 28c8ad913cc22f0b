"""Runs side by side, a process each."""

import os
import weakref
from typing import final

import joblib
import numpy as np
import torch
from joblib.externals.loky import get_reusable_executor

from lib.bench.cases import Case
from lib.bench.peers.base import Losses, Peer, Timed
from lib.bench.peers.one import train
from resformer.model.shape import Member


@final
class Joblib(Peer):
    """joblib's loky workers, one per core and with one thread each, do the tuned loop; they stay
    between calls.
    """

    def prepare(self, case: Case) -> str:
        """Start the workers and have them import what they need."""
        self._case, self._workers = case, os.cpu_count() or 1
        # Its threads wait five minutes for more work before this process could end.
        weakref.finalize(self, _dismiss)
        self.run(2)
        return f"{self._workers} processes × 1 thread, fused AdamW"

    def losses(self, steps: int) -> Losses:
        """Losses of as many members as there are workers."""
        return np.array([losses for losses, _ in self._train(steps)])

    def run(self, steps: int) -> list[Timed]:
        """A member per worker."""
        return [timed for _, timed in self._train(steps)]

    def _train(self, steps: int) -> list[tuple[list[float], Timed]]:
        with joblib.parallel_config("loky", n_jobs=self._workers, inner_max_num_threads=1):
            tasks = (
                joblib.delayed(_work)(self._case, m, steps)
                for m in self._case.members(self._workers)
            )
            return joblib.Parallel(max_nbytes=None)(tasks)


def _work(case: Case, member: Member, steps: int) -> tuple[list[float], Timed]:
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    return train(case, member, steps, fused=True)


def _dismiss() -> None:
    get_reusable_executor().shutdown()
