"""Requests to stop work, and the signals that make them."""

import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import final

_NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
SIGNALS = tuple(getattr(signal, name) for name in _NAMES if hasattr(signal, name))
"""Signals that ask a process to stop."""
_POLL_SECONDS = 0.05


def heeded() -> list[signal.Signals]:
    """Those of `SIGNALS` that this process does not ignore; under nohup it ignores SIGHUP, and what
    it starts inherits that.
    """
    return [signum for signum in SIGNALS if signal.getsignal(signum) != signal.SIG_IGN]


@final
@dataclass(frozen=True)
class Stop:
    """A request to stop, which may come while work runs."""

    requested: Callable[[], bool]

    def wait(self, seconds: float) -> bool:
        """Sleep until a stop is requested, for so many seconds at most; returns whether it is."""
        deadline = time.monotonic() + seconds
        while not (requested := self.requested()) and time.monotonic() < deadline:
            time.sleep(min(_POLL_SECONDS, seconds))
        return requested


@final
class Stopped(BaseException):
    """A signal stopped this process. No KeyboardInterrupt, for which Typer exits without a word."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.code = {signal.SIGINT: 130, signal.SIGHUP: 129}.get(signal.Signals(signum), 143)
        """The exit code."""


@final
class Interrupts:
    """Signal handling of a command: raise `Stopped` immediately, except that the first signal
    inside `deferred` only requests a stop, and the first during an import waits for its end.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._deferred = False
        self._waiting = False
        """True once a signal came while an import was under way."""
        self._again: threading.Timer | None = None
        """Delivers that signal again."""
        self._delivered = False
        """True if the next signal is that one."""
        self.stop = Stop(lambda: self._signal is not None)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals until the context ends; one that was ignored before stays ignored."""
        with _handlers(heeded(), self._handle):
            try:
                yield
            finally:
                self._cancel()

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Let work that polls `stop` end by itself at the first signal, then raise Stopped."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self._signal is not None:
            raise Stopped(self._signal)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        again, self._delivered = self._delivered, False
        if self._deferred and self._signal is None:
            self._signal = signum
        elif _is_importing(frame) and (again or not self._waiting):
            # An import swallows exceptions, or leaves a module half made; a plugin's may never end.
            self._waiting = True
            self._cancel()
            self._again = threading.Timer(_POLL_SECONDS, self._deliver, [signum])
            self._again.daemon = True
            self._again.start()
        else:
            self._cancel()
            raise Stopped(signum)

    def _deliver(self, signum: int) -> None:
        self._delivered = True
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, signum)  # a signal to this thread would end no wait of that one

    def _cancel(self) -> None:
        if self._again is not None:
            self._again.cancel()


def _is_importing(frame: FrameType | None) -> bool:
    """True if an import is under way where a signal came."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Names of the signals that came, in their order; until the context ends they do nothing else.

    One that is ignored stays ignored, but for SIGINT: clusters cancel by it, and what a shell
    starts in the background, as it may have started a cluster, ignores it.
    """
    names: list[str] = []
    with _handlers(
        {*heeded(), signal.SIGINT}, lambda signum, frame: names.append(signal.Signals(signum).name)
    ):
        yield names


@contextmanager
def _handlers(
    signums: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    before = {signum: signal.signal(signum, handler) for signum in signums}
    try:
        yield
    finally:
        for signum, earlier in before.items():
            signal.signal(signum, earlier)
