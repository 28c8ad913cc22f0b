"""Requests to stop work, and the signals that make them."""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import final

_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2")
_POLL_SECONDS = 0.05


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
class Stopped(KeyboardInterrupt):
    """A signal stopped this process."""

    def __init__(self, signum: int) -> None:
        super().__init__()
        self.code = {signal.SIGINT: 130, signal.SIGHUP: 129}.get(signal.Signals(signum), 143)
        """The exit code."""


@final
class Interrupts:
    """Signal handling of a command: raise `Stopped` immediately, or once no import is under way,
    except that the first signal inside `deferred` only requests a stop.
    """

    def __init__(self) -> None:
        self._signal: int | None = None
        self._deferred = False
        self._again = threading.Timer(_POLL_SECONDS, signal.raise_signal)
        """Delivers a signal again that came while an import was under way."""
        self.stop = Stop(lambda: self._signal is not None)

    @contextmanager
    def handled(self) -> Iterator[None]:
        """Handle signals until the context ends; one that was ignored before, as by nohup, stays
        ignored.
        """
        available = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
        signums = [each for each in available if signal.getsignal(each) != signal.SIG_IGN]
        with _handlers(signums, self._handle):
            try:
                yield
            finally:
                self._again.cancel()

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
        if self._deferred and self._signal is None:
            self._signal = signum
        elif _is_importing(frame):
            # An import swallows exceptions, or leaves a module half made.
            self._again.cancel()
            self._again = threading.Timer(_POLL_SECONDS, signal.raise_signal, [signum])
            self._again.daemon = True
            self._again.start()
        else:
            raise Stopped(signum)


def _is_importing(frame: FrameType | None) -> bool:
    """True if an import is under way where a signal came."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


@contextmanager
def recorded() -> Iterator[list[str]]:
    """Names of the signals that came, in their order; until the context ends they do nothing
    else.
    """
    names: list[str] = []
    signums = [getattr(signal, name) for name in _SIGNALS]
    with _handlers(signums, lambda signum, frame: names.append(signal.Signals(signum).name)):
        yield names


@contextmanager
def _handlers(
    signums: Sequence[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    before = {signum: signal.signal(signum, handler) for signum in signums}
    try:
        yield
    finally:
        for signum, earlier in before.items():
            signal.signal(signum, earlier)
