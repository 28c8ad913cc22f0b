"""Workers as jobs of a Slurm cluster."""

import contextlib
import math
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from resformer.engines.base import Engine
from resformer.errors import Stuck, UserError, require
from resformer.store.done import Done
from resformer.store.study import Study
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import Listener
from resformer.workers.events import Event
from resformer.workers.pilot import fly, orders

_POLL_SECONDS, _GRACE_SECONDS = 1.0, 30.0
_WARNED_SECONDS = 90
"""A pilot is told so long before its time is over."""
_STAYS_SECONDS = 600.0
"""Longer than Slurm waits before it kills."""
_MOST_REQUEUES = 10_000


@final
@dataclass(frozen=True)
class Slurm(Engine):
    """Pilot jobs on a Slurm cluster (Yoo, Jette & Grondona 2003), by submitit, as one array.

    Each takes jobs from the study's folder, which every node has to see under the same path, until
    none is left or its time is nearly over. A pilot that is preempted, or whose time is over, puts
    its training away and is queued again. What is finished is read from the folder: no accounting
    database is asked.
    """

    elsewhere: ClassVar[bool] = True
    partition: str | None
    minutes: int
    """A pilot's time limit."""
    gpus: int
    """Of a pilot."""
    account: str | None
    setup: str | None
    """A line of shell before a pilot starts."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            2 <= self.minutes <= 525_600, "engine.minutes", self.minutes, "must be from 2 to 525600"
        )
        require(
            0 <= self.gpus <= 1,
            "engine.gpus",
            self.gpus,
            "must be 0 or 1: a worker computes on one",
        )
        for name in ("partition", "account", "setup"):
            value = getattr(self, name)
            require(
                value is None or (value and value.isprintable()),
                f"engine.{name}",
                value,
                "must be one line, or null",
            )

    def count(self, jobs: Sequence[str], device: str) -> int:
        """As many as were asked for; never more than jobs. UserError if the cluster would not take
        them.
        """
        if self.workers is None:
            raise UserError("engine.workers=null: with engine=slurm, say how many pilots to submit")
        if device == "cuda" and not self.gpus:
            raise UserError(
                "engine.gpus=0: with device=cuda, say how many GPUs a pilot gets; 1 would work"
            )
        workers = min(self.workers, len(jobs))
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "script"
            script.write_text(self.script(Path(folder) / "study", workers))
            asked = _asked("sbatch", "--test-only", str(script))
        if asked.returncode:
            raise UserError(
                f"engine=slurm: the cluster would not take it: {_one_line(asked.stderr)}"
            )
        return workers

    def run(
        self,
        assignment: Assignment,
        workers: int,
        tell: Callable[[Event], None],
        stop: Callable[[], bool],
    ) -> None:
        """Run the jobs by so many pilots; on the way out none is left behind.

        One that ended before its time is replaced, but not one that never began a job. Stuck also
        where the cluster takes none, and where one says that it cannot go on.
        """
        study = Study(assignment.study)
        listener, done, left = (
            Listener(study, assignment.launch),
            Done(study.path),
            set(assignment.jobs),
        )
        fleet = _Fleet(self._executor(study.path), orders(assignment, workers))
        flew = set(range(workers))

        def heard(event: Event) -> None:
            if event.kind == "started":
                fleet.began.add(event.worker)
            tell(event)

        try:
            fleet.submit(sorted(flew))
            while left and not stop() and not listener.stuck:
                time.sleep(_POLL_SECONDS)
                flying = fleet.flying()
                listener.hear(heard)
                left -= done.news().keys()
                if (
                    flying != flew
                ):  # lists may leave out what is finished, and it takes long to look for that
                    left -= study.finished(left)
                    left -= study.failures(left & study.begun()).keys()
                    flew = flying
                fleet.replace(flying, min(workers, len(left)))
                if not flying and not fleet.flying():
                    break
        finally:
            fleet.call_down()
            listener.hear_the_rest(tell)
        if trouble := listener.stuck or (
            "" if stop() or not left else fleet.trouble(_logs(study.path))
        ):
            raise Stuck(trouble)

    def left_to(self, study: Path) -> str:
        """How they are seen."""
        return f"Slurm: squeue --name={_name(study)}"

    def leave(self, assignment: Assignment, workers: int) -> str:
        """Have the cluster run the jobs without this process; returns a command that ends it."""
        _Fleet(self._executor(assignment.study), orders(assignment, workers)).submit(range(workers))
        return f"scancel --name={_name(assignment.study)}"

    def script(self, study: Path, workers: int) -> str:
        """What would be submitted; UserError where nothing can be."""
        executor = self._executor(study)
        if workers > 1:
            executor.parameters["map_count"] = workers
        text: str = executor._make_submission_file_text(executor._submitit_command_str, "dry-run")
        return text

    def _executor(self, study: Path) -> Any:
        try:
            import submitit
        except ModuleNotFoundError as missing:
            raise UserError(
                "engine=slurm: submitit is not installed; pip install 'resformer[slurm]'"
            ) from missing
        if shutil.which("srun") is None:
            raise UserError("engine=slurm: there is no srun here; run it where jobs are submitted")
        executor = submitit.SlurmExecutor(_logs(study), max_num_timeout=_MOST_REQUEUES)
        given = {
            "partition": self.partition,
            "account": self.account,
            "setup": None if self.setup is None else [self.setup],
            "gpus_per_node": self.gpus or None,
            "mem": None if self.memory_gib is None else f"{math.ceil(1024 * self.memory_gib)}M",
            "array_parallelism": self.workers,
        }
        executor.update_parameters(
            job_name=_name(study),
            time=self.minutes,
            cpus_per_task=1,
            signal_delay_s=min(_WARNED_SECONDS, 30 * self.minutes),
            **{name: value for name, value in given.items() if value is not None},
        )
        return executor


@final
class Pilot:
    """What submitit runs in a job."""

    def __call__(self, words: str) -> str:
        """Fly. Told that its time is nearly over, or that it is preempted, it is queued again, by
        submitit.

        After a SIGTERM alone it stays until it is killed: a job that ends by itself would not be
        queued again by Slurm, and one that was cancelled must not be. Raises Stuck, whose line
        stands last in its log, if it cannot go on.
        """
        queued_again = signal.getsignal(signal.SIGUSR2)
        said = fly(words)
        if said == "SIGTERM":
            time.sleep(_STAYS_SECONDS)
        if said in ("SIGUSR1", "SIGUSR2") and callable(queued_again):
            queued_again(signal.SIGUSR2, None)
        if said and not said.startswith("SIG"):
            raise Stuck(said)
        return said

    def checkpoint(self, words: str) -> Any:
        """What is queued again: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, words)


@final
@dataclass
class _Fleet:
    """The pilots of a launch, in one or more arrays."""

    executor: Any
    orders: Sequence[str]
    """What each is told, by its number; a replacement is told the same."""
    tasks: dict[str, int] = field(default_factory=dict)
    """Numbers of all that were submitted, by what the queue calls them."""
    began: set[int] = field(default_factory=set)
    """Those that have begun a job since they were submitted."""

    def submit(self, numbers: Sequence[int]) -> None:
        """These; Stuck if the cluster does not take them."""
        from submitit.core.utils import FailedJobError

        try:
            jobs = self.executor.map_array(Pilot(), [self.orders[number] for number in numbers])
        except (FailedJobError, OSError) as error:
            raise Stuck(
                f"engine=slurm: the cluster did not take it: {_one_line(str(error))}"
            ) from error
        self.tasks |= {job.job_id: number for job, number in zip(jobs, numbers, strict=True)}
        self.began -= {*numbers}

    def replace(self, flying: set[int], most: int) -> None:
        """Have up to so many fly, in place of some that began a job and are gone.

        Those that the cluster does not take now are submitted at another time; Stuck if nobody
        flies until then.
        """
        gone = sorted(self.began - flying)[: max(0, most - len(flying))]
        if gone:
            with contextlib.suppress(*([Stuck] if flying else [])):
                self.submit(gone)

    def flying(self) -> set[int]:
        """Those that are queued or run; as long as the controller does not answer, all."""
        if not self.tasks:
            return set()
        asked = _asked(
            "squeue", "--noheader", "--array", "--format=%i", f"--jobs={','.join(self._arrays())}"
        )
        if asked.returncode and "Invalid job id" not in asked.stderr:
            return {*self.tasks.values()}
        return {self.tasks[task] for task in asked.stdout.split() if task in self.tasks}

    def call_down(self) -> None:
        """Have them put their jobs away and land; by force who takes longer."""
        if self.flying():
            try:
                _asked("scancel", "--state=PENDING", *self._arrays())
                _asked("scancel", "--signal=INT", *self._arrays())
                deadline = time.monotonic() + _GRACE_SECONDS
                while self.flying() and time.monotonic() < deadline:
                    time.sleep(_POLL_SECONDS)
            finally:  # also when it is stopped for the second time
                _asked("scancel", *self._arrays())

    def trouble(self, logs: Path) -> str:
        """The last line that one of them wrote which never began a job."""
        for task in (task for task, number in self.tasks.items() if number not in self.began):
            for path in sorted(logs.glob(f"{task}_*_log.err")):
                if lines := path.read_text(errors="replace").strip().splitlines():
                    return f"{path}: {lines[-1]}"
        return ""

    def _arrays(self) -> list[str]:
        return [*dict.fromkeys(task.partition("_")[0] for task in self.tasks)]


def _asked(*command: str) -> subprocess.CompletedProcess[str]:
    """What a command of Slurm's answers."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _name(study: Path) -> str:
    """By which the queue knows pilots."""
    return f"resformer-{study.name}"


def _logs(study: Path) -> Path:
    """Where submitit keeps what it submits, and what pilots print: in no study's folder, for these
    are pickles.
    """
    return study.absolute().parent / ".slurm" / study.name
