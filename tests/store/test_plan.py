"""Lines of plans: read in parts that are shared, and as if they were read whole."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from support.jobs import planned_job

from resformer import config
from resformer.errors import DiskError
from resformer.keys import Json
from resformer.store import checks, files
from resformer.store.plan import Index, Reader, superseded


def planned() -> list[Json]:
    jobs = config.request(
        "some", ["model.depth=1,2", "member.seed=range(0,3)", "engine.stack=1", "device=cpu"]
    ).jobs()
    return [job.to_json() for job in jobs]


def read(*lines: bytes) -> list[tuple[Json | None, str]]:
    return Reader().jobs(lines)


def test_planned_jobs_are_read_as_written_and_share_their_shapes() -> None:
    jobs = planned()
    lines = read(*(files.with_checksum(job) for job in jobs))
    assert [job for job, _ in lines] == jobs
    assert {reason for _, reason in lines} == {""}
    assert len({id(job["shape"]) for job, _ in lines if job}) == 2


@pytest.mark.parametrize("order", [1, 3, -1])
def test_a_line_with_its_keys_in_another_order_is_the_same_job(order: int) -> None:
    job = planned()[0]
    other = dict(sorted(job.items(), key=lambda item: order * ord(item[0][order % len(item[0])])))
    assert list(other) != list(job)
    assert read(files.with_checksum(other), files.with_checksum(job)) == [(job, ""), (job, "")]


CHANGES: list[tuple[str, Any]] = [
    ("id", "../x"),
    ("id", 7),
    ("shape", []),
    ("shape", {"task": {"name": '}, "members": ['}}),
    ("members", []),
    ("members", [{"seed": -1, "lr": 0.1}]),
    ("members", [{"seed": 1}]),
    ("parameters", -1),
    ("parameters", [1]),
    ("blind_loss", "x"),
    ("continues", "../x"),
    ("continues", 'a"'),
    ("continues", None),
    ("continues", 7),
    ("code", 7),
    ("code", "../x"),
    ("code", "edited"),
]


@pytest.mark.parametrize(("key", "value"), CHANGES)
def test_a_wrong_line_read_in_parts_has_the_reason_of_the_whole_line(
    key: str, value: object
) -> None:
    good = planned()[0]
    bad = {**good, key: value}
    with pytest.raises(ValueError, match=r".") as refusal:
        checks.planned_job(bad)
    assert read(files.with_checksum(good), files.with_checksum(bad), files.with_checksum(good)) == [
        (good, ""),
        (None, str(refusal.value)),
        (good, ""),
    ]


def test_a_job_that_goes_on_names_the_other_and_shares_its_shape_all_the_same() -> None:
    jobs = [
        dict(reversed({**job, "continues": f"job{n}"}.items())) for n, job in enumerate(planned())
    ]
    ordered = [
        {key: job[key] for key in ("id", "continues", *list(job)[:0:-1]) if key in job}
        for job in jobs
    ]
    lines = read(*(files.with_checksum(job) for job in ordered))
    assert [job for job, _ in lines] == jobs
    assert len({id(job["shape"]) for job, _ in lines if job}) == 2


def test_jobs_all_of_whose_members_go_on_are_superseded() -> None:
    first, second, other = planned()[:3]
    first["members"], second["members"] = (
        [{"seed": n, "lr": 0.1} for n in seeds] for seeds in ((0, 1, 2), (0, 2))
    )
    other["members"] = first["members"][1:2]
    second["continues"] = other["continues"] = first["id"]
    all_jobs = {job["id"]: job for job in (first, second, other)}
    assert superseded({}) == superseded({first["id"]: first}) == set()
    assert superseded({first["id"]: first, second["id"]: second}) == set()
    assert superseded({second["id"]: second, other["id"]: other}) == set()
    assert superseded(all_jobs) == {first["id"]}
    for value in (False, "yes", None):
        train = {**other["shape"]["train"], "stop_when_solved": value}
        changed = {**other, "shape": {**other["shape"], "train": train}}
        assert superseded({**all_jobs, other["id"]: changed}) == set()


def test_texts_in_settings_that_look_like_parts_of_a_line_are_texts() -> None:
    """A text and a setting's name may look like the next part of the line."""
    job = planned()[0]
    for strange in ('}, "members": [', '], "parameters": 1}', ', "shape": {'):
        job["shape"] = {**job["shape"], "task": {**job["shape"]["task"], "note": strange}}
        assert read(files.with_checksum(job)) == [(job, "")]
    job["shape"] = {
        **job["shape"],
        "task": {**job["shape"]["task"], "members": [1], "parameters": 2},
    }
    with pytest.raises(ValueError, match=r".") as refusal:
        checks.planned_job(job)
    assert read(files.with_checksum(job)) == [(None, str(refusal.value))]


def test_lines_that_are_no_jobs_are_refused() -> None:
    """Torn; no job; and sealed, but no JSON, though its parts stand where they ought to."""
    good = planned()[0]
    bodies = [
        b'{"id": "a, "shape": {}, "members": [], "parameters": 3}',
        b'{"id": "a", "shape": {x}, "members": [], "parameters": 3}',
    ]
    no_json = [
        body[:-1] + b', "sha256": "' + hashlib.sha256(body).hexdigest().encode() + b'"}'
        for body in bodies
    ]
    assert [files.verified_body(line) for line in no_json] == bodies
    lines = read(
        files.with_checksum(good)[:-5],
        files.with_checksum({"a": 1}),
        *no_json,
        files.with_checksum(good),
    )
    assert lines == [
        (None, "is not what was written"),
        (None, "its id is no name"),
        (None, "is no object"),
        (None, "is no object"),
        (good, ""),
    ]


def test_no_line_takes_long() -> None:
    """Many beginnings of a part that never comes."""
    job = planned()[0]
    job["shape"] = {**job["shape"], "task": {"name": '}, "members": [' * 50_000}}
    ((line, reason),) = read(files.with_checksum(job))
    assert line is None
    assert reason


def test_an_index_reads_a_job_when_it_is_asked_for(tmp_path: Path) -> None:
    path, jobs = tmp_path / "plan-1.jsonl", [planned_job(name) for name in ("job1", "job2", "job3")]
    lines = [files.with_checksum(job) + b"\n" for job in jobs]
    lines[1] = lines[1].replace(b"job2", b"jobX")
    path.write_bytes(b"".join(lines))
    index = Index.of([path, tmp_path / "plan-2.jsonl"])
    assert list(index) == ["job1", "job3"]
    assert len(index) == 2
    assert [index[name] for name in index] == [jobs[0], jobs[2]]
    path.write_bytes(b"x" + path.read_bytes()[1:])
    assert index["job3"] == jobs[2]
    with pytest.raises(
        DiskError, match="job job1 can no longer be read from it: is not what was written"
    ):
        index["job1"]
    path.unlink()
    with pytest.raises(DiskError, match="is gone"):
        index["job3"]
