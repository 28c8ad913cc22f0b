"""Sessions at the cost of a fork: this process has imported everything, and a child of it runs one
session.

The child waits until it is let go, so that a tracer can be attached when all imports are done. What
it tells is told over a socket, by calls that no fault is put into; whoever started it acknowledges,
by hashing the files at once.
"""

import ctypes
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
from lib.faults.invariant import Hashes, hashes
from lib.faults.shown import shown
from resformer.store.study import Study
from resformer.workers.events import Event

_SECONDS = 60.0
_LONGEST = 60_000
_SET_DEATH_SIGNAL, _SET_TRACER, _ANYBODY = 1, 0x59616D61, ctypes.c_ulong(-1)
_C = ctypes.CDLL(None, use_errno=True)

Tracer = Callable[[int], AbstractContextManager[object]]
"""Traces the process of that number while it is entered."""


@final
@dataclass(frozen=True)
class End:
    """How a session ended: it came to its end, said in one line why not, raised something else, was
    killed, or hung.
    """

    kind: Literal["done", "clean", "unclean", "killed", "hung"]
    text: str
    """The line, or what was raised where; of one that is done, why jobs failed."""
    acknowledged: tuple[tuple[str, Hashes], ...]

    @property
    def orderly(self) -> bool:
        """Whether a user would see an end that was meant."""
        return self.kind in ("done", "clean")


def run(
    results: Path, tracer: Tracer | None = None, heard: Callable[[Event], None] = lambda event: None
) -> End:
    """Run one session; `heard` is called at its every event, while the session waits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        child = os.fork()
        if child == 0:
            ours.close()
            _session(results, theirs)
        theirs.close()
        try:
            with (tracer or _untraced)(child):
                end = _attend(ours, Study(results / session.STUDY), heard)
                if end.kind == "hung":
                    os.kill(child, signal.SIGKILL)
        finally:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
    if end.kind == "killed" and not os.WIFSIGNALED(status):
        return replace(
            end,
            kind="unclean",
            text=f"left without a word, exit code {os.waitstatus_to_exitcode(status)}",
        )
    return end


def ask(question: Callable[..., list[str]], *given: object) -> list[str]:
    """What a function answers in a child of its own; what it raised is an answer too."""
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(int(_SECONDS))
        _leave_with(lambda: os.write(theirs, json.dumps(_answer(question, *given)).encode()))
    os.close(theirs)
    try:
        with os.fdopen(ours, "rb") as pipe:
            said = pipe.read()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    answer: list[str] = json.loads(said) if said else ["the check died"]
    return answer


def _answer(question: Callable[..., list[str]], *given: object) -> list[str]:
    try:
        return question(*given)
    except Exception:
        return [f"the check raised: {' '.join(traceback.format_exc().split())}"]


def _untraced(child: int) -> AbstractContextManager[object]:
    return nullcontext()


def _attend(pipe: socket.socket, study: Study, heard: Callable[[Event], None]) -> End:
    """Let the session go, answer all it tells, and say how it ended."""
    acknowledged: list[tuple[str, Hashes]] = []
    pipe.settimeout(_SECONDS)
    try:
        pipe.send(b"go")
        while said := pipe.recv(_LONGEST):
            kind, text, job = json.loads(said)
            if kind != "event":
                return End(kind, text, tuple(acknowledged))
            if text == "finished":
                acknowledged.append((job, _hashes(study.job(job))))
            heard(Event(text, 0, job))
            pipe.send(b"heard")
    except TimeoutError:
        return End("hung", f"silent for {_SECONDS:.0f} s", tuple(acknowledged))
    except (BrokenPipeError, ConnectionResetError):
        pass
    return End("killed", "", tuple(acknowledged))


def _hashes(job: Path) -> Hashes:
    """What is acknowledged; of a result that cannot be read nothing, which no later look will agree
    with.
    """
    try:
        return hashes(job)
    except (OSError, ValueError, KeyError):
        return {}


def _session(results: Path, pipe: socket.socket) -> None:
    """The child: wait, run, tell how it ended, leave without looking back."""
    _C.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL)
    _C.prctl(_SET_TRACER, _ANYBODY)

    def say(kind: str, text: str, job: str = "") -> None:
        pipe.send(json.dumps([kind, text, job]).encode()[:_LONGEST])

    def tell(event: Event) -> None:
        say("event", event.kind, event.job)
        pipe.recv(_LONGEST)

    def whole() -> None:
        pipe.recv(_LONGEST)
        try:
            found = session.run(results, tell)
        except Exception as error:
            meant = type(error).__module__ == "resformer.errors" and "\n" not in str(error)
            say("clean" if meant else "unclean", shown(error)[: _LONGEST // 4])
        else:
            say("done", " | ".join(found.failed)[: _LONGEST // 4])

    _leave_with(whole)


def _leave_with(last: Callable[[], object]) -> None:
    """Do this and end the process, whatever happens; none of the parent's own endings are run."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        last()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
