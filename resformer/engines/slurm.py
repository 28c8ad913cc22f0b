"""Workers as jobs of a Slurm cluster."""

import contextlib
import math
import os
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

from resformer.engines.base import Engine
from resformer.errors import Stuck, UserError, require, require_between
from resformer.store.done import Done
from resformer.store.study import Study
from resformer.workers import environment
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import EventReader
from resformer.workers.events import Emit, Event
from resformer.workers.pilot import PilotExit, pilot_specs, run_pilot
from resformer.workers.signals import Stop

POLL_SECONDS, _GRACE_SECONDS = 1.0, 30.0
_WARNED_SECONDS = 90
"""Time between the warning of a pilot and the end of its time limit."""
_STAYS_SECONDS = 600.0
"""Longer than Slurm waits before it kills a job."""
_MOST_REQUEUES = 10_000
_OPTION = re.compile(r"--(?P<name>[a-z][a-z-]*)(=(?P<value>.+))?")


_INHERITED = ("partition", "account", "clusters", "qos", "constraint")
"""Options of sbatch that choose where pilots run, whose variables users set once for all."""


@final
@dataclass(frozen=True, kw_only=True)
class Slurm(Engine):
    """Pilot jobs on a Slurm cluster (Yoo, Jette & Grondona 2003), by submitit, as one array.

    Each claims jobs in the study's folder, which every node has to see under the same path, until
    none is left or its time is nearly over. A pilot that is preempted, or whose time is over,
    checkpoints its training and is queued again. Finished jobs are read from the folder; no
    accounting database is needed.
    """

    elsewhere: ClassVar[bool] = True
    partition: str | None
    minutes: int
    """A pilot's time limit."""
    gpus: int
    """GPUs of a pilot."""
    account: str | None
    setup: str | None
    """A line of shell that runs before a pilot."""
    extra: str | None
    """Further options of sbatch, --KEY=VALUE or --FLAG."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("engine.minutes", self.minutes, low=2, high=525_600)
        require(
            0 <= self.gpus <= 1,
            "engine.gpus",
            self.gpus,
            "must be 0 or 1: a worker computes on one",
        )
        for name in ("partition", "account", "setup", "extra"):
            value = getattr(self, name)
            require(
                value is None or (value and value.isprintable()),
                f"engine.{name}",
                value,
                "must be one line, or null",
            )
        _options(self.extra)

    def count(self, jobs: Sequence[str], device: str) -> int:
        """Number of pilots asked for, never more than jobs; UserError if it was not said."""
        if self.workers is None:
            raise UserError("engine.workers=null: with engine=slurm, say how many pilots to submit")
        if device == "cuda" and not self.gpus:
            raise UserError(
                "engine.gpus=0: with device=cuda, say how many GPUs a pilot gets; 1 would work"
            )
        return min(self.workers, len(jobs))

    def unavailable(self, workers: int) -> str:
        """The reason why there is no Slurm here, or why it would reject so many pilots; "" if it
        takes them.
        """
        if shutil.which("srun") is None:
            return "engine=slurm: there is no srun here; run it where jobs are submitted"
        with tempfile.TemporaryDirectory() as folder:
            script = Path(folder) / "script"
            script.write_text(self.script(Path(folder) / "study", workers))
            answer = run_command("sbatch", "--test-only", str(script), kept=self.inherited)
        if answer.returncode:
            return f"engine=slurm: the cluster would not take it: {_one_line(answer.stderr)}"
        return ""

    def run(self, assignment: Assignment, *, workers: int, emit: Emit, stop: Stop) -> None:
        """Run the jobs with so many pilots; on the way out none is left behind.

        A pilot that ended early is replaced, unless it never began a job. Raises Stuck also where
        the cluster rejects the pilots, and where one of them cannot proceed.
        """
        study, left = Study(assignment.study), set(assignment.jobs)
        reader, done = EventReader(study, assignment.launch), Done(study.path)
        pilots = JobArray(
            self.executor(study.path),
            pilot_specs(assignment, workers),
            self.inherited,
            self.clusters,
        )
        active_before = set(range(workers))

        def emit_noted(event: Event) -> None:
            if event.kind == "started":
                pilots.began.add(event.worker)
            emit(event)

        try:
            pilots.submit(sorted(active_before))
            while left and not reader.stuck and not stop.wait(POLL_SECONDS):
                active = pilots.active()
                reader.poll(emit_noted)
                left -= done.news().keys()
                if active != active_before:
                    # Lists may lack finished jobs; a look into the jobs' folders takes long.
                    left -= study.results.finished(left)
                    left -= study.failures(left & study.results.begun()).keys()
                    active_before = active
                pilots.replace(active, min(workers, len(left)))
                if not active and not pilots.active():
                    break
        finally:
            pilots.cancel()
            reader.drain(emit)
        error = reader.stuck
        if not error and left and not stop.requested():
            error = pilots.error_line(_logs(study.path))
        if error:
            raise Stuck(error)

    def detached_where(self, study: Path) -> str:
        """Name the command that lists the pilots."""
        return f"Slurm: squeue --name={_name(study)}"

    def detach(self, assignment: Assignment, workers: int) -> str:
        """Submit the pilots and return the command that would cancel them."""
        specs = pilot_specs(assignment, workers)
        JobArray(self.executor(assignment.study), specs, self.inherited).submit(range(workers))
        return f"scancel --name={_name(assignment.study)}"

    @property
    def inherited(self) -> list[str]:
        """Variables of the environment that say what these settings do not; sbatch heeds them
        before its script.
        """
        given = {"partition": self.partition, "account": self.account, **_options(self.extra)}
        return [f"SBATCH_{name.upper()}" for name in _INHERITED if given.get(name) is None]

    @property
    def clusters(self) -> list[str]:
        """The option of squeue and scancel that names the clusters of the pilots, if not its own;
        empty for none.
        """
        names = _options(self.extra).get("clusters") or os.environ.get("SBATCH_CLUSTERS")
        return [f"--clusters={names}"] if names else []

    def script(self, study: Path, workers: int) -> str:
        """The script that would be submitted, also where there is no Slurm; UserError without
        submitit.
        """
        executor = self.executor(study)
        if workers > 1:
            executor.parameters["map_count"] = workers
        text: str = executor._make_submission_file_text(executor._submitit_command_str, "dry-run")
        return text

    def executor(self, study: Path) -> Any:
        """The executor of submitit that submits the pilots of a study."""
        try:
            import submitit
        except ModuleNotFoundError as missing:
            raise UserError(
                "engine=slurm: submitit is not installed; pip install 'resformer[slurm]'"
            ) from missing

        # submitit makes none where there is no srun, which its script does not need.
        anywhere = {"affinity": classmethod(lambda _: 1)}
        kind = type("SlurmExecutor", (submitit.SlurmExecutor,), anywhere)
        executor = kind(_logs(study), max_num_timeout=_MOST_REQUEUES)
        options = {
            "partition": self.partition,
            "account": self.account,
            # A command has it too, but sbatch or the site may not pass it on.
            "setup": ["export PYTHONSAFEPATH=1", *([self.setup] if self.setup else [])],
            "gpus_per_node": self.gpus or None,
            "mem": None if self.memory_gib is None else f"{math.ceil(1024 * self.memory_gib)}M",
            "array_parallelism": self.workers,
            "additional_parameters": _options(self.extra) or None,
        }
        executor.update_parameters(
            job_name=_name(study),
            time=self.minutes,
            cpus_per_task=1,
            wckey=None,  # submitit's own, which not every site knows
            signal_delay_s=min(_WARNED_SECONDS, 30 * self.minutes),
            **{name: value for name, value in options.items() if value is not None},
        )
        return executor


@final
class Pilot:
    """The callable that submitit runs in a job."""

    def __call__(self, spec: str) -> str:
        """Run the pilot; returns its PilotExit as JSON. A pilot that is warned of its time limit or
        preempted is requeued by submitit.

        After a SIGTERM alone it stays until it is killed: Slurm would not requeue a job that ends
        by itself, and a cancelled one must not be. Raises Stuck, whose line stands last in the log,
        if it cannot proceed.
        """
        requeue = signal.getsignal(signal.SIGUSR2)
        end = run_pilot(spec)
        match PilotExit.from_json(end):
            case PilotExit("signalled", "SIGTERM"):
                time.sleep(_STAYS_SECONDS)
            case PilotExit("signalled", "SIGUSR1" | "SIGUSR2") if callable(requeue):
                requeue(signal.SIGUSR2, None)
            case PilotExit("stuck", line):
                raise Stuck(line)
        return end

    def checkpoint(self, spec: str) -> Any:
        """The submission that is requeued: the same."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, spec)


@final
@dataclass
class JobArray:
    """The pilots of a launch, in one or more job arrays of Slurm."""

    executor: Any
    specs: Sequence[str]
    """The spec of each pilot by its number; a replacement gets the same."""
    kept: Sequence[str] = ()
    """Variables of the environment that sbatch may read."""
    clusters: Sequence[str] = ()
    """Option that names the clusters to squeue and scancel."""
    tasks: dict[str, int] = field(default_factory=dict)
    """Numbers of all pilots that were submitted, by their ids in the queue."""
    began: set[int] = field(default_factory=set)
    """Pilots that have begun a job since they were submitted."""

    def submit(self, numbers: Sequence[int]) -> None:
        """Submit pilots by their numbers; Stuck if the cluster rejects them."""
        from submitit.core.utils import FailedJobError

        try:
            with environment.outside_of_jobs(self.kept):
                jobs = self.executor.map_array(Pilot(), [self.specs[number] for number in numbers])
        except (FailedJobError, OSError) as error:
            raise Stuck(
                f"engine=slurm: the cluster did not take it: {_one_line(str(error))}"
            ) from error
        self.tasks |= {job.job_id: number for job, number in zip(jobs, numbers, strict=True)}
        self.began -= {*numbers}

    def replace(self, active: set[int], most: int) -> None:
        """Submit pilots that began a job and are gone again, up to `most` active ones.

        Those that the cluster rejects now are submitted later; Stuck if no pilot is active until
        then.
        """
        gone = sorted(self.began - active)[: max(0, most - len(active))]
        if gone:
            with contextlib.suppress(*([Stuck] if active else [])):
                self.submit(gone)

    def active(self) -> set[int]:
        """Numbers of the pilots that are queued or run; all while the controller does not
        answer.
        """
        if not self.tasks:
            return set()
        jobs = f"--jobs={','.join(self._arrays())}"
        answer = run_command("squeue", *self.clusters, "--noheader", "--array", "--format=%i", jobs)
        if answer.returncode and "Invalid job id" not in answer.stderr:
            return {*self.tasks.values()}
        return {self.tasks[task] for task in answer.stdout.split() if task in self.tasks}

    def cancel(self) -> None:
        """Let pilots checkpoint their jobs and end; by force those that take longer."""
        if self.active():
            try:
                run_command("scancel", *self.clusters, "--state=PENDING", *self._arrays())
                run_command("scancel", *self.clusters, "--signal=INT", *self._arrays())
                deadline = time.monotonic() + _GRACE_SECONDS
                while self.active() and time.monotonic() < deadline:
                    time.sleep(POLL_SECONDS)
            finally:  # also when it is stopped for the second time
                run_command("scancel", *self.clusters, *self._arrays())

    def error_line(self, logs: Path) -> str:
        """The last line in the log of a pilot that never began a job; "" if there is none."""
        for task in (task for task, number in self.tasks.items() if number not in self.began):
            for path in sorted(logs.glob(f"{task}_*_log.err")):
                if lines := path.read_text(errors="replace").strip().splitlines():
                    return f"{path}: {lines[-1]}"
        return ""

    def _arrays(self) -> list[str]:
        return [*dict.fromkeys(task.partition("_")[0] for task in self.tasks)]


def run_command(*words: str, kept: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
    """Run a command of Slurm as outside of any job, but for the variables that are kept; returns
    its answer.
    """
    with environment.outside_of_jobs(kept):
        return subprocess.run(words, capture_output=True, text=True, check=False)


def _options(extra: str | None) -> dict[str, str | bool]:
    """Options of sbatch by name, as submitit takes them; UserError for anything else."""
    try:
        words = shlex.split(extra or "")
    except ValueError:  # a quotation mark without another
        words = [""]
    options: dict[str, str | bool] = {}
    for word in words:
        match = _OPTION.fullmatch(word)
        require(
            match is not None,
            "engine.extra",
            extra,
            "must be options of sbatch, as in engine.extra='\"--qos=high --exclusive\"'",
        )
        assert match is not None
        options[match["name"]] = True if match["value"] is None else match["value"]
    return options


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _name(study: Path) -> str:
    """The name of pilots in the queue."""
    return f"resformer-{study.name}"


def _logs(study: Path) -> Path:
    """The folder of submissions and of the pilots' output; outside the study's folder, since
    submissions are pickles.
    """
    return study.absolute().parent / ".slurm" / study.name
