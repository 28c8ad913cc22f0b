"""`resformer claim FILE`: stated before it runs, judged by its bound."""

import json
from pathlib import Path

import pytest
from support.commands import Resformer, check_refused
from support.sweeps import TINY_SETTINGS

CLAIM = """\
title: the loss of plain stacks rises with depth
source: He et al. 2015, arXiv 1512.03385, figure 1
study:
  - task=copy
  - model.depth=1,2
  - model.residual=false,true
  - model.norm=pre
  - member.lr=1e-2
  - member.seed=range(0,3)
  - train.steps=10
  - train.stop_when_solved=false
SETTINGS
statistic:
  name: slope
  of: final_loss
  arm: residual=plain
  on: model.depth
holds:
  above: 0
also:
  - {name: doublings, arm: residual=add, against: residual=plain}
""".replace("SETTINGS", "\n".join(f"  - {setting}" for setting in TINY_SETTINGS))


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A claim that takes seconds."""
    path = tmp_path / "deeper.yaml"
    path.write_text(CLAIM)
    return path


@pytest.mark.sweep
def test_a_claim_is_stated_run_and_judged(
    resformer: Resformer, claim: Path, tmp_path: Path
) -> None:
    result = resformer("claim", "deeper.yaml", "--workers", "1")
    assert result.exit_code == 0, result.stderr
    assert "12 members, 4 jobs to run, 1 worker" in result.stderr
    lines = result.stdout.splitlines()
    assert " ".join(lines[0].split()) == "claim the loss of plain stacks rises with depth"
    assert any("before anything ran" in line for line in lines)
    (launch,) = (tmp_path / "results/claim-deeper/launches").glob("*.json")

    again = resformer("claim", "deeper.yaml", "--format", "json")
    assert "all finished" in again.stderr
    tree = json.loads(again.stdout)
    assert json.loads(launch.read_text())["claim"] == tree["stated"]
    assert (tree["bound"], tree["planned_before"]) == ("> 0", 0)
    statistic = tree["statistic"]
    by_bound = {
        "holds": statistic["low"] > 0,
        "does not hold here": statistic["high"] < 0,
        "undecided": statistic["low"] <= 0 <= statistic["high"],
    }
    assert by_bound[tree["verdict"]]
    assert [each["p"] for each in tree["also"]] == [1.0]

    claim.write_text(CLAIM.replace("above: 0", "above: 0.5"))
    changed = json.loads(resformer("claim", "deeper.yaml", "--format", "json").stdout)
    assert changed["planned_before"] == 4, "all jobs were planned before this bound was stated"
    assert changed["stated"] != tree["stated"]


def test_words_that_decide_nothing_are_not_part_of_what_is_stated(
    resformer: Resformer, claim: Path
) -> None:
    from resformer.claims.file import read

    before = read(claim).digest
    claim.write_text(CLAIM.replace("He et al. 2015", "He et al. 2016"))
    assert read(claim).digest == before
    claim.write_text(CLAIM.replace("range(0,3)", "range(0,4)"))
    assert read(claim).digest != before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title:", "titel:"), "titel: is no key of a claim"),
        (("title: the loss of plain stacks rises with depth", ""), "lacks title"),
        (("name: slope", "name: slop"), "'slop' is none of the statistics there are: difference"),
        (("of: final_loss", "of: loss"), "of=loss: must be one of best_lr, final_loss"),
        (("  of: final_loss\n", ""), "statistic: lacks of"),
        (("on: model.depth", "at: model.depth"), "statistic: at: is no setting"),
        (("on: model.depth", "on: model.width"), "on: model.width: residual=plain has one value"),
        (("on: model.depth", "on: model.size"), "on: model.size: is no setting of this study"),
        (("arm: residual=plain", "arm: residual=rezero"), "arm residual=rezero: there are add"),
        (("arm: residual=plain", "arm: plain"), "arm plain: must be KEY=VALUE"),
        (("above: 0", "above: nothing"), "holds: above=nothing: must be a number"),
        (("above: 0", "above: nan"), "holds: above=nan: must be a number"),
        (("holds:\n  above: 0", "holds: {above: 2, below: 1}"), "above 2 and below 1: nothing is"),
        (("stop_when_solved=false", "stop_when_solved=true"), "train.stop_when_solved=false"),
        (("model.depth=1,2", "model.dept=1,2"), "model.dept"),
        (("study:", "study: &there"), "has anchors or aliases"),
        (("title: the", "title: !!str the"), "has a tag"),
        (("also:\n  - {name", "also: {name"), "also: must be a list of statistics"),
    ],
)
def test_a_claim_that_makes_no_sense_is_refused_before_anything_runs(
    resformer: Resformer, claim: Path, change: tuple[str, str], message: str
) -> None:
    assert change[0] in CLAIM
    claim.write_text(CLAIM.replace(*change))
    result = resformer("claim", "deeper.yaml")
    check_refused(result, message)
    assert not Path("results").exists()
