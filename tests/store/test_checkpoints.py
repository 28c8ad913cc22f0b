"""Checkpoints on disk: whole or none, the one furthest on, gone when the job has its result."""

import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support.launches import record_of

from resformer.errors import DiskError
from resformer.store import checkpoints, files
from resformer.store.checkpoints import Checkpoint, best_first, save
from resformer.store.claims import Claim
from resformer.store.study import Study
from resformer.store.tables import TableData


@pytest.fixture
def job(tmp_path: Path) -> Path:
    job = tmp_path / "jobs" / "ab" / "abcd"
    job.mkdir(parents=True)
    return job


def attempt(job: Path, number: int) -> Claim:
    (job / f"claim-{number}").write_bytes(b"")
    return Claim(job, number, counter_at=0, beat_seconds=1.0, last_beat=0.0)


def checkpoint(step: int, arrays: bytes = b"arrays") -> Checkpoint:
    return Checkpoint(step, arrays, {"rows": [0, 1]})


def test_a_checkpoint_comes_back_to_its_attempt_and_the_next(job: Path) -> None:
    first = attempt(job, 1)
    save(first, checkpoint(7))
    assert next(best_first(job), None) == checkpoint(7)
    assert next(best_first(job), None) == checkpoint(7)


def test_the_last_checkpoint_of_an_attempt_is_kept(job: Path) -> None:
    first = attempt(job, 1)
    for step in (0, 9, 10, 100):
        save(first, checkpoint(step))
    assert sorted(os.listdir(first.folder)) == ["checkpoint-100.json", "checkpoint-100.safetensors"]
    save(first, checkpoint(100, b"the same step again"))
    assert next(best_first(job), None) == checkpoint(100, b"the same step again")


def test_the_checkpoint_furthest_on_counts_whichever_attempt_made_it(job: Path) -> None:
    for number, step in ((1, 40), (2, 90), (3, 9)):
        save(attempt(job, number), checkpoint(step))
    attempt(job, 4).open()
    assert next(best_first(job), None) == checkpoint(90)


def no_json(path: Path) -> None:
    path.unlink()


def no_arrays(path: Path) -> None:
    path.with_suffix(".safetensors").unlink()


def torn(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def other_arrays(path: Path) -> None:
    path.with_suffix(".safetensors").write_bytes(b"arrayz")


def other_job(path: Path) -> None:
    reseal(path, job="abce")


def no_facts(path: Path) -> None:
    reseal(path, facts=None)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def reseal(path: Path, **changes: object) -> None:
    path.write_bytes(files.with_checksum({**record_of(path), **changes}))


@pytest.mark.parametrize(
    "harm", [no_json, no_arrays, torn, other_arrays, other_job, no_facts, folder]
)
def test_a_damaged_checkpoint_gives_way_to_the_next_best(
    job: Path, harm: Callable[[Path], None]
) -> None:
    save(attempt(job, 1), checkpoint(40))
    save(attempt(job, 2), checkpoint(90))
    harm(job / "attempt-2" / "checkpoint-90.json")
    assert next(best_first(job), None) == checkpoint(40)


def test_no_cut_and_no_flipped_bit_of_a_checkpoint_passes(job: Path) -> None:
    save(attempt(job, 1), checkpoint(40))
    draw = random.Random(0)
    for path in sorted((job / "attempt-1").iterdir()):
        whole = path.read_bytes()
        for size in range(len(whole)):
            path.write_bytes(whole[:size])
            # The line's end is no part of what is said.
            assert next(best_first(job), None) is None or whole[size:] == b"\n"
        for _ in range(300):
            bad, bit = bytearray(whole), draw.randrange(8 * len(whole) - 8)
            bad[bit // 8] ^= 1 << bit % 8
            path.write_bytes(bad)
            assert next(best_first(job), None) is None
        path.write_bytes(whole)


def test_a_committed_job_keeps_no_checkpoint_and_nothing_half_written(job: Path) -> None:
    study = Study(job.parents[2])
    first, second = attempt(job, 1), attempt(job, 2)
    save(first, checkpoint(40))
    save(second, checkpoint(90))
    (first.folder / f".checkpoint-50.safetensors.{'0' * 32}.tmp").write_bytes(b"half")
    assert study.results.commit(second, {"runs": {"seed": [0]}}, {"seconds": 1.0})
    assert os.listdir(first.folder) == []
    assert sorted(os.listdir(second.folder)) == ["runs.parquet", "timing.json"]


def test_a_commit_may_leave_the_checkpoint_of_its_own_attempt(job: Path) -> None:
    study = Study(job.parents[2])
    first, second = attempt(job, 1), attempt(job, 2)
    assert not checkpoints.exist(job)
    save(first, checkpoint(90))
    save(second, checkpoint(90))
    assert checkpoints.exist(job)
    tables: dict[str, TableData] = {"runs": {"seed": [0]}}
    assert study.results.commit(second, tables, {"seconds": 1.0}, checkpoint=90)
    assert os.listdir(first.folder) == []
    assert next(best_first(job)) == checkpoint(90)
    (second.folder / "checkpoint-90.json").unlink()
    assert not checkpoints.exist(job)


def test_a_checkpoint_that_cannot_be_removed_does_not_matter(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = attempt(job, 1)
    save(first, checkpoint(40))

    def refused(folder: Path) -> list[str]:
        raise DiskError("on purpose")

    monkeypatch.setattr(files, "names", refused)
    save(first, checkpoint(50))
    checkpoints.discard(first)
    assert len(os.listdir(first.folder)) == 4


def test_only_checkpoints_of_attempts_are_removed(job: Path, tmp_path: Path) -> None:
    """A folder from somebody else may hold a link to a folder of this user."""
    mine = tmp_path / "mine"
    names = ("checkpoint-7.json", "checkpoint-7.safetensors", "checkpoint-7.pt", ".checkpoint-x")
    first = attempt(job, 1)
    save(first, checkpoint(7))
    for folder in (mine, first.folder):
        folder.mkdir(exist_ok=True)
        for name in names[2:]:
            (folder / name).write_text("mine")
    for name in names[:2]:
        (mine / name).write_bytes((first.folder / name).read_bytes())
    second = attempt(job, 2)
    second.folder.symlink_to(mine)
    checkpoints.discard(attempt(job, 3))
    assert sorted(os.listdir(mine)) == sorted(names)
    assert sorted(os.listdir(first.folder)) == sorted(names[2:])
    assert not checkpoints.exist(job)
    assert next(best_first(job), None) is None
    with pytest.raises(DiskError, match="is in the way, and no folder"):
        save(second, checkpoint(9))
