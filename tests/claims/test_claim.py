"""`resformer claim FILE`: stated before it runs, judged by its bound."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.commands import Resformer, check_refused
from support.sweeps import TINY_SETTINGS

from resformer import complete, plugins
from resformer.claims.file import read
from resformer.claims.judge import requested

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
  - train.keep_weights=true
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
  - {name: lesion, arm: residual=add, on: model.depth}
  - {name: initial_exponent, of: rms, arm: residual=add, on: model.depth}
""".replace("SETTINGS", "\n".join(f"  - {setting}" for setting in TINY_SETTINGS))


NEEDS = """\
needs:
  statistic: {name: mean, of: share_of_blind, arm: residual=add depth=2}
  holds: {below: 0.5}
"""
ALSO = CLAIM[CLAIM.index("also:") :]


def also(name: str, arm: str, against: str) -> str:
    """Another statistic beside the judged one."""
    return f"also: [{{name: {name}, arm: residual={arm}, against: residual={against}}}]\n"


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

    again = resformer("claim", "deeper.yaml", "--format", "json", "--to", "kept/claims")
    assert "all finished" in again.stderr
    tree = json.loads(again.stdout)
    check_written(tmp_path / "kept" / "claims", tree)
    assert json.loads(launch.read_text())["claim"] == tree["stated"]
    assert (tree["bound"], tree["planned_before"]) == ("> 0", 0)
    assert (tree["needs"], tree["at_edge"]) == (None, None)
    statistic = tree["statistic"]
    by_bound = {
        "holds": statistic["low"] > 0,
        "does not hold here": statistic["high"] < 0,
        "undecided": statistic["low"] <= 0 <= statistic["high"],
    }
    assert by_bound[tree["verdict"]]
    assert [each["p"] for each in tree["also"]] == [1.0, None, None]

    claim.write_text(CLAIM.replace("above: 0", "above: 0.5"))
    changed = json.loads(resformer("claim", "deeper.yaml", "--format", "json").stdout)
    assert changed["planned_before"] == 4, "all jobs were planned before this bound was stated"
    assert changed["stated"] != tree["stated"]

    claim.write_text(CLAIM + NEEDS)
    shown = " ".join(resformer("claim", "deeper.yaml").stdout.split())
    assert "needs final loss over the blind loss of residual=add depth=2:" in shown
    assert "; undecided unless < 0.5" in shown
    needs = json.loads(resformer("claim", "deeper.yaml", "--format", "json").stdout)
    assert needs["needs"]["bound"] == "< 0.5"
    assert needs["needs"]["value"] > 0.5, "ten steps teach nothing"
    assert needs["verdict"] == "undecided"

    claim.write_text(CLAIM + NEEDS.replace("0.5", "5"))
    met = json.loads(resformer("claim", "deeper.yaml", "--format", "json").stdout)
    assert met["verdict"] == tree["verdict"]


def check_written(folder: Path, tree: dict[str, Any]) -> None:
    """The printed result with its circumstances, the numbers of the verdict, and a figure."""
    assert {path.name for path in folder.iterdir()} == {
        f"deeper.{kind}" for kind in ("json", "csv", "svg")
    }
    written = json.loads((folder / "deeper.json").read_text())
    facts = written.pop("facts")
    assert written == tree
    assert facts["trained"]["core_seconds"] >= 0
    assert facts["command"].startswith("resformer")
    numbers = pd.read_csv(folder / "deeper.csv")
    assert [*numbers] == ["arm", "place", "seed", "final_loss"]
    assert numbers.groupby("place")["seed"].apply(list).to_dict() == {1: [0, 1, 2], 2: [0, 1, 2]}
    slopes = numbers.pivot(index="seed", columns="place", values="final_loss").diff(axis=1)[2]
    # Numbers are written with six digits.
    assert tree["statistic"]["value"] == pytest.approx(slopes.mean() / np.log(2), abs=1e-5)
    figure = (folder / "deeper.svg").read_text()
    assert "depth (blocks)" in figure
    assert "residual=plain" in figure


UNTRAINED = """\
title: norms in front leave the stream to grow
study: ['model.depth=1,8', model.norm=pre, "member.seed=range(0,6)", device=cpu, SETTINGS]
statistic: {name: initial_exponent, of: rms, arm: norm=pre, on: model.depth}
holds: {above: 0}
""".replace("SETTINGS", ", ".join(TINY_SETTINGS))


def test_a_claim_about_models_before_training_sweeps_nothing(
    resformer: Resformer, tmp_path: Path
) -> None:
    (tmp_path / "before.yaml").write_text(UNTRAINED)
    dry = resformer("claim", "before.yaml", "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "")
    assert "measures 2 models before training" in dry.stderr
    tree = json.loads(resformer("claim", "before.yaml", "--format", "json", "--to", "kept").stdout)
    assert (tree["study"], tree["planned_before"]) == (None, None)
    assert tree["verdict"] == "holds"
    assert json.loads((tmp_path / "kept" / "before.json").read_text())["facts"]["trained"] is None
    assert not (tmp_path / "results").exists()


def test_a_name_stands_for_a_claim_that_is_there(resformer: Resformer, tmp_path: Path) -> None:
    names = [*plugins.claims()]
    assert names[:2] == ["1-rank", "2-gradient"]
    assert names == sorted(names, key=lambda name: int(name.partition("-")[0]))
    shown = resformer("claim", "7-skips", "--dry-run")
    assert shown.exit_code == 0
    assert "720 members" in shown.stdout + shown.stderr
    check_refused(
        resformer("claim", "7-skip"), f"7-skip: is no file and no claim; there are {names[0]}"
    )
    check_refused(resformer("claim", "7-skip.yaml"), "7-skip.yaml: is no file")
    own = tmp_path / "configs" / "claim" / "12-own.yaml"
    own.parent.mkdir(parents=True)
    own.write_text(UNTRAINED)
    assert "12-own" in plugins.claims()
    assert complete.claims("1") == [name for name in plugins.claims() if name.startswith("1")]
    (tmp_path / "mine.yaml").write_text(UNTRAINED)
    assert complete.claims("m") == ["mine.yaml"]
    assert "configs/" in complete.claims("con")


def test_words_that_decide_nothing_are_not_part_of_what_is_stated(
    resformer: Resformer, claim: Path
) -> None:
    before = stated(claim, CLAIM)
    assert stated(claim, CLAIM.replace("He et al. 2015", "He et al. 2016")) == before
    assert stated(claim, CLAIM.replace("model.depth=1,2", "model.depth=2,1")) == before
    assert stated(claim, CLAIM.replace("range(0,3)", "range(0,4)")) != before
    assert stated(claim, CLAIM + NEEDS) != before
    assert stated(claim, CLAIM + NEEDS) != stated(claim, CLAIM + NEEDS.replace("0.5", "0.6"))


def test_a_default_that_changed_is_another_statement(resformer: Resformer, claim: Path) -> None:
    """The file is the same, its members are not; on how many processes they train is no matter."""
    before = stated(claim, CLAIM)
    assert requested(read(claim), ["train.batch=8"]).claim != before
    assert requested(read(claim), ["engine.workers=1"]).claim == before


def stated(claim: Path, text: str) -> str | None:
    """Hash of a claim of this text."""
    claim.write_text(text)
    return requested(read(claim), []).claim


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("title:", "titel:"), "titel: is no key of a claim"),
        (("title: the loss of plain stacks rises with depth", ""), "lacks title"),
        (
            ("name: slope", "name: slop"),
            "'slop' is none of the statistics there are: attention_rank",
        ),
        (("of: final_loss", "of: loss"), "of=loss: must be one of best_lr, final_loss"),
        (("  of: final_loss\n", ""), "statistic: lacks of"),
        (("on: model.depth", "at: model.depth"), "statistic: at: is no setting"),
        (("on: model.depth", "on: model.width"), "on: model.width: residual=plain has one value"),
        (("on: model.depth", "on: model.size"), "on: model.size: is no setting of this study"),
        (("arm: residual=plain", "arm: residual=rezero"), "arm residual=rezero: there are add"),
        (("arm: residual=plain", "arm: plain"), "arm plain: must be KEY=VALUE"),
        (("above: 0", "above: nothing"), "holds: above=nothing: must be a number"),
        (("above: 0", "above: nan"), "holds: above=nan: must be a number"),
        (
            ("holds:\n  above: 0", "holds: {above: 2, below: 1}"),
            "above 2 and below 1: no number is both",
        ),
        (("stop_when_solved=false", "stop_when_solved=true"), "train.stop_when_solved=false"),
        (("keep_weights=true", "keep_weights=false"), "lesion: needs what members learnt"),
        (("of: rms", "of: size"), "of=size: must be one of "),
        (("model.depth=1,2", "model.dept=1,2"), "model.dept"),
        (("study:", "study: &there"), "has anchors or aliases"),
        (("title: the", "title: !!str the"), "has a tag"),
        ((ALSO, "also: {name: doublings}\n"), "also: must be a list of statistics"),
        (("title: the", "title: one\ntitle: the"), "has title twice in one mapping"),
        (("  above: 0", "  above: 0\n  above: 1"), "has above twice in one mapping"),
        (
            ("model.norm=pre", "model.norm=pre\n  - model.norm_kind=layer,rms"),
            "model.depth=1: has 2 models; say which model and model.norm_kind",
        ),
        (("range(0,3)", "0"), "fewer than two seeds"),
        (("of: final_loss", "of: best_lr"), "member.lr: has one value"),
        (("of: final_loss", "of: lr_sensitivity"), "member.lr: has one value"),
        (("of: final_loss", "of: composite_gain"), "probe.every=null: the last of train.steps=10"),
        (
            ("on: model.depth\nholds", "on: model.depth\n  less: residual=plain\nholds"),
            "is the arm",
        ),
        (
            ("on: model.depth\nholds", "on: model.residual\nholds"),
            "on: model.residual: residual=pl",
        ),
        (
            (ALSO, also("difference, of: final_loss", "add", "plain")),
            "has 2 models; say which depth",
        ),
        ((ALSO, also("doublings", "add", "add")), "against: residual=add: is the arm itself"),
        ((ALSO, "needs: {above: 1}\n"), "needs: must have a statistic and holds"),
        ((ALSO, NEEDS.replace("mean", "main")), "needs: statistic: name: 'main' is none of"),
        ((ALSO, NEEDS.replace(" depth=2", "")), "residual=add: has 2 models; say which depth"),
        ((ALSO, "also: [{name: steps_ratio, above: [], below: []}]\n"), "need an arm each"),
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
