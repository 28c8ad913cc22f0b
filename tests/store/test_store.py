"""The store: files that are whole or absent, launches that share nothing, results that are
committed once.
"""

import hashlib
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from threading import Barrier, Thread
from typing import Any

import pyarrow.parquet as pq
import pytest
from support.jobs import claim, commit, planned_job, table

from resformer.errors import DiskError, UserError
from resformer.store import claims, files, folder
from resformer.store.checks import Damaged
from resformer.store.done import Done
from resformer.store.folder import check_name
from resformer.store.study import Study, existing, find, open_study

RECORD = {"engine": {"retries": 1}}

KILLED_AT_LINK = """
import json, os, signal, sys
from pathlib import Path
from resformer.store.study import Study

link, left = os.link, int(sys.argv[2])

def dying(*names):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    link(*names)

os.link = dying
Study(Path(sys.argv[1])).launch({"who": "killed"}, [json.loads(sys.argv[3])])
"""


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@contextmanager
def full_disk(at: int) -> Iterator[None]:
    """No file can grow beyond `at` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (at, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def flip(path: Path, bit: int) -> None:
    data = bytearray(path.read_bytes())
    data[bit // 8] ^= 1 << bit % 8
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


# --- files


def test_files_create_makes_a_file_once(tmp_path: Path) -> None:
    path = tmp_path / "once"
    assert files.create(path, b"first\0" * 1000)
    assert not files.create(path, b"second")
    assert path.read_bytes() == b"first\0" * 1000
    assert os.listdir(tmp_path) == ["once"]


def test_a_link_whose_reply_was_lost_counts_as_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def unheard(source: Path, target: Path) -> None:
        link(source, target)
        link(source, target)  # the client asks again, and hears that it exists

    monkeypatch.setattr(os, "link", unheard)
    assert files.create(tmp_path / "once", b"mine")
    assert not files.create(tmp_path / "once", b"other")
    assert content(tmp_path) == {"once": b"mine"}


def test_files_write_replaces_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    files.write(path, b"long before")
    files.write(path, b"after")
    assert content(tmp_path) == {"file": b"after"}


@pytest.mark.parametrize("put", [files.create, files.write])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, put: Callable[[Path, bytes], object]
) -> None:
    old = tmp_path / "old"
    old.write_bytes(b"old")
    with full_disk(at=1000):
        for path in (old, tmp_path / "new"):
            with pytest.raises(DiskError, match=r"cannot be written .* bytes\): File too large"):
                put(path, b"x" * 1001)
    assert content(tmp_path) == {"old": b"old"}


def test_no_temporary_file_outlives_an_error(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(IsADirectoryError):
        files.write(tmp_path / "taken", b"data")
    assert not files.create(tmp_path / "taken", b"data")
    assert os.listdir(tmp_path) == ["taken"]


def finished(study: Path) -> None:
    """Make the results of the jobs a, b, c and d, and the folder of the lists."""
    for name in "abcd":
        (study / "jobs" / name / name).mkdir(parents=True)
        (study / "jobs" / name / name / "result.json").touch()
    (study / "done").mkdir()


@pytest.mark.parametrize("tail", [b'{"job": "c', b'{"job": "c"}', b"\0\0\0"])
def test_a_torn_tail_of_a_list_is_ignored_until_it_is_whole(tmp_path: Path, tail: bytes) -> None:
    finished(tmp_path)
    path, done = tmp_path / "done" / "list", Done(tmp_path)
    path.write_bytes(b"".join(files.with_checksum({"job": name}) + b"\n" for name in "ab") + tail)
    assert done.news() == {"a": {"job": "a"}, "b": {"job": "b"}}
    assert done.news() == {}
    path.write_bytes(
        path.read_bytes()[: -len(tail)]
        + files.with_checksum({"job": "c"})
        + b"\n"
        + files.with_checksum({"job": "d"})
    )
    assert done.news() == {"c": {"job": "c"}}


def test_lines_behind_a_torn_line_are_read(tmp_path: Path) -> None:
    finished(tmp_path)
    lines = [files.with_checksum({"job": "a"}), b'{"job":', files.with_checksum({"job": "b"}), b""]
    (tmp_path / "done" / "list").write_bytes(b"\n".join(lines))
    assert list(Done(tmp_path).news()) == ["a", "b"]


def test_a_line_of_a_list_that_is_not_as_it_was_written_is_left_out(tmp_path: Path) -> None:
    finished(tmp_path)
    lines = [files.with_checksum({"job": name, "outcomes": {"solved": 3}}) + b"\n" for name in "ab"]
    (tmp_path / "done" / "list").write_bytes(lines[0].replace(b"3", b"7", 1) + lines[1])
    assert list(Done(tmp_path).news()) == ["b"]


def test_a_line_of_a_list_that_was_sealed_and_is_no_json_is_left_out(tmp_path: Path) -> None:
    finished(tmp_path)
    body = b'{"job": a}'
    strange = body[:-1] + b', "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}'
    assert files.verified_body(strange) == body
    (tmp_path / "done" / "list").write_bytes(
        strange + b"\n" + files.with_checksum({"job": "b"}) + b"\n"
    )
    assert list(Done(tmp_path).news()) == ["b"]


def test_runs_that_were_committed_and_are_no_table_are_damaged(study: Study) -> None:
    study.launch(RECORD, [planned_job("job1")])
    study.results.commit(
        claim(study, "job1"), {}, {"seconds": 1.0, "stretches": []}, {"runs.parquet": b"no table"}
    )
    with pytest.raises(Damaged, match=r"runs\.parquet: is no table"):
        study.results.runs(study.planned()["job1"])


def test_a_damaged_result_is_no_news(study: Study) -> None:
    study.launch(RECORD, [planned_job(name) for name in ("job1", "job2")])
    for name in ("job1", "job2"):
        commit(study, name)
    study.results.quarantine(study.results.path("job1"), "a bit")
    assert list(Done(study.path).news()) == ["job2"]


# --- launches and plans


def test_launches_at_once_share_no_number(study: Study) -> None:
    barrier = Barrier(8)
    numbers: dict[str, int] = {}

    def launch(who: int) -> None:
        barrier.wait()
        for turn in range(3):
            name = f"{who}-{turn}"
            numbers[name] = study.launch({"who": name}, [planned_job(name)])

    threads = [Thread(target=launch, args=(who,)) for who in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(numbers.values()) == list(range(1, 25))
    assert {record["who"]: record["launch"] for record in study.launches()} == numbers
    for name, number in numbers.items():
        assert files.verify_checksum(
            (study.path / f"plan-{number}.jsonl").read_bytes()
        ) == planned_job(name)


def test_planned_keeps_the_order_of_the_plans(study: Study) -> None:
    plans = [[f"{number}-{name}" for name in "zam"] for number in range(11)]
    for names in plans:
        study.launch({}, [planned_job(name) for name in names])
    study.launch({}, [])
    assert list(study.planned()) == [name for names in plans for name in names]
    assert [record["launch"] for record in study.launches()] == list(range(1, 13))


def test_a_damaged_line_of_a_plan_is_named_and_the_others_are_used(study: Study) -> None:
    study.launch(RECORD, [planned_job(name) for name in ("job1", "job2", "job3")])
    path = study.path / "plan-1.jsonl"
    first, second, third = path.read_text().splitlines()
    path.write_text("\n".join((first, second[:-1], third)) + "\n")
    plan = study.plan()
    assert [*plan.jobs] == ["job1", "job3"]
    (damage,) = plan.damaged
    assert damage.startswith(f"{path}: line 2: ")


def test_a_file_among_the_folders_of_jobs_is_an_orphan(study: Study) -> None:
    commit(study, "job1")
    stray = study.path / "jobs" / "stray"
    stray.touch()
    assert list(study.orphans({"job1"})) == [stray]


@pytest.mark.parametrize(
    ("links", "planned", "launched"),
    [(0, [], []), (1, [], []), (2, ["killed"], []), (3, ["killed"], ["killed"])],
    ids=["before the mark", "before the plan", "before the record", "not at all"],
)
def test_a_killed_launch_is_whole_or_absent_and_the_next_one_works(
    study: Study, links: int, planned: list[str], launched: list[str]
) -> None:
    """The plan comes first: no launch is on disk before all its jobs are."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            KILLED_AT_LINK,
            str(study.path),
            str(links),
            json.dumps(planned_job("killed")),
        ],
        check=False,
    )
    assert done.returncode == (-signal.SIGKILL if links < 3 else 0)
    assert list(study.planned()) == planned
    assert [record["who"] for record in study.launches()] == launched

    assert (
        find(study.path.parent, study.name).launch({"who": "next"}, [planned_job("next")])
        == len(planned) + 1
    )
    assert list(study.planned()) == [*planned, "next"]
    assert [record["who"] for record in study.launches()] == [*launched, "next"]
    assert existing(study.path.parent) == [study]


# --- commits


def test_a_commit_is_the_attempt_and_then_the_result(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.launch(RECORD, [planned_job("job1")])
    held = claim(study, "job1")
    seen: dict[str, bytes] = {}
    link = os.link

    def watched(source: Path, target: Path) -> None:
        seen.update(content(held.folder))
        link(source, target)

    monkeypatch.setattr(os, "link", watched)
    assert study.results.commit(held, table(), {"seconds": 1.5, "stretches": []})
    assert seen == content(held.folder)  # all of it was there when the result was linked
    assert set(seen) == {"runs.parquet", "timing.json"}

    result = json.loads((study.job("job1") / "result.json").read_bytes())
    assert result["attempt"] == 1
    for name, data in seen.items():
        assert result["files"][name]["bytes"] == len(data)
        assert result["files"][name]["sha256"] == hashlib.sha256(data).hexdigest()
    assert study.results.finished(["job1", "job2"]) == {"job1"}
    assert study.results.table("job1", "runs")["seed"].tolist() == [0, 1, 2, 3]
    assert study.results.table("job1", "runs", ["loss"]).columns.tolist() == ["loss"]
    assert study.results.timing("job1") == {"seconds": 1.5, "stretches": []}


def test_a_second_commit_changes_nothing(study: Study) -> None:
    study.launch(RECORD, [planned_job("job1")])
    slow = claim(study, "job1")
    slow.fail(RuntimeError("only slow"))
    fast = claim(study, "job1")
    assert study.results.commit(fast, table(), {"seconds": 1.0, "stretches": []})
    own = re.compile("attempt-1|claim-1")
    before = {name: data for name, data in content(study.path).items() if not own.search(name)}

    assert not study.results.commit(slow, table(rows=9), {"seconds": 9.0, "stretches": []})
    assert {
        name: data for name, data in content(study.path).items() if not own.search(name)
    } == before
    assert len(study.results.table("job1", "runs")) == 4
    assert study.results.timing("job1") == {"seconds": 1.0, "stretches": []}


def test_a_commit_that_fails_half_way_is_no_result(study: Study) -> None:
    study.launch(RECORD, [planned_job("job1")])
    held = claim(study, "job1")
    with (
        full_disk(at=2000),
        pytest.raises(DiskError, match=r"cannot be written .* bytes\): File too large"),
    ):
        study.results.commit(held, table(rows=5000), {"seconds": 1.0, "stretches": []})
    assert not study.results.finished(["job1"])
    held.fail(RuntimeError("disk full"))
    commit(study, "job1")
    assert study.results.finished(["job1"]) == {"job1"}


def test_the_done_list_is_only_a_cache(study: Study) -> None:
    study.launch(RECORD, [planned_job(name) for name in ("job1", "job2", "job3")])
    commit(study, "job1")
    commit(study, "job2")
    assert set(Done(study.path).news()) == {"job1", "job2"}
    for path in (study.path / "done").iterdir():
        cut(path)
    assert study.results.finished(study.planned()) == {"job1", "job2"}
    commit(study, "job3")  # appended behind the torn line
    assert study.results.finished(study.planned()) == {"job1", "job2", "job3"}
    shutil.rmtree(study.path / "done")
    assert Done(study.path).news() == {}
    assert study.results.finished(study.planned()) == {"job1", "job2", "job3"}


def test_a_file_that_is_not_read_has_the_size_that_was_committed(study: Study) -> None:
    commit(study, "job1")
    cut(path := study.job("job1") / "attempt-1" / "timing.json")
    with pytest.raises(Damaged, match=re.escape(f"{path}: not the bytes that were committed")):
        study.results.table("job1", "runs")


def test_the_state_of_files_is_none_if_one_is_gone(study: Study) -> None:
    commit(study, "job1")
    source = study.results.locate("job1")
    state = source.state(1, ["runs.parquet"], ["layers.parquet"])
    assert state
    cut(path := study.job("job1") / "attempt-1" / "runs.parquet")
    assert source.state(1, ["runs.parquet"], ["layers.parquet"]) != state
    path.unlink()
    assert source.state(1, ["runs.parquet"], ["layers.parquet"]) == []


@pytest.mark.parametrize("harm", [cut, Path.unlink], ids=["cut", "gone"])
@pytest.mark.parametrize("name", ["attempt-1/runs.parquet", "attempt-1/timing.json", "result.json"])
def test_damage_is_found_and_named(study: Study, name: str, harm: Callable[[Path], object]) -> None:
    commit(study, "job1")
    path = study.job("job1") / name
    harm(path)
    if "timing" not in name:
        with pytest.raises(Damaged, match=re.escape(str(path))):
            study.results.table("job1", "runs")
    if "runs" not in name:
        with pytest.raises(Damaged, match=re.escape(str(path))):
            study.results.timing("job1")


def test_no_flipped_bit_goes_unseen(study: Study) -> None:
    held, draw = commit(study, "job1"), random.Random(0)
    honest = {"seconds": 1.5, "stretches": []}, [0, 1, 2, 3]
    for path in (
        held.folder / "timing.json",
        study.job("job1") / "result.json",
        held.folder / "runs.parquet",
    ):
        data = path.read_bytes()
        for bit in draw.sample(range(8 * len(data)), 100):
            flip(path, bit)
            try:
                seen = (
                    study.results.timing("job1"),
                    study.results.table("job1", "runs")["seed"].tolist(),
                )
            except Damaged:
                seen = None
            # The end of the line is not part of what is said.
            assert seen is None or (
                seen == honest and path.name == "result.json" and bit // 8 == len(data) - 1
            )
            path.write_bytes(data)


@pytest.mark.parametrize(
    "text",
    ["[]", "null", '"x"', "{}", '{"attempt": "1", "files": {}}', '{"attempt": 1, "files": []}'],
)
def test_a_result_that_cannot_be_one_is_damage(study: Study, text: str) -> None:
    commit(study, "job1")
    (study.job("job1") / "result.json").write_text(text)
    with pytest.raises(Damaged, match=r"result\.json"):
        study.results.table("job1", "runs")


def test_flipped_bits_are_seen_by_parquet_itself(study: Study) -> None:
    """A table copied out of the study has no hash beside it, so its pages carry checksums."""
    held = commit(study, "job1", rows=500)
    data = (held.folder / "runs.parquet").read_bytes()
    honest = pq.read_table(BytesIO(data), page_checksum_verification=True)
    draw, unseen = random.Random(0), 0
    for _ in range(200):
        bit = draw.randrange(8 * len(data))
        bad = bytearray(data)
        bad[bit // 8] ^= 1 << bit % 8
        try:
            unseen += not pq.read_table(BytesIO(bad), page_checksum_verification=True).equals(
                honest
            )
        except (OSError, ValueError):
            continue
    assert unseen <= 2


# --- failures


def test_a_failure_ends_the_attempt_with_its_traceback(study: Study) -> None:
    study.launch({"engine": {"retries": 1}}, [planned_job("job1")])
    for attempt in (1, 2):
        held = claim(study, "job1")
        assert study.failure("job1") is None  # it runs
        try:
            raise ArithmeticError("too \udcff much")
        except ArithmeticError as error:
            held.fail(error)
        text = (study.job("job1") / f"attempt-{attempt}" / "error.txt").read_text()
        assert "Traceback" in text
        assert "test_store.py" in text
        assert (study.failure("job1") is None) == (attempt == 1)  # one retry is left
    assert "ArithmeticError: too" in str(study.failure("job1"))
    commit(study, "job1")
    assert study.failure("job1") is None


# --- names and folders


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "../a",
        "/etc",
        ".hidden",
        "-x",
        "a b",
        "a\n",
        "a\0b",
        "x" * 101,
        "ä",
        "a\\b",
        "~",
    ],
)
def test_a_name_that_is_a_path_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError):
        check_name(name)
    with pytest.raises(UserError):
        find(tmp_path / "results", name)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("name", ["a", "depth-lr_2.1", "0", "x" * 100])
def test_a_plain_name_is_taken(name: str) -> None:
    assert check_name(name) == name


def test_a_probe_has_its_place_and_no_study_its_name(tmp_path: Path) -> None:
    probes = folder.probes(tmp_path / "results", "some")
    assert probes == tmp_path / "results" / "probes" / "some"
    assert (tmp_path / "results").is_dir()
    with pytest.raises(UserError, match="choose another name"):
        check_name(folder.PROBES)


@pytest.mark.parametrize("place", ["probes", "probes/some"])
def test_a_probe_is_written_behind_no_link(tmp_path: Path, place: str) -> None:
    results = tmp_path / "results"
    folder.make(results)
    (results / place).parent.mkdir(exist_ok=True)
    (results / place).symlink_to(tmp_path)
    with pytest.raises(UserError, match=f"{re.escape(str(results / place))} is a link"):
        folder.probes(results, "some")


def test_a_study_that_comes_with_the_package_is_run_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="resformer sweep --study quick runs it"):
        open_study(tmp_path / "results", "quick")


def test_results_folders_of_other_programs_are_refused_and_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "thesis"
    foreign.mkdir()
    (foreign / "notes.txt").write_text("mine")
    for results in (foreign, foreign / "notes.txt"):
        with pytest.raises(UserError, match=re.escape(str(results))):
            find(results, "some")
        with pytest.raises(UserError, match=re.escape(str(results))):
            open_study(results, "some")
    assert existing(foreign) == []
    with pytest.raises(UserError, match="is a file; name a folder"):
        existing(foreign / "notes.txt")
    assert content(tmp_path) == {"thesis/notes.txt": b"mine"}


def test_readers_need_no_mark_and_writers_say_how_to_make_one(study: Study) -> None:
    """`cp -r results/* elsewhere/` leaves it behind."""
    study.launch({}, [])
    results = study.path.parent
    (results / folder.MARK).unlink()
    assert existing(results) == [study] == [open_study(results, study.name)]
    with pytest.raises(UserError, match=re.escape(f"touch {results / folder.MARK}")):
        find(results, study.name)
    (results / folder.MARK).touch()
    assert find(results, study.name) == study


@pytest.mark.parametrize("name", ["lost+found", ".DS_Store", f"..resformer.{'0' * 32}.tmp"])
def test_a_folder_that_nobody_has_used_yet_is_taken(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    assert find(tmp_path, "some") == Study(tmp_path / "some")
    assert existing(tmp_path) == []


def test_the_name_of_a_file_or_foreign_folder_is_refused(study: Study) -> None:
    study.launch({}, [])
    results = study.path.parent
    (results / "file").write_text("mine")
    (results / "folder").mkdir()
    (results / "folder" / "notes.txt").write_text("mine")
    (results / "empty").mkdir()
    for name in ("file", "folder"):
        with pytest.raises(UserError, match=name):
            find(results, name)
    for name in ("some", "empty", "new"):
        assert find(results, name) == Study(results / name)
    assert not (results / "new").exists()


@pytest.mark.parametrize("method", ["is_dir", "exists"])
def test_a_study_that_another_sweep_is_making_at_this_moment_is_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """The study appears right after the first question, whichever it is."""
    folder.make(tmp_path / "results")

    def appears(honest: Callable[[Any], bool]) -> Callable[[Any], bool]:
        def answer(path: Any) -> bool:
            present = honest(path)
            if str(path).endswith("/some"):
                (tmp_path / "results" / "some" / "launches").mkdir(parents=True, exist_ok=True)
            return present

        return answer

    owner = Path if method == "is_dir" else files
    monkeypatch.setattr(owner, method, appears(getattr(owner, method)))
    assert find(tmp_path / "results", "some") == Study(tmp_path / "results" / "some")


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folders with "closed" in their names are another user's, who has closed them."""
    listdir = os.listdir

    def refused(path: Any) -> list[str]:
        if "closed" in str(path):
            raise PermissionError(13, "Permission denied")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refused)


@pytest.mark.usefixtures("closed")
def test_a_study_that_may_not_be_read_is_named_where_there_is_no_other(study: Study) -> None:
    results = study.path.parent
    Study(results / "closed").launch({}, [])
    with pytest.raises(DiskError, match="closed/launches: cannot be read: Permission denied"):
        existing(results)
    study.launch({}, [])
    assert existing(results) == [study]


def test_a_study_can_be_launched_where_only_its_folder_can_be_written(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    study.launch({}, [])
    monkeypatch.setattr(
        folder.files, "create", lambda path, data: pytest.fail("the mark is there already")
    )
    folder.make(study.path.parent)


def test_launches_in_the_future_are_not_the_last(tmp_path: Path) -> None:
    """A clock was fast; and before it was set, another was in 1970."""
    results = tmp_path / "results"
    for name, year in (("a", 2300), ("b", 1970), ("c", None)):
        study = Study(results / name)
        record = {} if year is None else {"started": f"{year}-01-01T00:00:09+00:00"}
        study.launch(record, [])
        assert [launch["launch"] for launch in study.launches()] == [1]
    assert [study.name for study in existing(results)] == ["c", "b", "a"]


def test_of_very_many_studies_some_are_named(tmp_path: Path) -> None:
    for number in range(100):
        Study(tmp_path / "results" / f"s{number}").launch({}, [])
    with pytest.raises(UserError, match=r"^study x: is not in .*/results; there are s99, s98") as e:
        open_study(tmp_path / "results", "x")
    assert len(str(e.value)) < 500


@pytest.mark.parametrize("gone", ["", "result.json"], ids=["folder", "result"])
def test_a_job_whose_result_was_removed_is_open(study: Study, gone: str) -> None:
    study.launch({}, [planned_job("job1"), planned_job("job2")])
    for job in ("job1", "job2"):
        commit(study, job)
    path = study.job("job1") / gone
    (shutil.rmtree if path.is_dir() else os.remove)(path)
    assert study.results.finished(["job1", "job2"]) == {"job2"}
    assert set(Done(study.path).news()) == {"job2"}


def test_a_listed_job_that_cannot_be_looked_at_is_believed(study: Study) -> None:
    commit(study, "job1")
    shutil.rmtree(study.job("job1"))
    study.job("job1").symlink_to("job1")
    assert set(Done(study.path).news()) == {"job1"}


def test_a_host_whose_name_is_a_path_lists_its_jobs_in_the_study(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    me = replace(claims.holder(), host="../../x")
    monkeypatch.setattr(claims, "holder", lambda: me)
    study.launch({}, [planned_job("job1")])
    commit(study, "job1")
    assert os.listdir(study.path / "done") == [f"{me.file_name}.jsonl"]
    assert me.file_name == f".._.._x-{me.pid}-{me.started}"
    assert set(Done(study.path).news()) == {"job1"}


def test_existing_studies_come_last_launched_first(tmp_path: Path) -> None:
    results = tmp_path / "results"
    assert existing(results) == []
    for name in ["a", "c", "b", "a"]:
        Study(results / name).launch({}, [])
    (results / "no study").mkdir()
    assert [study.name for study in existing(results)] == ["a", "b", "c"]
