"""A job of three members, and its results where nothing disturbs it."""

from pathlib import Path

import pytest
from support import shapes
from support.worker import Worker, results

from resformer.model.shape import Member, Recording
from resformer.numerics.process import configure_worker
from resformer.plan.jobs import Job
from resformer.store.study import Study


@pytest.fixture(autouse=True)
def _as_in_a_worker() -> None:
    configure_worker()


@pytest.fixture
def job() -> Job:
    """Forty steps; the second member diverges."""
    members = (Member(seed=0, lr=1e-2), Member(seed=1, lr=1e30), Member(seed=2, lr=1e-3))
    return Job(
        shape=shapes.tiny(steps=40, stop_when_solved=False),
        members=members,
        recording=Recording(keep_weights=True),
    )


@pytest.fixture
def undisturbed(tmp_path: Path, job: Job) -> dict[str, bytes]:
    study = Study(tmp_path / "undisturbed" / "some")
    study.path.parent.mkdir()
    assert Worker(study, job).run() == ["started", "finished"]
    contents = results(study, job.id)
    assert set(contents) == {"runs.parquet", "curves.parquet", "weights.safetensors"}
    return contents
