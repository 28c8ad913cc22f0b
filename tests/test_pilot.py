"""A worker that is told a string: what it does, what it says, and what is heard of it."""

import json
import os
import platform
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support import shapes

from resformer.engines.local import Local
from resformer.model.shape import Member, Shape
from resformer.store import files
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.sweep.request import Request
from resformer.training.progress import Progress
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import EventReader, EventWriter
from resformer.workers.events import Event
from resformer.workers.pilot import PilotExit, pilot_specs, run_pilot

pytestmark = pytest.mark.sweep

PROGRESS = Progress(step=5, steps=20, members=2, solved=1, diverged=0, loss=0.5, accuracy=0.75)


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "results" / "tiny")


def launched(study: Study, shape: Shape) -> Assignment:
    engine = Local(workers=1, stack=1, retries=0, lease_seconds=60.0, memory_gib=None)
    request = Request(
        study="tiny",
        overrides=[[]],
        shapes=[(shape, [Member(seed, 1e-3) for seed in range(2)])],
        engine=engine,
        checkpoint_seconds=0.0,
    )
    return launch.plan(request, study).start(["sweep"])


def run(assignment: Assignment, workers: int = 1, worker: int = 0) -> PilotExit:
    return PilotExit.from_json(run_pilot(pilot_specs(assignment, workers)[worker]))


def heard(study: Study, number: int) -> list[Event]:
    events: list[Event] = []
    EventReader(study, number).poll(events.append)
    return events


def test_a_pilot_finishes_what_it_is_told_of_and_what_it_tells_is_heard(
    study: Study, shape: Shape
) -> None:
    assignment = launched(study, shape)
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    }
    assert run(assignment, 4, 3) == PilotExit("finished")
    assert study.results.finished(assignment.jobs) == set(assignment.jobs)
    events = heard(study, assignment.launch)
    assert [event.kind for event in events if event.job == assignment.jobs[0]] == [
        "started",
        "progress",
        "finished",
    ]
    assert {event.worker for event in events} == {3}
    assert events[-1].progress is not None
    assert {number: signal.getsignal(number) for number in before} == before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2])
def test_a_signal_makes_a_pilot_checkpoint_its_work(
    study: Study, shape: Shape, signum: signal.Signals
) -> None:
    long = shapes.changed(shape, steps=100_000, stop_when_solved=False)
    assignment = launched(study, long)
    where = study.job(assignment.jobs[0]) / "attempt-1"

    def interrupt() -> None:
        until = time.monotonic() + 30
        while not list(where.glob("checkpoint-*.json")) and time.monotonic() < until:
            time.sleep(0.02)
        os.kill(os.getpid(), signum)

    threading.Thread(target=interrupt).start()
    assert run(assignment) == PilotExit("signalled", signum.name)
    assert list(where.glob("checkpoint-*.json"))
    assert heard(study, assignment.launch)[-1].kind == "left"


@pytest.mark.parametrize(
    ("section", "name", "now"),
    [
        ("versions", "torch", torch.__version__),
        ("fingerprint", "model", None),
        ("fingerprint", "task of_a_plugin", "not here"),
    ],
)
def test_a_node_that_would_compute_otherwise_says_so_and_computes_nothing(
    study: Study, shape: Shape, section: str, name: str, now: str | None
) -> None:
    assignment = launched(study, shape)
    path = study.path / "launches" / "1.json"
    record = files.verify_checksum(path.read_bytes())
    assert record is not None
    now = now or record[section][name]
    record[section][name] = "0.0.older"
    path.write_bytes(files.with_checksum(record))
    how = "made with" if section == "versions" else "computed by other code:"
    was = f"{name} 0.0.older, this" if section == "versions" else f"{name} was 0.0.older,"
    reason = f"was {how} {was} is {now}"
    message = f"{platform.node()}: study tiny {reason}; every node needs the same"
    assert run(assignment) == PilotExit("stuck", message)
    reader = EventReader(study, assignment.launch)
    reader.poll(lambda event: None)
    assert reader.stuck == message
    assert study.results.begun() == set()


def test_a_folder_that_is_not_shared_is_said_to_be_so(
    study: Study, shape: Shape, tmp_path: Path
) -> None:
    assignment = launched(study, shape)
    elsewhere = replace(assignment, study=tmp_path / "nowhere")
    reason = f"{tmp_path / 'nowhere'}: there is no launch 1 here; is the folder shared?"
    assert run(elsewhere) == PilotExit("stuck", reason)
    assert not elsewhere.study.exists()


def test_news_are_heard_once_and_torn_or_foreign_lines_never(study: Study) -> None:
    study.path.mkdir(parents=True)
    tell, reader, events = EventWriter(study, 2).write, EventReader(study, 2), list[Event]()
    sent = [
        Event("started", 1, "a"),
        Event("finished", 1, "a", PROGRESS),
        Event("failed", 1, "b", detail="why"),
    ]
    tell(sent[0])
    reader.poll(events.append)
    tell(sent[1])
    reader.poll(events.append)
    (path,) = study.path.glob("told/2-*.jsonl")
    whole = json.dumps(
        {"kind": "failed", "worker": 1, "job": "b", "progress": None, "detail": "why"}
    )
    with path.open("a") as file:
        for line in STRANGE:
            file.write(f"{line}\n")
        file.write(whole[:20])
    reader.poll(events.append)
    with path.open("a") as file:
        file.write(whole[20:] + "\n")
    reader.poll(events.append)
    assert events == sent
    assert heard(study, 1) == []
    assert heard(study, 2) == sent


STRANGE = [
    *(
        "",
        "{",
        "[]",
        "{}",
        '{"kind": "started"}',
        '{"kind": "no", "worker": 1, "job": "a", "progress": null, "detail": ""}',
    ),
    '{"kind": "started", "worker": "1", "job": "a", "progress": null, "detail": ""}',
    '{"kind": "started", "worker": 1, "job": "a", "progress": {"step": 1}, "detail": ""}',
    '{"kind": "started", "worker": 1, "job": "a", "progress": {"steps": "x", "loss": "y"}, '
    '"detail": ""}',
    '{"kind": "started", "worker": 1, "job": "a", "progress": 7, "detail": ""}',
]


def test_progress_is_told_now_and_then_only(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    study.path.mkdir(parents=True)
    clock = [100.0]
    monkeypatch.setattr("resformer.workers.event_log.time.monotonic", lambda: clock[0])
    tell = EventWriter(study, 1).write
    for seconds in (0.0, 0.5, 1.0, 1.0, 0.1):
        clock[0] += seconds
        tell(Event("progress", 0, "a", PROGRESS))
    assert len(heard(study, 1)) == 2


def test_what_the_disk_does_not_take_is_not_told(study: Study) -> None:
    study.path.mkdir(parents=True)
    (study.path / "told").write_text("in the way")
    EventWriter(study, 1).write(Event("started", 0, "a"))
    assert heard(study, 1) == []
