"""Small sweeps for real: their results, and the order and number of their workers' jobs."""

import multiprocessing
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from support import shapes
from support.launches import local, planned, record_of, run

from resformer.model.shape import Shape
from resformer.numerics.process import configure_worker
from resformer.plan import jobs
from resformer.store.claims import Claim, HeartbeatObserver, take
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.training.loop import Training
from resformer.workers.events import Event

pytestmark = pytest.mark.sweep


def test_the_bits_of_a_sweep_are_those_of_each_job_alone(
    study: Study, shape: Shape, tmp_path: Path
) -> None:
    configure_worker()
    long = shapes.changed(shape, steps=40, stop_when_solved=False)
    plan = planned(study, [shape, long], seeds=3, engine=local(stack=2))
    events: list[Event] = []
    run(plan, events.append)

    assert len(plan.jobs) == 6
    assert study.results.finished(plan.jobs) == set(plan.jobs)
    assert Counter(event.job for event in events if event.kind == "finished") == Counter(plan.jobs)
    assert {event.kind for event in events} - {"waiting", "elsewhere"} == {
        "started",
        "progress",
        "finished",
    }
    assert {event.worker for event in events} == {0, 1}
    assert not multiprocessing.active_children()
    assert launch.plan(plan.request, study).unfinished == {}

    alone = Study(tmp_path / "alone" / "some")
    alone.launch({}, [])
    for job in plan.new:
        trained = Training(job.shape, job.members).run()
        claim = take(alone.job(job.id), 1, 0, HeartbeatObserver(60.0))
        assert isinstance(claim, Claim)
        alone.results.commit(
            claim, {"runs": trained.runs, "curves": trained.curves}, trained.timing
        )
        for name in ("runs.parquet", "curves.parquet"):
            assert (study.job(job.id) / "attempt-1" / name).read_bytes() == (
                claim.folder / name
            ).read_bytes()
        assert jobs.from_json(record_of(study.job(job.id) / "job.json")) == job


def test_the_longest_job_is_first(study: Study, shape: Shape) -> None:
    by_steps = [shape, *(shapes.changed(shape, steps=steps) for steps in (80, 40))]
    plan = planned(study, by_steps, engine=local(stack=4))
    order: list[str] = []
    run(plan, lambda event: order.append(event.job) if event.kind == "started" else None, workers=1)
    assert [study.planned()[job]["shape"]["train"]["steps"] for job in order] == [80, 40, 20]
    assert list(study.planned()) == order


def test_there_are_no_more_workers_than_jobs() -> None:
    engine = local(workers=None)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert engine.count(["job"] * 1000, "cpu") == cores
    assert engine.count(["job"] * 1000, "cuda") == 1
    assert engine.count(["job"], "cpu") == 1
    assert replace(engine, workers=3).count(["job"] * 2, "cpu") == 2
    assert replace(engine, workers=3).count(["job"] * 9, "cuda") == 3
