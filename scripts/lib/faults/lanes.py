"""Trials, two at a time, each in a folder of its own; nothing is left behind, also when it is
interrupted.
"""

import ctypes
import multiprocessing
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from lib.faults.outcome import Verdict

T = TypeVar("T")

_LANES = 2
_SET_DEATH_SIGNAL = 1


def judged(
    trials: Sequence[T],
    judge: Callable[[T, Path], Verdict],
    scratch: Path,
    prepare: Callable[[], None] = lambda: None,
) -> list[Verdict]:
    """The verdict on each trial, in order; `judge` gets an empty folder with every one, after
    `prepare` in each lane.

    The lanes are forked from this process, which has imported everything, and die with it.
    """
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(_LANES, context, _begin, (prepare,))
    try:
        return list(pool.map(_judged, [(trial, judge, scratch) for trial in trials]))
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def workshop(inside: Path | None) -> Iterator[Path]:
    """An empty folder for a campaign, gone afterwards, also if this process is told to end."""
    before = signal.signal(signal.SIGTERM, _interrupted)
    try:
        with tempfile.TemporaryDirectory(
            dir=inside, prefix="campaign-", ignore_cleanup_errors=True
        ) as path:
            yield Path(path).resolve()
    finally:
        signal.signal(signal.SIGTERM, before)


def _begin(prepare: Callable[[], None]) -> None:
    ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    # Whoever started the campaign is told to stop; a lane ends its trial, and gets no other.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    prepare()


def _judged(given: tuple[T, Callable[[T, Path], Verdict], Path]) -> Verdict:
    trial, judge, scratch = given
    with tempfile.TemporaryDirectory(dir=scratch, prefix="trial-") as own:
        return judge(trial, Path(own))


def _interrupted(number: int, frame: object) -> None:
    raise KeyboardInterrupt
