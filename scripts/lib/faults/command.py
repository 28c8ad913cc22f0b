"""The command `resformer sweep` as a user types it, and the processes that hold its jobs."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import final

import psutil

from lib.faults.processes import die_with_parent
from lib.faults.session import STUDY
from resformer.store import claims
from resformer.store.study import Study

GRID = (
    "task=copy,reverse",
    "task.length=5",
    "task.symbols=8",
    "model.depth=1",
    "model.width=8",
    "model.heads=2",
    "model.residual=true,false",
    "model.norm=post,pre,sandwich",
    "member.seed=0",
    "member.lr=1e-3,1e-2,1e30",
    "train.eval_every=40",
    "train.eval_sequences=16",
    "train.stop_when_solved=false",
    "train.compile=false",
    "train.checkpoint_seconds=0.2",
    "engine.workers=2",
    "engine.stack=3",
)
"""Twelve jobs, each with a name of its own, of which one member diverges."""
LONGEST_SECONDS, LOOK_SECONDS = 120.0, 0.02


@final
@dataclass(kw_only=True)
class Command:
    """A sweep of one study, typed again and again, in a process group of its own each time."""

    folder: Path
    """Folder in which it is typed; its results lie in `results` there."""
    words: Sequence[str]
    log: Path
    """File of all that it prints."""
    before: Sequence[str] = ()
    """Words before the command, which give it other process numbers."""
    process: subprocess.Popen[bytes] = field(init=False)

    @property
    def results(self) -> Path:
        """The folder of results."""
        return self.folder / "results"

    @property
    def study(self) -> Study:
        """The study, named as the scripted session's, whose invariant looks at it."""
        return Study(self.results / STUDY)

    def start(self) -> None:
        """Type the command."""
        command = [*self.before, sys.executable, "-m", "resformer", "sweep", *self.words]
        with self.log.open("ab") as log:
            log.write(b"\n")  # a command that was killed may have left half a line
            log.flush()
            self.process = subprocess.Popen(
                [*command, "--study", STUDY, "--results", str(self.results)],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_as_by_hand,  # noqa: PLW1509  there is one thread
            )

    def text(self) -> str:
        """All that was printed so far."""
        return self.log.read_text(errors="replace")

    def line(self) -> str:
        """The end of what was printed, in one line."""
        return " | ".join(line for line in self.text().splitlines() if line)[-2000:]

    def failure(self) -> list[str]:
        """Complain of an exit code that is not 0, or of none yet."""
        code = self.process.poll()
        ended = "did not end" if code is None else f"exit code {code}"
        return [] if code == 0 else [f"{ended}: {self.line()}"]

    def runs(self, seconds: float, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Wait so long at most; True if the command still runs then."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None and time.monotonic() < deadline:
            meanwhile()
            time.sleep(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))
        return self.process.poll() is None

    def holders(self) -> dict[str, int]:
        """Processes of this command's machine that hold a job and live, by job."""
        holders, namespace = {}, self._namespace()
        for job in self.study.path.glob("jobs/*/*"):
            held = claims.held(job)
            holder = held.holder if held else None
            if holder is not None and holder.namespace == namespace and not holder.gone():
                holders[job.name] = holder.pid
        return holders

    def trains(self, meanwhile: Callable[[], None] = lambda: None) -> bool:
        """Wait until somebody holds a job; False if the command ends before."""
        while not self.holders():
            if not self.runs(LOOK_SECONDS, meanwhile):
                return False
        return True

    def kill(self) -> None:
        """Kill all that the command started, and see every one of them dead."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if not self.gone(LONGEST_SECONDS):
            raise RuntimeError("a process that was killed did not die")

    def gone(self, seconds: float) -> bool:
        """Wait so long at most; True if the last process of the command, whose first one has been
        waited for, has ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            try:
                pid, _ = os.waitpid(-self.process.pid, os.WNOHANG)
            except ChildProcessError:
                return True
            if not pid:
                time.sleep(LOOK_SECONDS)
        return False

    def _namespace(self) -> str:
        """Namespace in which its processes have their numbers; "" as long as there is none."""
        if not self.before:
            return claims.holder().namespace
        try:
            (inside, *_) = psutil.Process(self.process.pid).children()
            return str(Path(f"/proc/{inside.pid}/ns/pid").readlink())
        except (OSError, ValueError, psutil.Error):
            return ""


def _as_by_hand() -> None:
    """Set the signals of a command that a user started; it dies with whoever started it here."""
    die_with_parent()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
