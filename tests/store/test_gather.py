"""Results gathered into one file: read as before, wherever it stops, and never while somebody
works.
"""

import dataclasses
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.launches import record_of
from support.sweeps import SMALL
from typer.testing import Result

import resformer as library
from resformer import config
from resformer.errors import DiskError, UserError
from resformer.store import claims, files
from resformer.store.checks import Damaged
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.packed import file
from resformer.store.packed.gather import Gathered, gather
from resformer.store.packed.result_files import PackedFiles, packed_files
from resformer.store.results import Results, file_facts
from resformer.store.study import Study
from resformer.sweep import launch

pytestmark = pytest.mark.sweep

Resformer = Callable[..., Result]


REMOVED = (
    "resformer: the last checkpoints of 4 jobs are removed: with more train.steps these train "
    "again from the start\n"
)


@pytest.fixture
def study(results: Path) -> Study:
    """A study of four jobs that has run."""
    return Study(results / "small")


def everything(study: Study) -> dict[str, object]:
    """Every file of every job as readers see it, and what a report and the library make of it."""
    shutil.rmtree(study.path / ".cache", ignore_errors=True)
    bytes_of = {job: study.results.read(job) for job in study.planned()}
    curves, runs = (
        read("small", results=study.path.parent) for read in (library.curves, library.runs)
    )
    report = library.report("small", results=study.path.parent)
    return {**bytes_of, "report": report, "runs": runs.to_csv(), "curves": curves.to_csv()}


def pack(path: Path, **jobs: dict[str, bytes]) -> None:
    """Write a packed file of these jobs' files."""
    with file.writer(path) as packed:
        for job, contents in jobs.items():
            packed.add(job, 1, contents)


def left(study: Study) -> set[str]:
    """Names in the folders of jobs."""
    return {path.name for path in study.path.glob("jobs/*/*/*")}


def test_gathered_results_are_read_as_before(study: Study) -> None:
    before = everything(study)
    gathered = gather(study)
    assert gathered == Gathered(study.path / "gathered-1.parquet", 4, 4, [], [], 4)
    assert left(study) == {"result.json"}
    assert all(isinstance(study.results.locate(job), PackedFiles) for job in study.planned())
    assert everything(study) == before
    for planned in study.planned().values():
        study.results.whole(planned)
    assert gather(study) == Gathered(study.path / "gathered-1.parquet", 4, 0, [], [], 0)


def test_results_in_a_folder_whose_name_is_no_text_are_gathered(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff") / "gathered-1.parquet"
    path.parent.mkdir()
    pack(path, job1={"runs.parquet": b"1"})
    assert file.at(path).jobs["job1"].content("runs.parquet") == b"1"


def test_the_command_gathers_old_and_new_results(study: Study, resformer: Resformer) -> None:
    result = resformer("gather", "small")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"results/small/gathered-1.parquet: 4 jobs, 4 of them new\n{REMOVED}"
    result = resformer("sweep", *SMALL)
    assert result.exit_code == 0
    assert "16 members, all finished" in result.stderr
    more = [word.replace("seed=0,1", "seed=range(0,3)") for word in SMALL]
    result = resformer("sweep", *more)
    assert "24 members (16 finished before), 4 jobs to run" in result.stderr
    before = everything(study)
    result = resformer("gather", "small")
    assert result.stderr == f"results/small/gathered-2.parquet: 8 jobs, 4 of them new\n{REMOVED}"
    assert [path.name for path in study.path.glob("gathered-*")] == ["gathered-2.parquet"]
    assert everything(study) == before


def test_the_same_sweep_reads_what_was_gathered_once(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the order of the plan. In that of the request, which goes back and forth between the
    groups, each would be read for every job.
    """
    gather(study, group_rows=2)
    read, group = [], pq.ParquetFile.read_row_group

    def counted(file: pq.ParquetFile, number: int, names: list[str], **given: Any) -> pa.Table:
        read.append((number, *names))
        return group(file, number, names, **given)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counted)
    assert launch.plan(config.request("small", SMALL[2:]), study).unfinished == {}
    assert {number for number, _ in read} == {0, 1}
    assert sorted(read) == sorted(set(read))


def test_a_job_that_is_open_again_keeps_its_folder(study: Study) -> None:
    """Its result was gathered, found damaged, and is being made again."""
    gather(study)
    job = next(iter(study.planned()))
    study.results.quarantine(study.results.path(job), "a bit")
    claim = claims.take(study.job(job), 1, 0, HeartbeatObserver(60.0))
    assert isinstance(claim, Claim)
    claim.open()
    (claim.folder / "checkpoint-4000.json").write_text("{}")
    claim.leave()
    (study.path / "told").mkdir()
    assert gather(study) == Gathered(study.path / "gathered-1.parquet", 3, 0, [], [], 0)
    assert (claim.folder / "checkpoint-4000.json").exists()
    assert (study.path / "told").exists()  # a sweep that goes on listens there


def test_a_large_sweep_says_how_to_gather_it(
    study: Study, resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("resformer.cli.MANY_JOBS", 4)
    result = resformer("sweep", *SMALL)
    hint = "resformer: 4 jobs have a folder each; resformer gather small makes it one file"
    assert result.stderr.splitlines()[-1] == hint
    assert resformer("gather", "small").exit_code == 0
    assert "gather" not in resformer("sweep", *SMALL).stderr


def test_a_study_without_results_has_nothing_to_gather(study: Study, resformer: Resformer) -> None:
    for path in study.path.glob("jobs/*/*/result.json"):
        path.unlink()
    shutil.rmtree(study.path / "done")
    result = resformer("gather", "small")
    assert (result.exit_code, result.stdout) == (2, "")
    assert (
        result.stderr
        == "resformer: study small: no job is finished, so there is nothing to gather\n"
    )
    result = resformer("gather", "other")
    assert result.exit_code == 2


def test_gather_refuses_while_a_claim_lives(study: Study) -> None:
    job = next(iter(study.planned()))
    shutil.rmtree(study.job(job))
    shutil.rmtree(study.path / "done")
    claim = claims.take(study.job(job), 1, 0, HeartbeatObserver(60.0))
    assert isinstance(claim, Claim)
    names = left(study)
    with pytest.raises(UserError, match=f"works on job {job}; stop it or wait, then gather"):
        gather(study)
    assert left(study) == names
    claim.leave()
    assert gather(study).jobs == 3
    assert study.job(job).exists()


@pytest.mark.parametrize("silent", [False, True])
def test_a_holder_on_another_machine_lives_until_it_was_silent_for_a_lease(
    study: Study, silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = next(iter(study.planned()))
    shutil.rmtree(study.job(job))
    shutil.rmtree(study.path / "done")
    claims.take(study.job(job), 1, 0, HeartbeatObserver(60.0))
    monkeypatch.setattr(
        claims, "holder", lambda: claims.Holder("other", "boot", "namespace", 1, "1")
    )
    if silent:
        monkeypatch.setattr("time.time", lambda: 4e9)
        assert gather(study).jobs == 3
    else:
        with pytest.raises(UserError, match="works on job"):
            gather(study)


class Killed(BaseException):
    pass


@pytest.mark.parametrize(
    ("where", "after"),
    [("publish", 0), *((where, after) for where in ("remove", "tidy") for after in range(3))],
)
def test_gather_killed_anywhere_loses_nothing_and_goes_on(
    study: Study, where: str, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(study)
    module, name = {
        "publish": (files, "publish"),
        "remove": (Path, "unlink"),
        "tidy": (shutil, "rmtree"),
    }[where]
    whole, calls = getattr(module, name), 0

    def killed(*given: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise Killed
        return whole(*given, **named)

    with monkeypatch.context() as patched:
        patched.setattr(module, name, killed)
        with pytest.raises(Killed):
            gather(study)
        assert calls == after + 1
    assert everything(study) == before
    assert gather(study).jobs == 4
    assert left(study) == {"result.json"}
    assert everything(study) == before


def test_readers_during_a_gather_find_each_result_in_one_place_or_the_other(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = next(iter(study.planned()))
    whole, source = study.results.read(job), study.results.locate(job)
    gather(study)
    given, locate = [source], Results.locate
    monkeypatch.setattr(
        Results, "locate", lambda self, job: given.pop() if given else locate(self, job)
    )
    assert study.results.read(job) == whole
    assert given == []


def test_two_gathers_at_once_lose_nothing(study: Study) -> None:
    """The second publishes after the first has tidied up."""
    before, publish = everything(study), files.publish

    def second_first(beside: Path, path: Path) -> bool:
        if not packed_files(study.path):
            files.publish = publish
            gather(study)
        return publish(beside, path)

    files.publish = second_first
    try:
        assert gather(study).jobs == 4
    finally:
        files.publish = publish
    assert len(packed_files(study.path)) == 2
    assert everything(study) == before
    assert gather(study).new == 0
    assert len(packed_files(study.path)) == 1
    assert everything(study) == before


def test_a_damaged_result_stays_where_it_is_and_may_be_run_again(
    study: Study, resformer: Resformer
) -> None:
    before, job = everything(study), next(iter(study.planned()))
    table = study.job(job) / "attempt-1" / "runs.parquet"
    table.write_bytes(b"")
    result = resformer("gather", "small")
    where = table.relative_to(study.path.parent.parent)
    assert result.stderr.splitlines()[0] == f"left out: {where}: not the bytes that were committed"
    assert table.exists()
    assert gather(study).jobs == 3
    assert resformer("sweep", *SMALL).exit_code == 0
    assert gather(study) == Gathered(study.path / "gathered-3.parquet", 4, 1, [], [], 1)
    after = everything(study)
    assert all(after[other] == before[other] for other in study.planned() if other != job)
    assert after["curves"] == before["curves"]


def test_every_flipped_bit_is_harmless_or_named_and_what_it_hit_runs_again(
    study: Study, resformer: Resformer
) -> None:
    gather(study)
    (path,) = packed_files(study.path)
    whole, chance = path.read_bytes(), random.Random(0)
    before = {job: study.results.read(job) for job in study.planned()}
    named: list[str] = []
    # Any, and of the footer, where one may change how many rows there seem to be, or contradict
    # the rest so that Arrow would abort; its length and, in part, the hash before it.
    size = int.from_bytes(whole[-8:-4], "little") + 8
    bits = [chance.randrange(8 * len(whole)) for _ in range(150)]
    bits += [8 * len(whole) - chance.randrange(8 * size) - 1 for _ in range(300)]
    bits += range(8 * len(whole) - 64, 8 * len(whole))
    bits += [8 * (len(whole) - size) - chance.randrange(8 * 39) - 1 for _ in range(40)]
    for bit in bits:
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        for job, was in before.items():
            try:
                assert study.results.read(job) == was
            except Damaged as damage:
                named.append(str(damage))
    assert len(named) > 4 * 300
    assert all(str(path) in reason for reason in named)
    path.write_bytes(whole[: len(whole) // 2])
    result = resformer("sweep", *SMALL)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("damaged, runs again: ") == 4
    after = {job: study.results.read(job) for job in study.planned()}
    for job, was in before.items():
        timing = was.contents["timing.json"]
        assert {**after[job].contents, "timing.json": timing} == was.contents


def test_packed_files_of_earlier_versions_have_no_hash_of_their_footer(study: Study) -> None:
    before = everything(study)
    gather(study)
    (path,) = packed_files(study.path)
    whole = path.read_bytes()
    hashed = whole.index(b"sha256:", len(whole) - 5000)
    path.write_bytes(whole[:hashed] + whole[hashed + len(b"sha256:") + 32 :])
    assert everything(study) == before
    footer = hashed + len(b"sha256:") + 32
    path.write_bytes(whole[:footer] + b"?" + whole[footer + 1 :])
    with pytest.raises(Damaged, match="its footer has another hash"):
        study.results.read(next(iter(study.planned())))


def test_a_disk_that_is_gone_is_no_damage(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    gather(study)
    job = next(iter(study.planned()))
    monkeypatch.setattr(
        file, "opened", lambda path: (_ for _ in ()).throw(DiskError(f"{path}: cannot be read"))
    )
    with pytest.raises(DiskError):
        study.results.read(job)


def test_a_file_that_unfolds_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "gathered-1.parquet"
    pack(path, job1={"runs.parquet": b"\0" * (16 << 20)})
    with pytest.raises(Damaged, match="unfolds to too much"):
        file.at(path).jobs["job1"].content("runs.parquet")


THREADS = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from resformer.store.packed import file

path = Path(sys.argv[1])
names = ["result.json", "runs.parquet", "timing.json"]
with file.writer(path, group_rows=5) as packed:
    for n in range(2000):
        packed.add(f"job{n}", 1, {name: f"{n} {name}".encode() * 50 for name in names})
packed = file.at(path)

def read(part):
    return all(
        packed.jobs[f"job{n}"].content(name) == f"{n} {name}".encode() * 50
        for n in range(part, 2000, 4)
        for name in names
    )

with ThreadPoolExecutor(4) as pool:
    print(list(pool.map(read, range(4))))
"""


def test_threads_may_read_a_gathered_file_at_once(tmp_path: Path) -> None:
    """A report does; Arrow's reader alone hangs."""
    command = [sys.executable, "-c", THREADS, str(tmp_path / "gathered-1.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[True, True, True, True]\n"


def test_a_file_that_a_gathered_job_has_not_or_that_is_gone_is_not_found(tmp_path: Path) -> None:
    path = tmp_path / "gathered-1.parquet"
    pack(path, job1={"runs.parquet": b"1"}, job2={"layers.parquet": b"2"})
    jobs = file.at(path).jobs
    assert jobs["job2"].content("layers.parquet") == b"2"
    for name in ("layers.parquet", "nothing.parquet"):
        with pytest.raises(FileNotFoundError, match="has no"):
            jobs["job1"].content(name)
    with pytest.raises(Damaged, match=r"runs\.parquet has too few rows"):
        dataclasses.replace(jobs["job1"], row=2).content("runs.parquet")
    path.unlink()
    assert file.opened(path) is None
    with pytest.raises(DiskError, match="is gone"):
        file.at(path)
    with pytest.raises(FileNotFoundError):
        file.PackedFile(path, ())


def test_a_file_that_goes_while_it_is_opened_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another gather has put a new one in its place."""
    path = tmp_path / "gathered-1.parquet"
    pack(path, job1={"runs.parquet": b"1"})
    whole = file.PackedFile

    def too_late(*given: Any) -> file.PackedFile:
        path.unlink()
        return whole(*given)

    monkeypatch.setattr(file, "PackedFile", too_late)
    assert file.opened(path) is None


@pytest.mark.parametrize(
    "columns", [{"job": ["a"]}, {"job": ["a"], "number": [1], "result.json": [3.5]}, {"x": [1]}]
)
def test_a_table_of_something_else_is_corrupt(
    tmp_path: Path, columns: dict[str, list[object]]
) -> None:
    path = tmp_path / "gathered-1.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(Damaged):
        file.at(path).jobs["a"].content("result.json")


def test_a_full_disk_is_said_and_nothing_is_lost(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(study)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(DiskError, match="cannot be written"):
            gather(study)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)
    assert packed_files(study.path) == []
    assert not list(study.path.glob(".*.tmp"))
    assert everything(study) == before


def test_a_file_that_no_job_has_stays_with_its_job(study: Study) -> None:
    job = next(iter(study.planned()))
    before = study.results.read(job)
    result = record_of(study.job(job) / "result.json")
    (study.job(job) / f"attempt-{before.attempt}" / "more.bin").write_bytes(b"more")
    result["files"]["more.bin"] = file_facts(b"more")
    (study.job(job) / "result.json").write_bytes(files.with_checksum(result))
    summary = gather(study)
    assert summary.jobs == 3
    assert summary.left_out == [f"{study.job(job)}: has more.bin, which is no file of a job"]
    after = study.results.read(job)
    assert after.contents == {**before.contents, "more.bin": b"more"}


def test_a_disk_that_cannot_be_read_stops_a_gather(study: Study) -> None:
    job = next(iter(study.planned()))
    path = study.job(job) / "attempt-1" / "runs.parquet"
    path.unlink()
    path.mkdir()
    with pytest.raises(DiskError, match="cannot be read"):
        gather(study)
    assert packed_files(study.path) == []


def test_a_study_that_is_deleted_has_no_gathered_files(study: Study) -> None:
    gather(study)
    job = next(iter(study.planned()))
    shutil.rmtree(study.path)
    with pytest.raises(Damaged):
        study.results.read(job)


def bytes_in(folder: Path) -> dict[str, bytes]:
    """Every file in a folder, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def copy(study: Study) -> Study:
    """A study of the same jobs beside it, as another person can make it: ids are of settings."""
    shutil.copytree(study.path, study.path.with_name("copy"))
    return Study(study.path.with_name("copy"))


@pytest.mark.parametrize("levels", [1, 2], ids=["the job", "its shelf"])
def test_nothing_is_removed_behind_a_link(
    study: Study, copy: Study, levels: int, resformer: Resformer
) -> None:
    """An archive of a study may hold links to the jobs of another one."""
    jobs = [copy.job(job) for job in sorted(copy.planned())]
    place = [jobs[0], *jobs[0].parents][levels - 1]
    shutil.rmtree(place)
    place.symlink_to(study.path / place.relative_to(copy.path))
    before = bytes_in(study.path)
    result = resformer("gather", "copy")
    assert result.exit_code == 0, result.stderr
    assert "4 jobs, 4 of them new" in result.stderr
    assert f"such as {jobs[0].relative_to(study.path.parent.parent)}" in result.stderr
    assert bytes_in(study.path) == before
    assert {
        path.name for job in jobs[1:] if not files.linked(job, 1) for path in job.iterdir()
    } == {"result.json"}
    assert study.results.whole(study.planned()[jobs[0].name])


@pytest.mark.parametrize("place", ["", "jobs"])
def test_a_study_behind_a_link_is_not_gathered(
    study: Study, copy: Study, place: str, resformer: Resformer
) -> None:
    shutil.rmtree(copy.path / place)
    (copy.path / place).symlink_to(study.path / place)
    before = bytes_in(study.path)
    result = resformer("gather", "copy")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("resformer: study copy: its folder, or jobs in it, is a link")
    assert bytes_in(study.path) == before


def test_a_link_in_place_of_an_attempt_stays_and_what_it_leads_to(
    study: Study, tmp_path: Path
) -> None:
    job = study.job(min(study.planned()))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "checkpoint-5.json").write_text("mine")
    (job / "attempt-7").symlink_to(tmp_path / "mine")
    assert gather(study).kept == [job]
    assert bytes_in(tmp_path / "mine") == {"checkpoint-5.json": b"mine"}


def test_a_pipe_in_place_of_a_folder_stops_nothing(study: Study) -> None:
    """To open one waits for a writer."""
    job = study.job(min(study.planned()))
    os.mkfifo(job / "attempt-7")
    os.mkfifo(study.path / "told")
    os.mkfifo(study.cache)
    assert gather(study).kept == [job]


def test_a_job_in_a_packed_file_that_no_plan_knows_is_no_path(study: Study, tmp_path: Path) -> None:
    gather(study)
    packed = file.at(study.path / "gathered-1.parquet")
    jobs = {
        job: {name: place.content(name) for name in ("result.json", "job.json", "runs.parquet")}
        for job, place in packed.jobs.items()
    }
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "job.json").write_text("mine")
    away = "../../mine"
    assert study.job(away).resolve() == tmp_path / "mine"
    pack(study.path / "gathered-1.parquet", **jobs, **{away: jobs[min(jobs)]})
    assert gather(study).jobs == 4
    assert bytes_in(tmp_path / "mine") == {"job.json": b"mine"}


def test_folders_that_cannot_be_emptied_are_said(
    study: Study, resformer: Resformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    remove = shutil.rmtree

    def refused(path: Path, ignore_errors: bool) -> None:
        if "attempt" not in path.name:
            remove(path, ignore_errors=ignore_errors)

    monkeypatch.setattr(shutil, "rmtree", refused)
    first = study.job(min(study.planned())).relative_to(study.path.parent.parent)
    assert resformer("gather", "small").stderr.splitlines()[1:] == [
        "resformer: 4 folders of jobs could not be emptied, as links or another user's, such as "
        f"{first}"
    ]
    assert left(study) == {"result.json", "attempt-1"}


def test_a_disk_without_room_for_one_more_file_takes_the_packed_one_for_the_cache(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    library.runs("small", results=study.path.parent)
    assert study.cache.exists()
    writer = file.writer

    def watched(path: Path, group_rows: int) -> Any:
        assert not study.cache.exists()
        return writer(path, group_rows)

    monkeypatch.setattr(file, "writer", watched)
    assert gather(study).new == 4
