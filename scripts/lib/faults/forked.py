"""Sessions at the cost of a fork: this process has imported everything, a child runs one session.

The child waits until it is let go, so that a tracer can be attached when all imports are done. Its
events come over a socket, by calls that no fault is put into; whoever started it acknowledges, by
hashing the files at once.
"""

import json
import os
import signal
import socket
import traceback
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, final

from lib.faults import session
from lib.faults.invariant import Hashes, acknowledged
from lib.faults.processes import die_with_parent, let_anybody_trace
from lib.faults.session import Heard
from lib.faults.shown import shown
from resformer.store.study import Study
from resformer.workers.events import Event

_SECONDS = 60.0
_LONGEST = 60_000

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


def ask(question: Callable[..., list[str]], *arguments: object) -> list[str]:
    """Answer of a function called in a child of its own; an exception is an answer too."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(_SECONDS))
        _leave_with(lambda: os.write(theirs, json.dumps(_answer(question, *arguments)).encode()))
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb") as pipe:
            text = pipe.read()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    answer: list[str] = json.loads(text) if text else DIED
    return answer


def _answer(question: Callable[..., list[str]], *arguments: object) -> list[str]:
    try:
        return question(*arguments)
    except Exception:
        return [f"the check raised: {' '.join(traceback.format_exc().split())}"]


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

    def whole() -> None:
        pipe.recv(_LONGEST)
        try:
            summary = session.run(results, tell)
        except Exception as error:
            meant = type(error).__module__ == "resformer.errors" and "\n" not in str(error)
            send("clean" if meant else "unclean", shown(error)[: _LONGEST // 4])
        else:
            send("done", " | ".join(summary.failed)[: _LONGEST // 4])

    _leave_with(whole)


def _leave_with(last: Callable[[], object]) -> None:
    """Do this and end the process, whatever happens; none of the parent's exit handlers run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        last()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
