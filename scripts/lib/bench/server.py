"""An object in a fresh process of its own, so that neither threads nor settings leak from one to
the other.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, final

_CONTEXT = multiprocessing.get_context("spawn")


@final
class Server:
    """The near side: methods are called by name; the process leaves when the pipe closes, and
    sleeps between calls.
    """

    def __init__(self, make: Callable[..., object], *given: object, daemon: bool = False) -> None:
        self._pipe, theirs = _CONTEXT.Pipe()
        self._process = _CONTEXT.Process(target=_serve, args=(theirs, make, given), daemon=daemon)
        self._process.start()
        theirs.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._pipe.close()
        self._process.join()

    def send(self, method: str, *given: object) -> None:
        """Call a method and do not wait."""
        self._pipe.send((method, given))

    def receive(self) -> Any:
        """Result of the method; EOFError if it raised, the trace is on the process's stderr."""
        return self._pipe.recv()

    def ask(self, method: str, *given: object) -> Any:
        """Call a method and wait for what it returns."""
        self.send(method, *given)
        return self.receive()


def ask_all(servers: list[Server], method: str, *given: object) -> list[Any]:
    """Call a method of all at the same time; what each returned."""
    for server in servers:
        server.send(method, *given)
    return [server.receive() for server in servers]


def _serve(pipe: Connection, make: Callable[..., object], given: tuple[object, ...]) -> None:
    hosted = make(*given)
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        pipe.send(getattr(hosted, method)(*arguments))
