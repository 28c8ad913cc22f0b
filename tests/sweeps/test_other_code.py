"""Code that is edited between two sweeps of a study: its jobs train anew beside the old ones."""

import dataclasses
import io
from collections.abc import Callable

import pytest
from rich.console import Console
from support.launches import planned, requested, work_alone

from resformer.console.status import Status, picture, read_status
from resformer.model.shape import Recording, Shape
from resformer.plan import provenance
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.serial import to_json
from resformer.reporting.text.words import notes
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.frames import left_out
from resformer.results.members import read
from resformer.results.problems import OtherCode
from resformer.rounds.finished import with_digests
from resformer.store import files
from resformer.store.study import Study
from resformer.sweep.launch import Launch

Edit = Callable[..., None]


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Edit:
    """`edit("residual add")` gives the code in this role another hash; `edit()` none."""
    hashed = provenance._hash

    def edited(*roles: str) -> None:
        monkeypatch.setattr(
            provenance, "_hash", lambda role: "edited" if role in roles else hashed(role)
        )

    return edited


@pytest.fixture
def arms(shape: Shape) -> list[Shape]:
    return [dataclasses.replace(shape, residual=residual) for residual in (Add(), Plain())]


def train(launch: Launch) -> None:
    work_alone(launch.start(["sweep"]))


def shown_status(status: Status) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(picture(status))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def trained_jobs(study: Study) -> set[str]:
    """Jobs whose members a report shows."""
    return set(read([study]).members["job"])


def test_jobs_of_edited_code_train_anew_and_the_old_ones_stay(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    first = planned(study, arms, seeds=1)
    train(first)
    of_add, of_plain = ({job.id for job in first.new if job.shape == shape} for shape in arms)
    edit("residual add")
    second = planned(study, arms, seeds=1)
    assert (second.retrained, second.finished) == (len(of_add), len(of_plain))
    assert {job.shape for job in second.new} == {arms[0]}
    assert not {job.id for job in second.new} & of_add
    train(second)
    assert trained_jobs(study) == of_plain | {job.id for job in second.new}
    assert read([study]).problems.other_code == (
        OtherCode(study="some", members=len(of_add), roles=["residual add"]),
    )
    assert all(study.results.has(job) for job in of_add)
    shown = to_json(summarise(read([study])))
    assert shown["other_code"] == [
        {"study": "some", "members": len(of_add), "roles": ["residual add"]}
    ]
    status = read_status(study)
    assert set(status.planned) == trained_jobs(study)
    line = f"{len(of_add)} members of some that other code computed (residual add changed since)"
    assert [part.line for part in status.other_code] == [line]
    assert f"left out: {line}" in shown_status(status)
    assert left_out(read([study])) == [line]
    assert planned(study, arms, seeds=1).unfinished == {}


def test_the_reason_names_only_code_of_what_is_left_out(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    """Though code of others changed, too."""
    train(planned(study, arms, seeds=1))
    edit("residual plain")
    train(planned(study, arms[1:], seeds=1))
    edit("residual plain", "residual add", "task copy of another study")
    planned(study, arms[:1], seeds=1).start(["sweep"])
    edit("residual plain", "kernels")
    train(planned(study, arms[1:], seeds=2))
    (part,) = read([study]).problems.other_code
    assert (part.members, part.roles) == (4, ["residual add", "residual plain"])


def test_code_of_which_nothing_is_known_is_unknown(study: Study, arms: list[Shape]) -> None:
    """As where the record of the launch is lost, and the plan is of an earlier version."""
    launch = planned(study, arms, seeds=1)
    train(launch)
    path = study.path / "plan-1.jsonl"
    lines = [files.verify_checksum(line) for line in path.read_bytes().splitlines()]
    bare = [{key: job[key] for key in job if key != "code"} for job in lines if job is not None]
    path.write_bytes(b"".join(files.with_checksum(job) + b"\n" for job in bare))
    (study.path / "launches" / "1.json").rename(study.path / "launches" / "0")
    study.launch({"fingerprint": launch._fingerprint()}, [])
    (part,) = read([study]).problems.other_code
    assert (part.roles, part.line) == ([], "4 members of some that unknown code computed")


def test_a_job_is_the_same_whatever_is_recorded_of_it_and_by_which_code(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    """Edited probes leave results as they are, so nothing trains again for them."""
    probed = Recording(probe_every=10)
    first = planned(study, arms, seeds=1, recording=probed)
    plain = planned(Study(study.path.with_name("plain")), arms, seeds=1)
    assert [job.id for job in first.new] == [job.id for job in plain.new]
    train(first)
    edit("probes")
    second = planned(study, arms, seeds=2, recording=probed)
    assert (second.finished, second.retrained) == (4, 0)
    assert summarise(read([study])).mixed_probes == []
    train(second)
    report = summarise(read([study]))
    assert report.other_code == ()
    assert report.mixed_probes == ["some"] == to_json(report)["mixed_probes"]
    assert any(line.startswith("inside some: probed by several versions") for line in notes(report))


def test_an_edit_of_code_that_is_not_requested_is_not_looked_at(
    study: Study, arms: list[Shape], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another scheme's, half-typed at this moment."""
    train(planned(study, arms, seeds=1))
    hashed, roles = provenance._hash, list[str]()
    monkeypatch.setattr(provenance, "_hash", lambda role: roles.append(role) or hashed(role))
    assert planned(study, arms[:1], seeds=1).unfinished == {}
    assert "residual add" in roles
    assert "residual plain" not in roles


def test_members_of_other_code_call_for_no_further_round(
    study: Study, shape: Shape, edit: Edit
) -> None:
    """Else the first launch after an edit would grow by what its predecessor has found."""
    train(planned(study, [shape], seeds=2))
    request = requested([shape], seeds=2)
    assert len(with_digests(read([study]), request)) == 4
    edit("training")
    assert with_digests(read([study]), request).empty
    edit()
    assert len(with_digests(read([study]), request)) == 4


def test_a_shape_that_was_never_launched_does_not_return(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    train(planned(study, arms[:1], seeds=1))
    assert not planned(study, arms, seeds=1).returns
    assert not planned(study, arms[1:], seeds=1).returns


def test_code_that_is_edited_back_finds_its_jobs(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    train(planned(study, arms, seeds=1))
    before = trained_jobs(study)
    edit("training")
    train(planned(study, arms, seeds=1))
    assert not trained_jobs(study) & before
    edit()
    again = planned(study, arms, seeds=1)
    assert (again.unfinished, again.returns) == ({}, True)
    again.start(["sweep"])
    assert trained_jobs(study) == before
    assert not planned(study, arms, seeds=1).returns


def test_an_edit_of_what_is_not_requested_leaves_old_cells_out(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    """One study holds one version of each role: all that shared the edited code is left out."""
    train(planned(study, arms, seeds=1))
    edit("model")
    second = planned(study, arms[:1], seeds=1)
    train(second)
    assert trained_jobs(study) == {job.id for job in second.new}
    (left_out,) = read([study]).problems.other_code
    assert (left_out.members, left_out.roles) == (4, ["model"])


def test_unfinished_jobs_of_other_code_are_not_missing(
    study: Study, arms: list[Shape], edit: Edit
) -> None:
    planned(study, arms, seeds=1).start(["sweep"])
    edit("training")
    train(planned(study, arms, seeds=1))
    problems = read([study]).problems
    assert (problems.missing, problems.other_code) == ((), ())


def test_a_longer_budget_does_not_go_on_from_other_code(
    study: Study, shape: Shape, edit: Edit
) -> None:
    train(planned(study, [shape], seeds=1))
    edit("training")
    longer = dataclasses.replace(shape, train=dataclasses.replace(shape.train, steps=40))
    assert planned(study, [longer], seeds=1).continued == 0
    edit()
    assert planned(study, [longer], seeds=1).continued == 2
