"""Plans of earlier versions: their shapes in today's words."""

from pathlib import Path

import pytest
from support.earlier import in_earlier_words
from support.schemes import scheme
from support.studies import SEEDS, WrittenStudy, shape

from resformer.plan.jobs import Job
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.serial import to_json
from resformer.residuals.add import Add
from resformer.results.members import read
from resformer.store.earlier import in_todays_words
from resformer.store.shapes import job_label, shape_settings


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_an_earlier_shape_is_the_only_block_and_training_that_there_was(
    weight_decay: float,
) -> None:
    """Weight decay was that of all parameters."""
    today = shape(1, Add(), "post", weight_decay=weight_decay, decay_all=weight_decay > 0)
    job = Job(shape=today, members=tuple(SEEDS)).to_json()
    earlier = in_earlier_words(job)
    assert shape_settings(earlier) == shape_settings(job)
    assert job_label(earlier) == job_label(job) == "copy depth 1 add post"
    assert in_todays_words(job["shape"]) == job["shape"]


def test_settings_that_a_version_did_not_have_are_those_of_its_only_model() -> None:
    job = Job(shape=shape(1, Add(), "post"), members=tuple(SEEDS)).to_json()
    model = {key: value for key, value in job["shape"]["model"].items() if key != "loops"}
    assert in_todays_words({**job["shape"], "model": model}) == job["shape"]


def test_an_earlier_mhc_started_as_it_does_by_default() -> None:
    today = Job(shape=shape(1, scheme("mhc"), "pre"), members=tuple(SEEDS)).to_json()
    residual = {**today["shape"]["model"]["residual"]}
    assert residual.pop("start") == "apart"
    model = {**today["shape"]["model"], "residual": residual}
    earlier = {**today, "shape": {**today["shape"], "model": model}}
    assert shape_settings(earlier) == shape_settings(today)
    assert in_todays_words(today["shape"]) == today["shape"]


def test_a_plan_before_target_losses_had_none() -> None:
    job = Job(shape=shape(1, Add(), "post", dropout=0.1), members=tuple(SEEDS)).to_json()
    train = {key: value for key, value in job["shape"]["train"].items() if key != "target_loss"}
    earlier = {**job, "shape": {**job["shape"], "train": train}}
    assert shape_settings(earlier) == shape_settings(job)


def test_an_earlier_study_with_weight_decay_differs_from_one_of_today_in_what_decays(
    tmp_path: Path,
) -> None:
    studies = [WrittenStudy(tmp_path, name) for name in ("earlier", "today")]
    for made, decay_all in zip(studies, (True, False), strict=True):
        decaying = shape(1, Add(), "post", weight_decay=0.1, decay_all=decay_all)
        made.job(decaying, SEEDS, [100] * 5)
    earlier, today = studies
    written = [earlier.write(in_plan=in_earlier_words), today.write()]
    report = to_json(summarise(read(written)))
    assert report["differing"] == {"train.decay_all": {"earlier": True, "today": False}}
    assert report["settings"]["optimizer.weight_decay"] == 0.1
    assert report["settings"]["model"] == "classic"
