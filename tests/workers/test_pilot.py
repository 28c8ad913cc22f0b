"""Pilots: workers started with a string of JSON, and the events that they log."""

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
from support.launches import planned, record_of

from resformer.model.shape import Shape
from resformer.store import claims, files
from resformer.store.study import Study
from resformer.training.progress import Progress
from resformer.workers.assignment import Assignment
from resformer.workers.event_log import EventReader, EventWriter
from resformer.workers.events import Event
from resformer.workers.pilot import PilotExit, pilot_specs, run_pilot

pytestmark = pytest.mark.sweep

PROGRESS = Progress(step=5, steps=20, members=2, solved=1, diverged=0, loss=0.5, accuracy=0.75)


def launched(study: Study, shape: Shape) -> Assignment:
    return planned(study, [shape], rates=[1e-3], checkpoint_seconds=0.0).start(["sweep"])


def run(assignment: Assignment, workers: int = 1, worker: int = 0) -> PilotExit:
    return PilotExit.from_json(run_pilot(pilot_specs(assignment, workers)[worker]))


def events_of(study: Study, number: int) -> list[Event]:
    events: list[Event] = []
    EventReader(study, number).poll(events.append)
    return events


def test_a_pilot_finishes_its_jobs_and_its_events_are_read(study: Study, shape: Shape) -> None:
    assignment = launched(study, shape)
    before = {
        number: signal.getsignal(number)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
    }
    assert run(assignment, 4, 3) == PilotExit("finished")
    assert study.results.finished(assignment.jobs) == set(assignment.jobs)
    events = events_of(study, assignment.launch)
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
    assert events_of(study, assignment.launch)[-1].kind == "left"


@pytest.mark.parametrize(
    ("section", "name", "now"),
    [
        ("versions", "torch", torch.__version__),
        ("fingerprint", "model", None),
        ("fingerprint", "task of_a_plugin", "not here"),
    ],
)
def test_a_node_with_other_code_or_versions_says_so_and_computes_nothing(
    study: Study, shape: Shape, section: str, name: str, now: str | None
) -> None:
    assignment = launched(study, shape)
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    now = now or record[section][name]
    record[section][name] = "0.0.older"
    path.write_bytes(files.with_checksum(record))
    how = "made with" if section == "versions" else "computed by other code:"
    was = f"{name} 0.0.older, this" if section == "versions" else f"{name} was 0.0.older,"
    reason = f"was {how} {was} is {now}"
    message = (
        f"{platform.node()}: study some {reason}; code or compiler changed since the launch, or "
        "differ here: run the command again, with the same on every node"
    )
    assert run(assignment) == PilotExit("stuck", message)
    reader = EventReader(study, assignment.launch)
    reader.poll(lambda event: None)
    assert reader.stuck == message
    assert study.results.begun() == set()


def test_a_node_without_the_launch_asks_whether_the_folder_is_shared(
    study: Study, shape: Shape, tmp_path: Path
) -> None:
    assignment = launched(study, shape)
    elsewhere = replace(assignment, study=tmp_path / "nowhere")
    reason = f"{tmp_path / 'nowhere'}: there is no launch 1 here; is the folder shared?"
    assert run(elsewhere) == PilotExit("stuck", reason)
    assert not elsewhere.study.exists()


def test_events_are_read_once_and_torn_or_foreign_lines_never(study: Study) -> None:
    study.path.mkdir(parents=True)
    write, reader, events = EventWriter(study, 2).write, EventReader(study, 2), list[Event]()
    sent = [
        Event("started", 1, "a"),
        Event("finished", 1, "a", PROGRESS),
        Event("failed", 1, "b", detail="why"),
    ]
    write(sent[0])
    reader.poll(events.append)
    write(sent[1])
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
    assert events_of(study, 1) == []
    assert events_of(study, 2) == sent


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


def test_progress_is_logged_every_two_seconds_at_most(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.path.mkdir(parents=True)
    clock = [100.0]
    monkeypatch.setattr("resformer.workers.event_log.time.monotonic", lambda: clock[0])
    write = EventWriter(study, 1).write
    for seconds in (0.0, 0.5, 1.0, 1.0, 0.1):
        clock[0] += seconds
        write(Event("progress", 0, "a", PROGRESS))
    assert len(events_of(study, 1)) == 2


def test_events_that_the_disk_refuses_are_lost(study: Study) -> None:
    study.path.mkdir(parents=True)
    (study.path / "told").write_text("in the way")
    EventWriter(study, 1).write(Event("started", 0, "a"))
    assert events_of(study, 1) == []


def test_events_go_through_no_link(study: Study, tmp_path: Path) -> None:
    """A study from elsewhere may have its folder of logs in another's home."""
    study.path.mkdir(parents=True)
    (tmp_path / "private").mkdir()
    (study.path / "told").symlink_to(tmp_path / "private")
    EventWriter(study, 1).write(Event("started", 0, "a"))
    assert list((tmp_path / "private").iterdir()) == []


def test_a_host_whose_name_is_a_path_logs_in_the_study(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = replace(claims.holder(), host="../../x")
    monkeypatch.setattr(claims, "holder", lambda: me)
    study.path.mkdir(parents=True)
    EventWriter(study, 1).write(Event("started", 0, "a"))
    assert [path.name for path in study.events.iterdir()] == [f"1-{me.file_name}.jsonl"]
