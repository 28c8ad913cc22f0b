"""Members of a study: damage is named and left out, runs are cached, members can be selected."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from support.studies import SEEDS, WrittenStudy, shape

from resformer.errors import UserError
from resformer.model.shape import Member
from resformer.numerics.cache_folder import cache_folder
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.figures import draw
from resformer.reporting.layout import layout
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results import cache
from resformer.results.members import parse_conditions, read
from resformer.store import claims
from resformer.store.claims import Claim, HeartbeatObserver
from resformer.store.results import Results
from resformer.store.study import Study, existing

ADD, DEEP = shape(1, Add(), "post"), shape(8, Add(), "post")


@pytest.fixture
def made(tmp_path: Path) -> WrittenStudy:
    made = WrittenStudy(tmp_path / "results")
    made.job(ADD, SEEDS, [100] * 5)
    made.job(DEEP, SEEDS, [200] * 5)
    made.write()
    return made


def attempt(made: WrittenStudy, number: int) -> Path:
    return made.study.job(made.jobs[number][0].id) / "attempt-1"


def depths(study: Study) -> list[int]:
    return sorted(set(read([study]).members["depth"]))


@pytest.mark.parametrize("name", ["runs.parquet", "curves.parquet", "timing.json"])
@pytest.mark.parametrize("harm", ["cut", "flip", "gone", "other"])
@pytest.mark.parametrize("before", [False, True], ids=["fresh", "cached"])
def test_a_damaged_result_is_named_and_left_out(
    made: WrittenStudy, name: str, harm: str, before: bool
) -> None:
    if before:
        assert depths(made.study) == [1, 8]
    path = attempt(made, 1) / name
    data = bytearray(path.read_bytes())
    if harm == "cut":
        path.write_bytes(data[:-7])
    elif harm == "flip":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif harm == "gone":
        path.unlink()
    else:
        shutil.copyfile(
            attempt(made, 0) / ("timing.json" if name == "curves.parquet" else "curves.parquet"),
            path,
        )
    summary = summarise(read([made.study]))
    assert {cell.key.depth for cell in summary.cells} == {1}
    (row,) = summary.damaged
    assert row.job == made.jobs[1][0].id
    assert str(path.parent.parent) in row.reason


@pytest.mark.fuzz
def test_a_flipped_bit_of_a_result_or_of_a_plan_is_seen_wherever_it_is(made: WrittenStudy) -> None:
    """One of every third byte of a result, and of every 37th of half a plan."""
    result, plan = (
        made.study.job(made.jobs[1][0].id) / "result.json",
        made.study.path / "plan-1.jsonl",
    )
    for path in (result, plan):
        whole = path.read_bytes()
        start, step = (0, 3) if path == result else (len(whole) // 2 + 5, 37)
        for place in range(start, len(whole), step):
            data = bytearray(whole)
            data[place] ^= 1 << place % 8
            path.write_bytes(data)
            findings = read([made.study])
            # A number in result.json that decides nothing may change; what is read may not.
            if sorted(findings.members["depth"]) == [1] * 5 + [8] * 5:
                assert path == result
                assert sorted(findings.members["solved_step"]) == [100] * 5 + [200] * 5
            else:
                assert findings.problems.damaged, (path, place)
        path.write_bytes(whole)


def test_a_cut_plan_leaves_results_without_a_plan(made: WrittenStudy) -> None:
    plan = made.study.path / "plan-1.jsonl"
    lines = plan.read_bytes().splitlines(keepends=True)
    plan.write_bytes(lines[0])
    lost = [job.id for job, _ in made.jobs if job.id.encode() not in lines[0]]
    findings = read([made.study])
    assert findings.problems.reasons == [
        f"{plan}: 1 lines of 2",
        f"{made.study.job(lost[0])}: no plan of this study names it",
    ]
    assert len(findings.members) == 5


def test_of_very_many_jobs_the_curves_are_hashed_when_they_are_used(
    made: WrittenStudy, tmp_path: Path
) -> None:
    cut, flipped = (attempt(made, number) / "curves.parquet" for number in (0, 1))
    cut.write_bytes(cut.read_bytes()[:-1])
    data = bytearray(flipped.read_bytes())
    data[len(data) // 2] ^= 1
    flipped.write_bytes(data)
    findings = read([made.study], max_hashed=1)
    assert findings.problems.reasons == [f"{cut}: not the bytes that were committed"]
    with pytest.raises(UserError, match=f"{flipped}: not the bytes that were committed"):
        draw(findings, summarise(findings), layout(summarise(findings)), tmp_path / "figures")


def test_a_job_with_the_results_of_another_is_named(made: WrittenStudy) -> None:
    mine, other = (made.study.job(job.id) for job, _ in made.jobs)
    shutil.rmtree(mine)
    shutil.copytree(other, mine)
    findings = read([made.study])
    assert findings.problems.reasons == [f"{mine}/result.json: is of the job {other.name!r}"]
    assert sorted(set(findings.members["depth"])) == [8]


def test_a_study_whose_launch_is_damaged_is_still_there(made: WrittenStudy) -> None:
    (made.study.path / "launches" / "1.json").write_bytes(b"{")
    assert [study.name for study in existing(made.study.path.parent)] == ["made"]


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"\n\n"])
def test_a_failed_job_with_an_empty_error_text_has_a_reason(tmp_path: Path, text: bytes) -> None:
    made = WrittenStudy(tmp_path / "results")
    made.job(ADD, SEEDS, [100] * 5)
    made.job(DEEP, SEEDS, [100] * 5)
    study = made.write(finished=1)
    claim = claims.take(study.job(made.jobs[1][0].id), 1, 0, HeartbeatObserver(60.0))
    assert isinstance(claim, Claim)
    claim.fail(RuntimeError("boom"))
    (claim.folder / "error.txt").write_bytes(text)
    (row,) = read([study]).problems.failed
    assert row.reason


def test_a_selection_without_results_has_nothing_to_report(tmp_path: Path) -> None:
    made = WrittenStudy(tmp_path / "results")
    made.job(ADD, SEEDS, [100] * 5)
    with pytest.raises(UserError, match="nothing to report"):
        summarise(read([made.write(finished=0)]).where({"task": ["copy"]}))


def test_foreign_files_are_named(made: WrittenStudy, tmp_path: Path) -> None:
    other = WrittenStudy(tmp_path / "elsewhere")
    other.job(shape(2, Plain(), "post"), SEEDS, [300] * 5)
    stranger = other.write().job(other.jobs[0][0].id)
    here = made.study.path / "jobs" / stranger.parent.name / stranger.name
    shutil.copytree(stranger, here)
    (made.study.path / "jobs" / "notes.txt").write_text("mine")
    (made.study.path / "plan-copy.jsonl").write_text("{}\n")
    (made.study.path / "launches" / "old.json").write_text("{}")
    findings = read([made.study])
    assert set(findings.problems.reasons) == {
        f"{here}: no plan of this study names it",
        f"{made.study.path / 'jobs' / 'notes.txt'}: no plan of this study names it",
    }
    assert sorted(set(findings.members["depth"])) == [1, 8]


def test_a_damaged_launch_is_named(made: WrittenStudy) -> None:
    path = made.study.path / "launches" / "1.json"
    path.write_bytes(path.read_bytes().replace(b"does not go", b"does go not"))
    findings = read([made.study])
    assert findings.problems.reasons == [f"{path}: not what was written"]
    assert summarise(findings).excluded == ()


def test_an_unfinished_study_says_what_is_missing(tmp_path: Path) -> None:
    made = WrittenStudy(tmp_path / "results")
    made.job(ADD, SEEDS, [100] * 5)
    made.job(DEEP, SEEDS, [100] * 5)
    findings = read([made.write(finished=1)])
    assert [(row.study, row.members, row.settings) for row in findings.problems.missing] == [
        ("made", 5, "copy depth 8 add post")
    ]


def test_a_failed_job_is_named_with_its_reason(tmp_path: Path) -> None:
    made = WrittenStudy(tmp_path / "results")
    made.job(ADD, SEEDS, [100] * 5)
    made.job(DEEP, SEEDS, [100] * 5)
    study = made.write(finished=1)
    job = made.jobs[1][0].id
    claim = claims.take(study.job(job), 1, 0, HeartbeatObserver(60.0))
    assert isinstance(claim, Claim)
    claim.fail(RuntimeError("boom\n  on a second line"))
    findings = read([study])
    assert [(row.job, row.reason) for row in findings.problems.failed] == [
        (job, "RuntimeError: boom on a second line")
    ]
    assert findings.problems.missing == ()


def test_cached_runs_are_not_read_again(
    made: WrittenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = read([made.study])
    monkeypatch.setattr(Results, "read", lambda *_: pytest.fail("read again"))
    again = read([made.study])
    assert again.members.sort_values(["depth", "seed"], ignore_index=True).equals(
        first.members.sort_values(["depth", "seed"], ignore_index=True)
    )
    assert again.digest == first.digest


def test_a_cached_report_is_the_same_and_needs_no_members(made: WrittenStudy) -> None:
    first = summarise(read([made.study]))
    again = replace(read([made.study]), load=lambda: pytest.fail("computed again"))
    assert summarise(again) == first


def test_cached_runs_are_in_one_piece(made: WrittenStudy) -> None:
    whole = read([made.study])
    shutil.rmtree(made.study.path / ".cache")
    again = read([made.study], batch_jobs=1)
    assert again.digest == whole.digest
    assert again.members.equals(whole.members)
    table, states = cache.load_runs(made.study)
    assert len(states) == 2
    assert table["job"].num_chunks == 1


def test_new_results_are_added_to_the_cache(tmp_path: Path) -> None:
    made = WrittenStudy(tmp_path / "results")
    made.job(ADD, SEEDS, [100] * 5)
    assert len(summarise(read([made.write()])).cells) == 1
    made.jobs.clear()
    made.job(DEEP, SEEDS, [1.0] * 5)  # no solved step at all: the column has no type of its own
    report = summarise(read([made.write()]))
    assert [(cell.key.depth, cell.solved) for cell in report.cells] == [(1, 5), (8, 0)]


@pytest.mark.parametrize("name", ["members.arrow", "report.json"])
def test_a_damaged_cache_is_not_believed(made: WrittenStudy, name: str) -> None:
    expected = summarise(read([made.study]))
    path = made.study.path / ".cache" / name
    whole = path.read_bytes()
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        data = bytearray(whole)
        data[place] ^= 1 << place % 8
        path.write_bytes(data)
        assert summarise(read([made.study])) == expected
        path.write_bytes(whole)
    path.write_bytes(whole[: len(whole) // 2])
    assert summarise(read([made.study])) == expected


def test_other_code_does_not_read_the_cache(
    made: WrittenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    read([made.study])
    assert cache.load_runs(made.study)[1]
    monkeypatch.setattr(cache, "_code", lambda: b"other")
    assert cache.load_runs(made.study)[1] == {}


def test_a_study_that_cannot_be_written_is_reported_all_the_same(
    made: WrittenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path, data: bytes) -> None:
        raise PermissionError(path)

    monkeypatch.setattr(cache.files, "write", refuse)
    assert len(summarise(read([made.study])).cells) == 2
    assert os.listdir(made.study.path / ".cache") == []


def test_members_are_selected_by_any_setting(made: WrittenStudy) -> None:
    findings = read([made.study])
    assert set(findings.where({"model.depth": ["8"]}).members["depth"]) == {8}
    assert len(findings.where({"depth": ["1", "8"], "member.seed": ["0", "3"]}).members) == 4
    assert len(findings.where({"model.residual": ["true"]}).members) == 10
    assert len(findings.where({"model/residual": ["add"], "member.lr": ["3e-3"]}).members) == 10
    assert findings.where({}) is findings


def test_a_choice_has_a_report_of_its_own(made: WrittenStudy) -> None:
    findings = read([made.study])
    whole, deep = summarise(findings), summarise(findings.where({"depth": ["8"]}))
    assert [cell.key.depth for cell in deep.cells] == [8]
    assert summarise(read([made.study])) == whole


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        ({"model.deep": ["8"]}, r"--where model\.deep: is no setting; did you mean depth\?"),
        (
            {"model.nothing": ["8"]},
            r"--where model\.nothing: is no setting; there are task, depth, residual, norm, .*…",
        ),
        ({"depth": ["3"]}, r"--where depth=3: there are 1, 8"),
        (
            {"depth": ["8"], "member.seed": ["9"]},
            r"--where member\.seed=9: there are 0, 1, 2, 3, 4",
        ),
    ],
)
def test_a_choice_that_fits_nothing_is_refused(
    made: WrittenStudy, conditions: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        read([made.study]).where(conditions)


def test_two_choices_that_exclude_each_other_are_refused(tmp_path: Path) -> None:
    made = WrittenStudy(tmp_path)
    made.job(ADD, SEEDS[:1], [100])
    made.job(DEEP, [Member(seed=7, lr=3e-3)], [100])
    with pytest.raises(UserError, match="no member has all of these"):
        read([made.write()]).where({"depth": ["8"], "seed": ["0"]})


@pytest.mark.parametrize("text", ["depth", "=8", "depth=", ""])
def test_a_condition_is_key_and_value(text: str) -> None:
    with pytest.raises(UserError, match=r"must be KEY=VALUE"):
        parse_conditions([text])


def test_conditions_by_key() -> None:
    assert parse_conditions(["depth=1,8", "norm=pre"]) == {"depth": ["1", "8"], "norm": ["pre"]}
    assert parse_conditions(["model.norm = pre , post"]) == {"model.norm": ["pre", "post"]}
    with pytest.raises(UserError, match="depth is given twice"):
        parse_conditions(["depth=1", "depth=2"])


@pytest.fixture
def own_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))


def forged(study: Study, name: str) -> None:
    """Write this file of the cache as its maker did, on another machine."""
    path = study.cache / name
    with pytest.MonkeyPatch.context() as elsewhere:
        elsewhere.setenv("XDG_CACHE_HOME", str(study.path.parent.parent / "elsewhere"))
        path.unlink()
        summarise(read([study]))
    assert path.exists()


@pytest.mark.parametrize("name", ["members.arrow", "report.json"])
def test_a_cache_that_another_user_has_sealed_is_not_believed(
    made: WrittenStudy, name: str
) -> None:
    """A folder that was unpacked is this user's, whoever made it."""
    expected = summarise(read([made.study]))
    ours = (made.study.cache / name).read_bytes()
    forged(made.study, name)
    theirs = (made.study.cache / name).read_bytes()
    assert theirs[32:] == ours[32:]
    assert theirs[:32] != ours[:32]
    assert cache._read(made.study, name) == b""
    assert summarise(read([made.study])) == expected


def test_a_cache_of_another_study_is_not_believed(made: WrittenStudy) -> None:
    summarise(read([made.study]))
    other = Study(made.study.path.with_name("other"))
    shutil.copytree(made.study.path, other.path, copy_function=shutil.copy2)
    assert cache.load_runs(made.study)[1]
    assert cache.load_runs(other)[1] == {}


@pytest.mark.usefixtures("own_cache_folder")
@pytest.mark.parametrize("harm", ["readable", "short", "a link", "gone"])
def test_a_key_that_others_can_read_is_replaced(made: WrittenStudy, harm: str) -> None:
    key = cache_folder() / "reports.key"
    read([made.study])
    before = key.read_bytes()
    match harm:
        case "readable":
            key.chmod(0o640)
        case "short":
            key.write_bytes(before[:-1])
        case "a link":
            key.rename(key.with_name("elsewhere"))
            key.symlink_to("elsewhere")
        case "gone":
            key.unlink()
    assert cache.load_runs(made.study)[1] == {}
    assert key.read_bytes() != before
    assert key.stat().st_mode & 0o777 == 0o600
    read([made.study])
    assert cache.load_runs(made.study)[1]


@pytest.mark.usefixtures("own_cache_folder")
def test_without_a_folder_for_the_key_nothing_is_kept(
    made: WrittenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache_folder().chmod(0o777)
    assert len(summarise(read([made.study])).cells) == 2
    assert not made.study.cache.exists()


def test_a_study_behind_a_link_is_read_and_nothing_is_written_there(made: WrittenStudy) -> None:
    other = made.study.path.with_name("other")
    other.symlink_to(made.study.path)
    assert len(summarise(read([Study(other)])).cells) == 2
    assert not made.study.cache.exists()
