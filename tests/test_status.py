"""`resformer status`: what it says of a study that is finished, runs, was left or failed."""

import io
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from rich.console import Console
from support import shapes
from support.sweeps import TINY_SETTINGS
from typer.testing import Result

from resformer.console import status
from resformer.console.status import Status, picture, read_status
from resformer.model.shape import Member, Shape
from resformer.plan.jobs import Job
from resformer.store import claims, files
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.study import Study
from resformer.workers.event_log import EventWriter
from resformer.workers.events import Event

Resformer = Callable[..., Result]

LEASE = 60.0
job_folder = Study.job
MEMBERS = tuple(Member(seed=seed, lr=3e-3) for seed in range(3))

TAKE = """
import sys
from pathlib import Path
from resformer.store.claims import HeartbeatObserver, take

take(Path(sys.argv[1]), 1, 9, HeartbeatObserver(60.0))
print("taken", flush=True)
input()
"""


@pytest.fixture
def depths(shape: Shape) -> list[Job]:
    """Jobs of three members each, at depths 1, 2, 3 and 4."""
    return [
        Job(shape=shapes.changed(shape, depth=depth), members=MEMBERS) for depth in (1, 2, 3, 4)
    ]


def launch(study: Study, jobs: Sequence[Job], retries: int = 1) -> None:
    record = {"excluded": [], "engine": {"retries": retries, "lease_seconds": LEASE}}
    study.launch(record, [job.to_json() for job in jobs])


def take(study: Study, job: Job) -> Claim:
    claim = claims.take(study.job(job.id), 1, 9, HeartbeatObserver(LEASE))
    assert isinstance(claim, Claim)
    return claim


def finish(study: Study, job: Job, outcomes: Sequence[str], seconds: float = 1.0) -> None:
    solved = [outcome == "solved" for outcome in outcomes]
    runs = {
        "seed": [member.seed for member in job.members],
        "lr": [member.lr for member in job.members],
        "outcome": list(outcomes),
        "stalled": [False] * len(outcomes),
        "solved_step": [10 if step else None for step in solved],
        "diverged_step": [20 if outcome == "diverged" else None for outcome in outcomes],
        "last_step": [20] * len(outcomes),
        "final_loss": [0.1] * len(outcomes),
        "final_accuracy": [float(step) for step in solved],
    }
    assert study.results.commit(
        take(study, job), {"runs": runs, "curves": runs}, {"seconds": seconds, "stretches": []}
    )


def begin(study: Study, job: Job, steps: int) -> None:
    """This process holds the job and has begun so many of its steps."""
    claim = take(study, job)
    for step in range(1, steps + 1):
        claim.last_beat -= step == steps and 2.0  # the last one is written
        claim.beat()


@contextmanager
def taker(study: Study, job: Job) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the job until it is killed."""
    words = [sys.executable, "-c", TAKE, str(study.job(job.id))]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "taken\n"
            yield process
        finally:
            process.kill()


def counts(status: Status) -> dict[str, int]:
    return {state: len(jobs) for state, jobs in status.states().items()}


def shown(study: Study) -> str:
    """The status in 80 columns without colour."""
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(picture(read_status(study)))
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= 80
    assert "…" not in text
    return text


def words(text: str) -> str:
    return " ".join(text.split())


def test_a_finished_study_has_its_outcomes_and_no_time_left(
    study: Study, depths: list[Job]
) -> None:
    launch(study, depths[:2])
    finish(study, depths[0], ["solved", "solved", "unsolved"])
    finish(study, depths[1], ["solved", "diverged", "unsolved"])
    state = read_status(study)
    assert counts(state) == {"finished": 2, "running": 0, "waiting": 0, "failed": 0}
    assert state.outcomes == {"solved": 3, "unsolved": 2, "diverged": 1}
    assert state.seconds_left is None
    text = shown(study)
    assert re.match(r"some \(.*some\): launched \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", words(text))
    assert re.search(r"finished +2 +6 *\n", text)
    assert "members that have finished: 3 solved, 2 unsolved, 1 diverged" in text
    assert not re.search(r"left|not running|lost|failed:", text)


def test_a_running_study_shows_its_workers_and_the_time_left(
    study: Study, depths: list[Job]
) -> None:
    launch(study, depths)
    finish(study, depths[3], ["solved"] * 3, seconds=100.0)
    begin(study, depths[2], steps=5)
    begin(study, depths[1], steps=0)
    state = read_status(study)
    assert counts(state) == {"finished": 1, "running": 2, "waiting": 1, "failed": 0}
    assert [(held.attempt, held.beats) for held in state.running.values()] == [(1, 0), (1, 5)]
    per_flop = 100.0 / depths[3].flops()
    left = depths[2].flops() * 15 / 20 + depths[1].flops() + depths[0].flops()
    assert state.seconds_left == pytest.approx(per_flop * left / 2)
    text = shown(study)
    assert re.search(r"running +2 +6 *\n", text)
    (row,) = (line for line in text.splitlines() if "depth 3" in line)
    assert re.search(rf"copy depth 3 add post .*pid {os.getpid()} +3 +1 +5/20", row)
    assert re.search(r"about .* left with 2 workers at work", text)


def test_no_job_is_shared_among_workers(study: Study, depths: list[Job]) -> None:
    launch(study, [depths[0], depths[3]])
    finish(study, depths[0], ["solved"] * 3, seconds=10.0)
    begin(study, depths[3], steps=0)
    assert read_status(study).seconds_left == pytest.approx(
        10.0 * depths[3].flops() / depths[0].flops()
    )


def test_before_a_job_has_finished_the_steps_since_the_launch_tell_the_time_left(
    study: Study, depths: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(study, depths[2:])
    begin(study, depths[3], steps=5)
    begin(study, depths[2], steps=10)
    monkeypatch.setattr(status, "_seconds_since", lambda moment: 60.0)
    done = depths[3].flops() * 5 / 20 + depths[2].flops() * 10 / 20
    left = [depths[3].flops() * 15 / 20, depths[2].flops() * 10 / 20]
    per_worker = done / (2 * 60.0)
    expected = max(*left, sum(left) / 2) / per_worker
    assert read_status(study).seconds_left == pytest.approx(expected)
    assert "left with 2 workers at work" in shown(study)


def test_the_time_left_is_not_known_before_the_first_step(study: Study, depths: list[Job]) -> None:
    launch(study, depths)
    begin(study, depths[3], steps=0)
    assert read_status(study).seconds_left is None
    assert "time left: known once a worker has taken some steps" in shown(study)


def test_a_job_whose_worker_is_gone_is_named(study: Study, depths: list[Job]) -> None:
    launch(study, depths[:2])
    with taker(study, depths[0]) as process:
        assert counts(read_status(study)) == {
            "finished": 0,
            "running": 1,
            "waiting": 1,
            "failed": 0,
        }
        process.kill()
        process.wait()
        assert counts(read_status(study)) == {
            "finished": 0,
            "running": 0,
            "waiting": 2,
            "failed": 0,
        }
        text = words(shown(study))
        assert re.search(rf"lost: copy depth 1 add post, attempt 1, .*, pid {process.pid}:", text)
        assert text.endswith("not running; run the same sweep again to go on")
        assert "its worker is gone; run the same sweep again to go on" in text
        begin(study, depths[1], steps=1)
        assert "its worker is gone; another one takes it over" in words(shown(study))


def test_a_silent_worker_is_named(study: Study, depths: list[Job]) -> None:
    launch(study, depths[:1])
    begin(study, depths[0], steps=1)
    then = time.time() - 600
    os.utime(study.job(depths[0].id) / "claim-1", (then, then))
    assert counts(read_status(study)) == {"finished": 0, "running": 0, "waiting": 1, "failed": 0}
    hint = r"its worker has been silent for 10 min 0\d s; run the same sweep again to go on"
    assert re.search(hint, words(shown(study)))


def test_a_failed_job_is_named_with_its_reason_and_folder(study: Study, depths: list[Job]) -> None:
    launch(study, depths[:2], retries=0)
    take(study, depths[0]).fail(RuntimeError("boom\n  on a second line"))
    finish(study, depths[1], ["solved"] * 3)
    assert counts(read_status(study)) == {"finished": 1, "running": 0, "waiting": 0, "failed": 1}
    text = shown(study)
    assert "failed: copy depth 1 add post: RuntimeError: boom on a second line" in text
    assert str(study.job(depths[0].id)) in "".join(text.split("\n")).replace("  ", "")
    assert "not running" not in text


def test_a_job_that_may_be_tried_again_waits(study: Study, depths: list[Job]) -> None:
    launch(study, depths[:1], retries=1)
    take(study, depths[0]).fail(RuntimeError("boom"))
    assert counts(read_status(study)) == {"finished": 0, "running": 0, "waiting": 1, "failed": 0}
    assert "lost" not in shown(study)


def test_jobs_that_the_lists_name_are_not_read(
    study: Study, depths: list[Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    launch(study, depths[:3])
    for job in depths[:2]:
        finish(study, job, ["solved", "solved", "diverged"])
    take(study, depths[2])
    looked_at: list[str] = []
    monkeypatch.setattr(
        Study, "job", lambda self, job: looked_at.append(job) or job_folder(self, job)
    )
    status = read_status(study)
    assert set(looked_at) == {depths[2].id}
    assert counts(status) == {"finished": 2, "running": 1, "waiting": 0, "failed": 0}
    assert status.outcomes == {"solved": 4, "diverged": 2}


def test_finished_jobs_that_no_list_names_are_read_and_named_if_they_are_damaged(
    study: Study, depths: list[Job]
) -> None:
    launch(study, depths[:2])
    for job in depths[:2]:
        finish(study, job, ["solved"] * 3)
    shutil.rmtree(study.path / "done")
    (study.job(depths[0].id) / "attempt-1" / "runs.parquet").write_bytes(b"")
    status = read_status(study)
    assert counts(status) == {"finished": 2, "running": 0, "waiting": 0, "failed": 0}
    assert status.outcomes == {"solved": 3}
    assert "damaged: " in shown(study)


def test_a_finished_job_that_no_list_names_and_whose_runs_are_other_rows_is_named(
    study: Study, depths: list[Job]
) -> None:
    launch(study, depths[:1])
    study.results.commit(
        take(study, depths[0]), {"runs": {"seed": [0]}}, {"seconds": 1.0, "stretches": []}
    )
    shutil.rmtree(study.path / "done")
    status = read_status(study)
    assert status.outcomes == {}
    assert [reason for reason in status.damaged if "runs.parquet: " in reason]


@pytest.mark.parametrize(
    "line", ["[]", '"x"', '{"job": 7}', '{"job": "JOB", "outcomes": [1], "seconds": "x"}']
)
def test_no_line_of_a_list_stops_the_status(study: Study, depths: list[Job], line: str) -> None:
    launch(study, depths[:2])
    finish(study, depths[0], ["solved"] * 3)
    sealed = line.replace("JOB", depths[0].id).encode()
    if record := files.parse_object(sealed):
        sealed = files.with_checksum(record)
    (study.path / "done" / "other.jsonl").write_bytes(sealed + b"\n")
    assert counts(read_status(study)) == {"finished": 1, "running": 0, "waiting": 1, "failed": 0}


def test_the_error_of_a_remote_worker_is_shown_once_no_worker_runs(
    study: Study, depths: list[Job]
) -> None:
    launch(study, depths[:1])
    EventWriter(study, 1).write(Event("stuck", 0, "", detail="node7: the disk is full"))
    assert (
        shown(study)
        .splitlines()[-1]
        .startswith("not running: node7: the disk is full; run the same sweep")
    )
    begin(study, depths[0], steps=1)
    assert "the disk is full" not in shown(study)


def test_names_are_printed_not_obeyed(study: Study, depths: list[Job]) -> None:
    launch(study, depths[:2], retries=0)
    begin(study, depths[0], steps=1)
    claim = study.job(depths[0].id) / "claim-1"
    first, counter = claim.read_bytes().split(b"\n")
    who = files.verify_checksum(first)
    host = "[red]h[/red]\x1b[31m\n:smile:"
    claim.write_bytes(
        files.with_checksum({**(who or {}), "host": host, "boot": ""}) + b"\n" + counter
    )
    take(study, depths[1]).fail(RuntimeError("[bold]\x07[/nope]"))
    text = shown(study)
    assert "[red]h[/red]\\x1b[31m" in text
    assert ":smile:" in text
    assert "[bold]\\x07[/nope]" in text
    assert "\x1b" not in text


def test_status_takes_the_study_launched_last_but_not_train(
    resformer: Resformer, study: Study, depths: list[Job]
) -> None:
    launch(study, depths[:1])
    for name in ("other", "train"):
        launch(Study(study.path.parent / name), depths[:1])
    assert resformer("status").stdout.startswith("other (results/other): launched ")
    named = resformer("status", "some", "--results", "results")
    assert (named.exit_code, named.stderr) == (0, "")
    assert named.stdout.startswith("some (results/some): launched ")


def test_status_takes_train_where_there_is_nothing_else(
    resformer: Resformer, study: Study, depths: list[Job]
) -> None:
    """As after a sweep that was given this name."""
    launch(Study(study.path.parent / "train"), depths[:1])
    assert resformer("status").stdout.startswith("train (results/train): launched ")


@pytest.mark.parametrize("gone", ["", "result.json"], ids=["folder", "result"])
def test_a_job_whose_result_was_removed_is_not_finished(
    study: Study, depths: list[Job], gone: str
) -> None:
    launch(study, depths[:2])
    for job in depths[:2]:
        finish(study, job, ["solved"] * 3)
    path = study.job(depths[0].id) / gone
    (shutil.rmtree if path.is_dir() else Path.unlink)(path)
    assert counts(read_status(study)) == {"finished": 1, "running": 0, "waiting": 1, "failed": 0}


@pytest.mark.parametrize("named", [[], ["nothing"]])
def test_an_empty_folder_has_no_study(
    resformer: Resformer, tmp_path: Path, named: list[str]
) -> None:
    (tmp_path / "results").mkdir()
    result = resformer("status", *named)
    assert (result.exit_code, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert "resformer sweep makes one" in line
    assert list((tmp_path / "results").iterdir()) == []


@pytest.mark.sweep
def test_a_real_sweep_is_seen_at_work_and_finished(resformer: Resformer, tmp_path: Path) -> None:
    """A sweep in another process is seen at work, and then finished."""
    overrides = [
        "model.depth=1,2",
        *TINY_SETTINGS,
        "train.steps=1500",
        "train.eval_every=750",
        "train.stop_when_solved=false",
        "train.compile=false",  # kernels would be done before anybody looks
    ]
    command = [
        sys.executable,
        "-m",
        "resformer",
        "sweep",
        *overrides,
        "--workers",
        "1",
        "--study",
        "real",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as sweep:
        try:
            row, deadline = None, time.monotonic() + 120
            while row is None:
                assert time.monotonic() < deadline
                assert sweep.poll() is None
                time.sleep(0.1)
                row = re.search(
                    r"copy depth (\d) add post .*pid (\d+) +1 +1 +([1-9]\d*)/1500",
                    resformer("status").stdout,
                )
            assert int(row[2]) != sweep.pid  # a worker's
            output, _ = sweep.communicate(timeout=120)
            assert sweep.returncode == 0, output
        finally:
            sweep.kill()
    after = resformer("status", "real")
    assert after.exit_code == 0
    assert re.search(r"finished +2 +2 *\n", after.stdout)
    assert not re.search("left|not running", after.stdout)
