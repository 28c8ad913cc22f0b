"""One run at a time, in the script's loop, tuned as torch's documentation says."""

from typing import final

from lib.bench.peers.base import Timed
from lib.bench.peers.one import One, train
from resformer.model.shape import Member


@final
class Tuned(One):
    """Fused AdamW, threads chosen, denormal numbers flushed."""

    def _train(self, member: Member, steps: int) -> tuple[list[float], Timed]:
        return train(self._case, member, steps, fused=True)
