"""Pilots of Slurm that end early are replaced, or end the sweep. Pilots are real, Slurm is not."""

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from subprocess import CompletedProcess

import pytest
from submitit.core.utils import FailedJobError
from support.launches import planned

from resformer.engines import slurm
from resformer.engines.slurm import Slurm
from resformer.errors import Stuck
from resformer.model.shape import Shape
from resformer.store.study import Study
from resformer.workers.assignment import Assignment
from resformer.workers.events import Event
from resformer.workers.signals import Stop

pytestmark = pytest.mark.sweep

ENGINE = Slurm(
    workers=2,
    stack=1,
    retries=1,
    lease_seconds=60.0,
    memory_gib=None,
    partition=None,
    minutes=60,
    gpus=0,
    account=None,
    setup=None,
    extra=None,
)
RUN = "import sys; from resformer.workers.pilot import run_pilot; run_pilot(sys.argv[1])"
FULL = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
FULL += "resource.setrlimit(resource.RLIMIT_FSIZE, (2500, 2500)); "
"""No disk takes more than small files."""


def test_variables_of_sbatch_stand_back_behind_settings() -> None:
    engine = replace(ENGINE, partition="gpu", extra="--qos=high --exclusive")
    assert engine.inherited == ["SBATCH_ACCOUNT", "SBATCH_CLUSTERS", "SBATCH_CONSTRAINT"]


@dataclass
class Job:
    job_id: str


@dataclass
class Cluster:
    """Runs pilots at once, each as this program;
    submissions of these numbers, from 0, are refused.
    """

    programs: Sequence[str] = (RUN,)
    refuses: Sequence[int] = ()
    submissions: int = 0
    pilots: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    taken: list[list[str]] = field(default_factory=list)
    """Words of the pilots of each submission that was taken."""

    def map_array(self, pilot: object, words: list[str]) -> list[Job]:
        self.submissions += 1
        if self.submissions - 1 in self.refuses:
            raise FailedJobError("the controller is away")
        program = self.programs[min(len(self.taken), len(self.programs) - 1)]
        self.taken.append(words)
        jobs = [Job(f"{self.submissions}_{number}") for number in range(len(words))]
        for job, word in zip(jobs, words, strict=True):
            self.pilots[job.job_id] = subprocess.Popen(
                [sys.executable, "-c", program, word], stderr=subprocess.DEVNULL
            )
        return jobs

    def answer(self, *command: str) -> CompletedProcess[str]:
        if command[0] == "scancel" and "--state=PENDING" not in command:
            for pilot in self.pilots.values():
                pilot.terminate()
        runs = [name for name, pilot in self.pilots.items() if pilot.poll() is None]
        return CompletedProcess(command, 0, "\n".join(runs) if command[0] == "squeue" else "", "")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    made = Cluster()
    monkeypatch.setattr(Slurm, "executor", lambda engine, study: made)
    monkeypatch.setattr(slurm, "run_command", made.answer)
    monkeypatch.setattr(slurm, "POLL_SECONDS", 0.1)
    yield made
    for pilot in made.pilots.values():
        pilot.kill()
        pilot.wait()


def launched(study: Study, shape: Shape, seeds: int) -> Assignment:
    plan = planned(study, [shape], seeds=seeds, rates=[1e-3], engine=ENGINE, checkpoint_seconds=0.0)
    return plan.start(["sweep"])


def run(assignment: Assignment) -> list[Event]:
    events: list[Event] = []
    deadline = time.monotonic() + 120
    stop = Stop(lambda: time.monotonic() > deadline)
    ENGINE.run(assignment, workers=2, emit=events.append, stop=stop)
    assert time.monotonic() < deadline
    return events


def test_the_folders_of_unlisted_jobs_are_read_before_a_pilot_is_replaced(
    cluster: Cluster, study: Study, shape: Shape
) -> None:
    """A result that was damaged and is made again is in no list that counts."""
    run(launched(study, shape, 3))
    job = next(iter(study.planned()))
    (study.job(job) / "attempt-1" / "runs.parquet").write_bytes(b"")
    cluster.taken.clear()
    run(launched(study, shape, 6))
    assert len(study.results.finished(study.planned())) == 6
    assert [len(words) for words in cluster.taken] == [2]


def test_a_full_disk_ends_the_sweep_with_one_line(
    cluster: Cluster, study: Study, shape: Shape
) -> None:
    assignment = launched(study, shape, 2)
    cluster.programs = (FULL + RUN,)
    with pytest.raises(
        Stuck, match=r"checkpoint-0\.safetensors: cannot be written \(.*\): File too large"
    ):
        run(assignment)
    assert [len(words) for words in cluster.taken] == [2]
    assert all(pilot.poll() is not None for pilot in cluster.pilots.values())


DIES = """
import os, sys
from resformer.workers import pilot
from resformer.store.claims import Claim
Claim.beat = lambda claim: os._exit(9)
pilot.run_pilot(sys.argv[1])
"""


def test_a_pilot_that_dies_at_work_is_replaced_by_one_with_the_same_specs(
    cluster: Cluster, study: Study, shape: Shape
) -> None:
    cluster.programs = (DIES, RUN)
    events = run(launched(study, shape, 3))
    assert len(study.results.finished(study.planned())) == 3
    first, *others = cluster.taken
    assert sorted(word for words in others for word in words) == sorted(first)
    assert {event.worker for event in events} == {0, 1}


def test_a_replacement_that_is_refused_is_submitted_later_while_other_pilots_run(
    cluster: Cluster,
) -> None:
    cluster.refuses = [0, 2]
    pilots = slurm.JobArray(cluster, ["one", "two"], tasks={"9_0": 0, "9_1": 1}, began={0, 1})
    pilots.replace({1}, 2)
    assert cluster.taken == []
    pilots.replace({1}, 2)
    assert cluster.taken == [["one"]]
    pilots.replace({1}, 2)
    assert cluster.taken == [["one"]]
    with pytest.raises(Stuck, match="did not take it"):
        pilots.replace(set(), 2)


def test_a_pilot_that_ended_before_its_first_job_is_not_replaced_and_its_log_is_shown(
    cluster: Cluster, study: Study, shape: Shape
) -> None:
    assignment = launched(study, shape, 2)
    cluster.programs = ("raise SystemExit(3)",)
    logs = study.path.parent / ".slurm" / "some"
    logs.mkdir(parents=True)
    (logs / "1_1_0_log.err").write_text("some\nno such module\n")
    with pytest.raises(Stuck, match=r"1_1_0_log\.err: no such module"):
        run(assignment)
    assert [len(words) for words in cluster.taken] == [2]


def test_a_second_interrupt_cancels_all_pilots(
    cluster: Cluster, study: Study, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C while pilots checkpoint their work, which these would never finish."""
    cluster.programs = ("import time; time.sleep(600)",)
    pilots = slurm.JobArray(cluster, ["one"])
    pilots.submit([0])
    commands: list[tuple[str, ...]] = []

    def answer(*command: str) -> CompletedProcess[str]:
        commands.append(command)
        return CompletedProcess(command, 0, "1_0", "")

    def again(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(slurm, "run_command", answer)
    monkeypatch.setattr(slurm.time, "sleep", again)
    with pytest.raises(KeyboardInterrupt):
        pilots.cancel()
    assert commands[-1] == ("scancel", "1")


def test_a_cluster_that_refuses_all_pilots_ends_the_sweep_with_its_reason(
    cluster: Cluster, study: Study, shape: Shape
) -> None:
    assignment = launched(study, shape, 1)
    cluster.refuses = [0]
    with pytest.raises(
        Stuck, match="engine=slurm: the cluster did not take it: the controller is away"
    ):
        run(assignment)


def test_commands_of_slurm_see_nothing_of_a_job_but_what_is_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SLURM_CLUSTERS", "SQUEUE_STATES", "SCANCEL_USER", "SBATCH_QOS"):
        monkeypatch.setenv(name, "other")
    answer = slurm.run_command("env", kept=["SBATCH_QOS"])
    assert "SBATCH_QOS=other" in answer.stdout
    assert not any(name in answer.stdout for name in ("SLURM_", "SQUEUE_", "SCANCEL_"))


def test_pilots_on_other_clusters_are_looked_for_there(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ENGINE.clusters == []
    monkeypatch.setenv("SBATCH_CLUSTERS", "far")
    assert ENGINE.clusters == ["--clusters=far"]
    assert replace(ENGINE, extra="--clusters=near").clusters == ["--clusters=near"]
    commands: list[tuple[str, ...]] = []

    def answer(*command: str) -> CompletedProcess[str]:
        commands.append(command)
        return CompletedProcess(command, 0, "1_0" if len(commands) == 1 else "", "")

    monkeypatch.setattr(slurm, "run_command", answer)
    slurm.JobArray(cluster, ["one"], clusters=ENGINE.clusters, tasks={"1_0": 0}).cancel()
    assert {command[:2] for command in commands} == {
        ("squeue", "--clusters=far"),
        ("scancel", "--clusters=far"),
    }


def test_pilots_have_no_workload_key_but_the_one_that_was_given(study: Study) -> None:
    assert "wckey" not in ENGINE.script(study.path, 2)
    assert "#SBATCH --wckey=mine\n" in replace(ENGINE, extra="--wckey=mine").script(study.path, 2)
