"""Sessions at the cost of a fork: this process has imported everything, a child runs one session.

The child waits until it is let go, so that a tracer can be attached when all imports are done. Its
events come over a socket, by calls that no fault is put into; whoever started it acknowledges, by
hashing the files at once.
"""

import json
import multiprocessing
import os
import signal
import socket
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal, TypeVar, final

from lib.faults import session
from lib.faults.invariant import Hashes, acknowledged
from lib.faults.processes import die_with_parent, let_anybody_trace
from lib.faults.session import Heard
from lib.faults.shown import shown
from resformer.store.study import Study
from resformer.workers.events import Event

T = TypeVar("T")

_SECONDS = 60.0
_LONGEST = 60_000
_FORK = multiprocessing.get_context("fork")

Tracer = Callable[[int], AbstractContextManager[object]]
"""Traces the process of that number while it is entered."""
DIED = ["the check died"]
"""Answer of a child that left without one."""


@final
@dataclass(frozen=True)
class End:
    """End of a session: at its end, by one clean line, by another exception, killed, or hung."""

    kind: Literal["done", "clean", "unclean", "killed", "hung"]
    text: str
    """The line, or what was raised where; of one that is done, why jobs failed."""
    acknowledged: tuple[tuple[str, Hashes], ...]

    @property
    def orderly(self) -> bool:
        """True if a user would see an end that was meant."""
        return self.kind in ("done", "clean")

    @property
    def finished(self) -> bool:
        """True if all was done and no job failed."""
        return self.kind == "done" and not self.text

    def __str__(self) -> str:
        """In a few words, so that ends can be counted."""
        if self.kind == "clean":
            return f"clean, {self.text.partition(':')[0]}"
        return "done with failed jobs" if self.kind == "done" and self.text else self.kind


def run(results: Path, tracer: Tracer = nullcontext, heard: Heard = lambda event: None) -> End:
    """Run one session; `heard` is called at its every event, while the session waits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        child = os.fork()
        if child == 0:
            ours.close()
            _session(results, theirs)
        theirs.close()
        try:
            with tracer(child):
                end = _attend(ours, Study(results / session.STUDY), heard)
                if end.kind == "hung":
                    os.kill(child, signal.SIGKILL)
        finally:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    if end.kind == "killed" and not os.WIFSIGNALED(status):
        code = os.waitstatus_to_exitcode(status)
        return replace(end, kind="unclean", text=f"left without a word, exit code {code}")
    return end


@contextmanager
def child(work: Callable[..., None], *arguments: object) -> Iterator[Connection]:
    """Call a function, with a pipe to here before its arguments, in a process that ends with the
    block.
    """
    ours, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_child, args=(work, theirs, *arguments))
    process.start()
    theirs.close()
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def _child(work: Callable[..., None], *arguments: object) -> None:
    die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    work(*arguments)


def received(pipe: Connection, otherwise: T) -> T:
    """What a child sent; `otherwise` if it left without a word, or is silent for too long."""
    with suppress(EOFError):
        if pipe.poll(_SECONDS):
            message: T = pipe.recv()
            return message
    return otherwise


def ask(question: Callable[..., list[str]], *arguments: object) -> list[str]:
    """Answer of a function called in a child of its own; an exception is an answer too."""
    with child(_answer, question, *arguments) as pipe:
        return received(pipe, DIED)


def _answer(pipe: Connection, question: Callable[..., list[str]], *arguments: object) -> None:
    try:
        pipe.send(question(*arguments))
    except Exception:
        pipe.send([f"the check raised: {' '.join(traceback.format_exc().split())}"])


def _attend(pipe: socket.socket, study: Study, heard: Heard) -> End:
    """Let the session go, answer its every message, and return how it ended."""
    jobs: list[tuple[str, Hashes]] = []
    pipe.settimeout(_SECONDS)
    try:
        pipe.send(b"go")
        while message := pipe.recv(_LONGEST):
            kind, text, job = json.loads(message)
            if kind != "event":
                return End(kind, text, tuple(jobs))
            if text == "finished":
                jobs.append(acknowledged(study, job))
            heard(Event(text, 0, job))
            pipe.send(b"heard")
    except TimeoutError:
        return End("hung", f"silent for {_SECONDS:.0f} s", tuple(jobs))
    except (BrokenPipeError, ConnectionResetError):
        pass
    return End("killed", "", tuple(jobs))


def _session(results: Path, pipe: socket.socket) -> None:
    """Be the child: wait, run, send how it ended, leave without looking back."""
    die_with_parent()
    let_anybody_trace()

    def send(kind: str, text: str, job: str = "") -> None:
        pipe.send(json.dumps([kind, text, job]).encode()[:_LONGEST])

    def tell(event: Event) -> None:
        send("event", event.kind, event.job)
        pipe.recv(_LONGEST)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        pipe.recv(_LONGEST)
        try:
            summary = session.run(results, tell)
        except Exception as error:
            meant = type(error).__module__ == "resformer.errors" and "\n" not in str(error)
            send("clean" if meant else "unclean", shown(error)[: _LONGEST // 4])
        else:
            send("done", " | ".join(summary.failed)[: _LONGEST // 4])
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)  # none of the parent's exit handlers run
