"""A disk that is broken, a folder in which something else stands than should: one line, and what
was there stays.
"""

import errno
import io
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.jobs import claim, commit, planned_job
from support.sweeps import SMALL
from typer.testing import Result

from lib.faults.folders import committed
from resformer.errors import DiskError, UserError
from resformer.store import claims, files, folder
from resformer.store.checks import Damaged, Unreadable
from resformer.store.study import Study, existing, find


def broken(monkeypatch: pytest.MonkeyPatch, call: str, part: str, code: int = errno.EIO) -> None:
    """From now on this call of the system fails for paths with this part."""
    honest = getattr(os, call)

    def failing(path: Any, *rest: Any, **more: Any) -> Any:
        if part in str(path):
            raise OSError(code, os.strerror(code), str(path))
        return honest(path, *rest, **more)

    monkeypatch.setattr(os, call, failing)


@pytest.mark.parametrize(
    ("call", "ask"),
    [
        ("open", files.content),
        ("lstat", files.exists),
        ("listdir", lambda path: files.names(path.parent)),
    ],
    ids=["content", "existence", "names"],
)
def test_an_unreadable_path_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, ask: Callable[[Path], object]
) -> None:
    (tmp_path / "there").write_bytes(b"x")
    broken(monkeypatch, call, str(tmp_path))
    with pytest.raises(DiskError, match=rf"{tmp_path}.*: cannot be read: Input/output error"):
        ask(tmp_path / "there")


@pytest.mark.parametrize("put", [files.create, files.write, files.append])
def test_a_file_that_cannot_be_written_is_named_with_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, put: Callable[[Path, bytes], object]
) -> None:
    broken(monkeypatch, "open", "new", errno.ENOSPC)
    with pytest.raises(
        DiskError, match=r"new: cannot be written \(12,345 bytes\): No space left on device"
    ):
        put(tmp_path / "new", b"x" * 12_345)
    assert os.listdir(tmp_path) == []


def test_a_pipe_is_refused_as_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DiskError, match="is no regular file"):
        files.content(tmp_path / "pipe")


@pytest.mark.parametrize("content", ["a file", "a link"])
def test_no_folder_is_made_where_something_else_is(tmp_path: Path, content: str) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    if content == "a link":
        (tmp_path / "jobs").symlink_to(outside)
    else:
        (tmp_path / "jobs").write_bytes(b"mine")
    with pytest.raises(DiskError, match="jobs: is in the way, and no folder"):
        claims.take(tmp_path / "jobs" / "ab" / "abcd", 1, 0, claims.HeartbeatObserver(60.0))
    assert os.listdir(outside) == []


def test_a_results_folder_that_cannot_be_made_or_marked_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"mine")
    with pytest.raises(
        UserError, match=r"--results .*file/results: cannot be made: Not a directory"
    ):
        folder.make(tmp_path / "file" / "results")
    with pytest.raises(UserError, match=r"--results w+.*: File name too long"):
        find(Path("w" * 300), "some")
    broken(monkeypatch, "open", folder.MARK, errno.EROFS)
    with pytest.raises(
        UserError, match=r"--results .*cannot be written \(44 bytes\): Read-only file system"
    ):
        folder.make(tmp_path / "results")


@pytest.mark.parametrize(
    ("call", "code", "lacks"),
    [
        ("link", errno.EPERM, r"no hard links, .* \(Operation not permitted\)"),
        ("link", errno.EOPNOTSUPP, "no hard links"),
        ("fsync", errno.EINVAL, r"no fsync of folders, .* \(Invalid argument\)"),
    ],
)
def test_what_a_file_system_lacks_is_said_and_nothing_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, code: int, lacks: str
) -> None:
    """FUSE, SMB and the like."""
    fsync = os.fsync

    def lacking(target: Any, *rest: Any) -> None:
        if call == "fsync" and not stat.S_ISDIR(os.fstat(target).st_mode):
            return fsync(target)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, call, lacking)
    with pytest.raises(
        UserError, match=f"--results .*: its file system has {lacks}.*; name another folder"
    ):
        folder.make(tmp_path / "some" / "results")
    assert os.listdir(tmp_path) == []


def test_claims_work_on_a_system_that_hides_namespaces(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def nowhere(path: Path) -> Path:
        raise FileNotFoundError

    monkeypatch.setattr(Path, "readlink", nowhere)
    claims.process_holder.cache_clear()
    assert claims.holder().namespace == ""
    assert isinstance(
        claims.take(tmp_path / "jobs" / "ab" / "abcd", 1, 0, claims.HeartbeatObserver(60.0)),
        claims.Claim,
    )
    claims.process_holder.cache_clear()


def test_an_unreadable_result_may_be_whole_and_is_not_replaced(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.launch({}, [planned_job("job1")])
    commit(study, "job1")
    for part in ("result.json", "runs.parquet"):
        with monkeypatch.context() as disk:
            broken(disk, "open", part)
            with pytest.raises(Unreadable, match=rf"{part}: cannot be read: Input/output error"):
                study.results.read("job1")
    claim_of(study).begin(planned_job("job1"))
    broken(monkeypatch, "open", "job.json")
    with pytest.raises(Unreadable, match=r"job\.json"):
        study.results.whole(planned_job("job1"))


@pytest.mark.sweep
@pytest.mark.parametrize("part", ["result.json", "runs.parquet"])
def test_a_sweep_ends_at_an_unreadable_result(
    results: Path, resformer: Callable[..., Result], monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    broken(monkeypatch, "open", part)
    result = resformer("sweep", *SMALL)
    assert result.exit_code == 1
    assert f"{part}: cannot be read: Input/output error" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def claim_of(study: Study) -> claims.Claim:
    return claims.Claim(study.job("job1"), 1, counter_at=0, beat_seconds=1.0, last_beat=0.0)


def test_a_launch_record_with_the_number_of_another_is_damage(study: Study) -> None:
    study.launch({}, [planned_job("job1")])
    study.launch({}, [])
    (study.path / "launches" / "2.json").write_bytes(
        (study.path / "launches" / "1.json").read_bytes()
    )
    assert list(study.damaged_launches()) == [
        f"{study.path}/launches/2.json: is the record of launch 1"
    ]
    assert [record["launch"] for record in study.launches()] == [1]


def test_a_plan_that_leads_nowhere_is_damage(study: Study) -> None:
    study.launch({}, [planned_job("job1")])
    (study.path / "plan-1.jsonl").unlink()
    (study.path / "plan-1.jsonl").symlink_to("nowhere")
    plan = study.plan()
    assert (plan.jobs, plan.damaged) == ({}, [f"{study.path}/plan-1.jsonl: 0 lines of 1"])
    assert existing(study.path.parent) == [study]


def test_a_launch_that_plans_nothing_is_no_damage(study: Study) -> None:
    study.launch({}, [planned_job("job1")])
    study.launch({}, [])
    assert study.plan().damaged == []


def test_an_unreadable_done_list_loses_no_result(study: Study) -> None:
    study.launch({}, [planned_job("job1")])
    commit(study, "job1")
    (study.path / "done" / "nowhere.jsonl").symlink_to("nowhere")
    (study.path / "done" / "folder.jsonl").mkdir()
    assert study.results.finished(["job1"]) == {"job1"}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"PAR1", "is no table"),
        ("endless", r"unfolds to 100,000,000 rows"),
        ("another", "has other columns"),
    ],
    ids=["no table", "endless", "another"],
)
def test_bytes_whose_hash_fits_and_that_are_no_table_are_damage(
    study: Study, content: bytes | str, reason: str
) -> None:
    study.launch({}, [planned_job("job1")])
    held = claim(study, "job1")
    study.results.commit(
        held, {"runs": {"seed": [1]}, "curves": {"step": [1]}}, {"seconds": 1.0, "stretches": []}
    )
    if content == "endless":
        ones = pa.chunked_array([pa.array([1] * 1_000_000)] * 100)
        buffer = io.BytesIO()
        pq.write_table(pa.table({"step": ones}), buffer, compression="zstd")
        content = buffer.getvalue()
    if isinstance(content, bytes):
        committed(study.job("job1"), "curves.parquet", content)
    with pytest.raises(Damaged, match=rf"attempt-1/curves\.parquet: {reason}"):
        study.results.table("job1", "curves")


@pytest.mark.parametrize("text", [b"", b"[]", b'{"seconds": -1}', b"\xff"])
def test_bytes_whose_hash_fits_and_that_are_no_times_are_damage(study: Study, text: bytes) -> None:
    study.launch({}, [planned_job("job1")])
    commit(study, "job1")
    committed(study.job("job1"), "timing.json", text)
    with pytest.raises(Damaged, match=r"attempt-1/timing\.json"):
        study.results.timing("job1")
