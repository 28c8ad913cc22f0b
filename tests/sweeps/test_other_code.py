"""Code that is edited between two sweeps of a study: its jobs train anew beside the old ones."""

import dataclasses
from collections.abc import Callable

import pytest
from support.launches import planned, work_alone

from resformer.console.status import read_status
from resformer.model.shape import Shape
from resformer.plan import provenance
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.serial import to_json
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.members import read
from resformer.results.problems import OtherCode
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
    assert (second.outdated, second.finished) == (len(of_add), len(of_plain))
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
    assert set(read_status(study).planned) == trained_jobs(study)
    assert planned(study, arms, seeds=1).unfinished == {}


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
