"""Ctrl-C and its like: the first one asks to stop, so that work can be put away; the second one
stops at once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import final

_SIGNALS = ("SIGINT", "SIGTERM", "SIGUSR1", "SIGUSR2")


@final
class Stopped(KeyboardInterrupt):
    """A signal stopped this process."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.code = 130 if signum == signal.SIGINT else 143
        """The exit code."""


@final
class Stopping:
    """What signals to this process mean: Stopped is raised on the spot, but for the first one
    inside `gently`.
    """

    def __init__(self) -> None:
        self._asked: int | None = None
        self._gently = False

    def asked(self) -> bool:
        """Whether a signal asked to stop."""
        return self._asked is not None

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Until this ends; a signal that was ignored before, as by nohup, stays so."""
        there = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        before = {signum: signal.getsignal(signum) for signum in there}
        ours = [signum for signum in there if before[signum] != signal.SIG_IGN]
        for signum in ours:
            signal.signal(signum, self._take)
        try:
            yield
        finally:
            for signum in ours:
                signal.signal(signum, before[signum])

    @contextmanager
    def gently(self) -> Iterator[None]:
        """While something runs that looks at `asked` and ends itself;
        Stopped is raised after it.
        """
        self._gently = True
        try:
            yield
        finally:
            self._gently = False
        if self._asked is not None:
            raise Stopped(self._asked)

    def _take(self, signum: int, frame: FrameType | None) -> None:
        if not self._gently or self._asked is not None:
            raise Stopped(signum)
        self._asked = signum
