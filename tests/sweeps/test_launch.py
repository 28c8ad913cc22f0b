"""A launch plans the members that are neither finished nor planned, of results by the same code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support import shapes
from support.launches import local, planned, record_of, run

from resformer.errors import UserError
from resformer.model.serial import shape_to_json
from resformer.model.shape import RESULTS_ONLY, Recording, Shape
from resformer.plan import jobs, provenance
from resformer.store import files
from resformer.store.claims import attempts
from resformer.store.study import Study

pytestmark = pytest.mark.sweep

TESTS = Path(__file__).parents[1]


def test_only_members_that_are_neither_finished_nor_planned_are_planned(
    study: Study, shape: Shape
) -> None:
    engine = local(stack=2)
    first = planned(study, [shape], seeds=1, engine=engine)
    assert first.finished == 0
    run(first)
    assert planned(study, [shape], seeds=1, engine=engine).unfinished == {}

    more = planned(study, [shape], seeds=2, engine=engine)  # one seed more, planned and not run
    assert [[member.seed for member in job.members] for job in more.new] == [[1, 1]]
    assert more.finished == 2
    more.start(["sweep"])

    long = shapes.changed(shape, steps=40)
    most = planned(study, [shape, long], seeds=3, engine=local(stack=99))
    assert {(job.shape.train.steps, member.seed) for job in most.new for member in job.members} == {
        (20, 2),
        (40, 0),
        (40, 1),
        (40, 2),
    }
    assert set(most.unfinished) == {job.id for job in (*more.new, *most.new)}
    assert set(most.jobs) == {job.id for job in (*first.new, *more.new, *most.new)}
    assert (most.members, most.finished) == (12, 2)
    run(most)

    assert study.results.finished(most.jobs) == set(most.jobs)
    rows = [
        tuple(row)
        for job in study.planned()
        for row in study.results.table(job, "runs")[["seed", "lr"]].itertuples()
    ]
    assert len(rows) == 12
    assert [record["launch"] for record in study.launches()] == [1, 2, 3]
    assert [attempts(study.job(job)) for job in study.planned()] == [1] * len(most.jobs)


def test_a_member_of_two_plans_is_finished_if_either_job_is(study: Study, shape: Shape) -> None:
    """Two commands that planned at the same moment; only the first ran to its end."""
    engine = local(stack=8)
    first, second = (planned(study, [shape], seeds=seeds, engine=engine) for seeds in (2, 3))
    run(first)
    second.start(["sweep"])
    again = planned(study, [shape], seeds=2, engine=engine)
    assert (again.finished, again.unfinished, again.new) == (4, {}, [])


@pytest.mark.parametrize(
    ("compiled", "name"), [(False, "torch"), (True, "torch"), (True, "compiler")]
)
def test_results_of_other_versions_are_not_mixed(
    study: Study, shape: Shape, compiled: bool, name: str, request: pytest.FixtureRequest
) -> None:
    if compiled:
        request.getfixturevalue("kernels")
        shape = shapes.changed(shape, compile=True)
    planned(study, [shape]).start(["sweep"])
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    now, record["versions"][name] = record["versions"][name], "0.0.older"
    path.write_bytes(files.with_checksum(record))
    before = sorted(study.path.rglob("*"))
    with pytest.raises(UserError, match=rf"0\.0\.older.*{re.escape(now)}"):
        planned(study, [shape])
    assert sorted(study.path.rglob("*")) == before


def test_results_of_another_triton_are_not_mixed(study: Study, shape: Shape) -> None:
    """With kernels on a GPU, on which no C++ of ours computes."""
    on_gpu = shapes.changed(shape, compile=True, device="cuda")
    planned(study, [on_gpu]).start(["sweep"])
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    assert {"triton", "compiler"} & record["versions"].keys() == {"triton"}
    assert {"fused", "kernels"} & record["fingerprint"].keys() == {"fused"}
    now, record["versions"]["triton"] = record["versions"]["triton"], "0.0.older"
    path.write_bytes(files.with_checksum(record))
    with pytest.raises(UserError, match=rf"0\.0\.older.*{re.escape(now)}"):
        planned(study, [on_gpu])


def test_a_worker_without_triton_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "triton", None)  # as if it were not installed
    said = provenance.unlike({"versions": {"triton": "3.9.0"}})
    assert said.startswith("was made with triton 3.9.0, here is none: Triton cannot be imported: ")


@pytest.mark.parametrize("fact", ["processor", "vector instructions"])
def test_results_of_another_processor_are_noted(study: Study, shape: Shape, fact: str) -> None:
    """The last bits of sums differ; what is concluded from them hardly does."""
    first = planned(study, [shape])
    assert first.request.notes == []
    first.start(["sweep"])
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    now, record["versions"][fact] = record["versions"][fact], "another"
    path.write_bytes(files.with_checksum(record))
    (note,) = planned(study, [shape]).request.notes
    assert "was computed on " in note
    assert note.index("another") < note.index(now)

    del record["versions"][fact]  # as launches were once recorded
    path.write_bytes(files.with_checksum(record))
    assert planned(study, [shape]).request.notes == []


def test_every_module_of_the_science_is_in_a_role_or_no_result_depends_on_it() -> None:
    counted = {path for role in provenance._ROLES for path in provenance._files(role)}
    science = {
        path
        for package in ("numerics", "model", "training", "probes")
        for path in (TESTS.parent / "resformer" / package).rglob("*.py")
    }
    without = {path.name for path in science - counted} - {"__init__.py"}
    cached = {"availability.py", "build.py", "cache_folder.py", "compiler.py", "selftest.py"}
    cached |= {"source_code.py", "trusted.py"}
    assert without == {*cached, "processor.py"}


LATER = """
import ast, json

before = ast.dump(ast.parse("def f(): pass"))
ast.FunctionDef._fields, ast.FunctionDef.more = (*ast.FunctionDef._fields, "more"), []
assert ast.dump(ast.parse("def f(): pass")) != before

from support import shapes
from resformer.model.serial import shape_to_json
from resformer.plan import provenance

print(json.dumps(provenance.fingerprint([shape_to_json(shapes.shape())])))
"""


def test_the_fingerprint_of_code_is_the_same_in_every_python() -> None:
    """Later ones have a field more in what they parse, which is empty."""
    path = os.pathsep.join(map(str, (TESTS, TESTS.parent)))
    later = subprocess.run(
        [sys.executable, "-c", LATER],
        env={**os.environ, "PYTHONPATH": path},
        check=True,
        capture_output=True,
        text=True,
    )
    here = provenance.fingerprint([shape_to_json(shapes.shape())])
    assert json.loads(later.stdout) == here
    assert all(here.values()), "each role has code"
    assert len(set(here.values())) == len(here)


def test_a_launch_that_takes_up_probing_jobs_records_the_code_of_the_probes(
    study: Study, shape: Shape
) -> None:
    planned(study, [shape], recording=Recording(probe_every=10)).start(["sweep"])
    again = planned(study, [shape])
    assert again.unfinished
    assert not again.new
    again.start(["sweep"])
    first, second = (record["fingerprint"] for record in study.launches())
    assert second == first
    assert second["probes"]


@pytest.mark.usefixtures("kernels")
def test_results_with_and_without_kernels_are_not_mixed_unless_asked_for(
    study: Study, shape: Shape
) -> None:
    planned(study, [shapes.changed(shape, compile=True)]).start(["sweep"])
    with pytest.raises(
        UserError, match=r"train\.compile=auto: would be false here.*planned with true"
    ):
        planned(study, [shape])
    again = planned(study, [shape], overrides=["train.compile=false"], engine=local(stack=2))
    assert len(again.new) == 2


@pytest.mark.parametrize("key", ["train", "probe"])
def test_a_plan_that_names_no_recording_keeps_results_only(
    study: Study, shape: Shape, key: str
) -> None:
    planned(study, [shape]).start(["sweep"])
    path = study.path / "plan-1.jsonl"
    lines = []
    for line in path.read_bytes().splitlines():
        job = files.verify_checksum(line)
        assert job is not None
        del job["shape"][key]["keep_weights" if key == "train" else "every"]
        lines.append(files.with_checksum(job) + b"\n")
    path.write_bytes(b"".join(lines))
    again = planned(study, [shape])
    assert (len(again.unfinished), again.new, again.unrecorded) == (4, [], 0)
    for job in again.unfinished.values():
        assert jobs.from_json(job).recording == RESULTS_ONLY
