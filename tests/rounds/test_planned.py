"""What a sweep can show, before it runs."""

from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import Resformer
from support.launches import requested
from support.studies import WrittenStudy, shape
from support.sweeps import TINY_SETTINGS

from resformer import config
from resformer.model.shape import Member
from resformer.reporting.analysis.summary import summarise
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.members import read
from resformer.rounds.planned import planned

GRID = ["model.depth=1,2", "train.steps=20", "member.lr=1e-3,1e-2", *TINY_SETTINGS]


def test_the_quick_study_has_two_comparisons_of_six_seeds() -> None:
    quick = planned(config.request("quick", []))
    assert (len(quick.pairs), quick.seeds) == (2, 6)
    assert {scheme.residual for scheme, _ in quick.pairs} == {"add"}


def test_pairs_are_those_of_the_report(tmp_path: Path) -> None:
    request = config.request(
        "some",
        [
            *GRID,
            "model/residual=plain,add,rezero,keel",
            "model.norm=own,post",
            "model.activation=relu,gelu",
            "member.seed=0,1",
        ],
    )
    made = WrittenStudy(tmp_path, "some")
    for of_request, members in request.shapes:
        made.job(of_request, members, [1.0] * len(members))
    report = summarise(read([made.write()]))
    pairs = [(row.scheme, row.baseline) for row in report.comparisons]
    assert pairs
    assert set(planned(request).pairs) == set(pairs)


@pytest.mark.parametrize("where", ["dry", "sweep"])
@pytest.mark.sweep
def test_a_sweep_says_what_its_seeds_can_show(resformer: Resformer, where: str) -> None:
    words = [*GRID, "model.residual=true,false", "member.seed=0,1,2"]
    line = (
        "1 comparison, 3 seeds: a limit apart by one grid depth is found with probability 0.00; 7 "
        "in each arm would find it with 0.97"
    )
    result = resformer("sweep", *words, *(["--dry-run"] if where == "dry" else []))
    assert result.exit_code == 0
    assert line in (result.stdout if where == "dry" else result.stderr).splitlines()
    if where == "sweep":
        again = resformer("sweep", *words)
        assert line not in again.stderr, "nothing is left to run"


def test_one_depth_is_not_called_a_limit() -> None:
    words = ["model.depth=2", "model.residual=true,false", "member.seed=range(0,5)"]
    assert planned(config.request("some", words)).notes(looks=1) == [
        "1 comparison, 5 seeds: 95 % of seeds that solve against 5 % are found with probability "
        "0.91"
    ]


def test_nothing_is_said_where_nothing_is_compared(resformer: Resformer) -> None:
    result = resformer("sweep", "--dry-run", *GRID)
    assert "probability" not in result.stdout


def test_arms_that_share_no_depth_are_no_comparison() -> None:
    grids = [
        config.request(
            "some", [f"model.depth={depth}", f"model.residual={residual}", "member.seed=0,1"]
        )
        for depth, residual in ((1, "true"), (2, "false"))
    ]
    both = replace(grids[0], shapes=grids[0].shapes + grids[1].shapes)
    assert planned(both).pairs == ()


def test_arms_that_share_no_learning_rate_are_no_comparison(tmp_path: Path) -> None:
    plain = [Member(seed=seed, lr=1e-4) for seed in (0, 1)]
    add = [Member(seed=seed, lr=rate) for seed in (0, 1) for rate in (1e-3, 1e-2)]
    request = replace(
        requested([]), shapes=[(shape(1, Add(), "post"), add), (shape(1, Plain(), "post"), plain)]
    )
    made = WrittenStudy(tmp_path, "some")
    for of_request, members in request.shapes:
        made.job(of_request, members, [1.0] * len(members))
    assert summarise(read([made.write()])).comparisons == ()
    compared = planned(request)
    assert compared.pairs == ()
    assert [(one.residual, other.residual) for one, other in compared.without_shared_rates] == [
        ("add", "plain")
    ]


def test_a_depth_with_other_learning_rates_does_not_count() -> None:
    grids = [["model.depth=1,2", "model.residual=true"], ["model.depth=1", "model.residual=false"]]
    rates = ["member.lr=1e-3", "member.seed=0,1"]
    requests = [config.request("some", [*grid, *rates]) for grid in grids]
    requests.append(
        config.request(
            "some", ["model.depth=2", "model.residual=false", "member.lr=1e-2", "member.seed=0,1"]
        )
    )
    together = replace(
        requests[0], shapes=[shape for request in requests for shape in request.shapes]
    )
    compared = planned(together)
    assert (len(compared.pairs), compared.one_depth) == (1, True)
    assert compared.without_shared_rates == ()
