"""Two looks at a study: `sweep --settle`."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.commands import Command, Resformer, check_refused, tree
from support.launches import requested
from support.studies import WrittenStudy, shape
from support.sweeps import TINY, TINY_SETTINGS

from resformer.model.serial import shape_to_json
from resformer.model.shape import Member, Shape
from resformer.plan import provenance
from resformer.reporting.analysis.summary import summarise
from resformer.residuals.add import Add
from resformer.residuals.deepnorm import DeepNorm
from resformer.residuals.plain import Plain
from resformer.results.members import read
from resformer.rounds.finished import complete, with_digests
from resformer.rounds.rates import with_rates
from resformer.rounds.settle import second_request, settled
from resformer.stats.multiplicity import LEVEL
from resformer.stats.power import FIRST_LOOK, SECOND_LOOK
from resformer.store.study import Study
from resformer.sweep.rate_grid import start
from resformer.sweep.request import Request

SEEDS = 6
SOLVES, FAILS = 100, 1.0
ALL, NONE = [SOLVES] * 12, [FAILS] * 12
HALF = [SOLVES, FAILS] * 6
MOST = [SOLVES, SOLVES, SOLVES, SOLVES, FAILS, SOLVES] * 2
FEW = [FAILS, FAILS, FAILS, SOLVES, FAILS, FAILS] * 2

Outcomes = Mapping[type, Mapping[int, list[Any]]]
"""Outcomes of twelve seeds, of which the first look sees six, by scheme and depth."""


def first_request(outcomes: Outcomes) -> Request:
    shapes = [
        shape(depth, scheme(), "post")
        for scheme, by_depth in outcomes.items()
        for depth in by_depth
    ]
    return requested(shapes, seeds=SEEDS, rates=[3e-3])


def results(folder: Path, outcomes: Outcomes, *requests: Request) -> pd.DataFrame:
    """Finished members of these requests; at depths that are not named nobody solves."""
    return with_digests(read([study(folder, outcomes, *requests)]), requests[-1])


def study(folder: Path, outcomes: Outcomes, *requests: Request) -> Study:
    """A study that was asked for with `--settle` and has these results."""
    made = WrittenStudy(folder, "some")
    written: set[tuple[Shape, Member]] = set()
    for request in requests:
        for of_request, members in request.shapes:
            new = [member for member in members if (of_request, member) not in written]
            written |= {(of_request, member) for member in new}
            by_depth = outcomes[type(of_request.residual)]
            ends = by_depth.get(of_request.model.depth, NONE)
            if new:
                made.job(of_request, new, [ends[member.seed] for member in new])
    fingerprint = provenance.fingerprint([shape_to_json(job.shape) for job, _ in made.jobs])
    return made.write(words=("resformer", "sweep", "--settle"), fingerprint=fingerprint)


def added(first: Request, second: Request) -> dict[tuple[type, int], list[int]]:
    """Seeds that the second look adds, by scheme and depth."""
    before = dict(first.shapes)
    new = {
        (type(of_second.residual), of_second.model.depth): [
            member.seed for member in members if member not in before.get(of_second, ())
        ]
        for of_second, members in second.shapes
    }
    return {key: seeds for key, seeds in new.items() if seeds}


def test_more_seeds_where_undecided_and_half_octaves_at_limits_inside_the_grid(
    tmp_path: Path,
) -> None:
    outcomes = {
        Plain: {1: ALL, 2: ALL, 4: NONE, 8: NONE},
        Add: {1: ALL, 2: ALL, 4: ALL, 8: ALL},  # decided
        DeepNorm: {1: ALL, 2: ALL, 4: HALF, 8: NONE},
    }
    first = first_request(outcomes)
    members = results(tmp_path / "first", outcomes, first)
    second = second_request(first, members)
    again, few = list(range(6, 12)), list(range(6))
    assert added(first, second) == {
        **{(scheme, depth): again for scheme in (Plain, DeepNorm) for depth in (1, 2, 4, 8)},
        (Plain, 3): few + again,
        (DeepNorm, 6): few + again,
    }
    # When these have run, the second look is the same.
    members = results(tmp_path / "second", outcomes, first, second)
    assert complete(members, second.shapes)
    assert second_request(first, members).shapes == second.shapes
    verdicts = settled(first, second, members)
    labels = {row.labels[0]: row for row in verdicts.comparisons}
    assert {name: row.verdict for name, row in labels.items()} == {
        "add": "better",
        "deepnorm": "better",  # 6 of 12 against none
    }
    seeds = {name: row.depths[0].scheme.seeds for name, row in labels.items()}
    assert seeds == {"add": 6, "deepnorm": 12}
    assert [row.depth for row in labels["deepnorm"].depths] == [1, 2, 4, 8]
    # Holm of two at the first look: the smaller p-value twice; at the second the only one that is
    # left, by 12 against 12 seeds.
    assert labels["add"].p_adjusted == pytest.approx(2 / 924 * 2 * 0.05 / FIRST_LOOK)
    p = labels["deepnorm"].p
    assert p is not None
    assert labels["deepnorm"].p_adjusted == pytest.approx(p * 0.05 / SECOND_LOOK)
    assert (verdicts.exit_code, verdicts.looked_twice) == (0, 1)
    assert "of 2 comparisons 2 better, 0 worse, 0 undecided, 1 after a second" in verdicts.words


def test_no_depths_between_where_the_width_comes_with_the_depth(tmp_path: Path) -> None:
    """It is given for the depths of the grid only."""
    outcomes = {Plain: {1: ALL, 2: ALL, 4: NONE}, Add: {1: ALL, 2: ALL, 4: ALL}}
    widths = {1: 64, 2: 48, 4: 32}
    shapes = [
        replace(one, model=replace(one.model, width=width, hidden=4 * width))
        for one, _ in first_request(outcomes).shapes
        for width in [widths[one.model.depth]]
    ]
    first = requested(shapes, seeds=SEEDS, rates=[3e-3])
    members = results(tmp_path, outcomes, first)
    assert added(first, second_request(first, members)) == {}
    (row,) = settled(first, first, members).comparisons
    assert ([depth.depth for depth in row.depths], row.verdict) == ([1, 2, 4], "better")


def test_what_the_first_look_decides_has_no_second(tmp_path: Path) -> None:
    outcomes = {Plain: {1: ALL, 2: NONE}, Add: {1: ALL, 2: ALL}}
    first = first_request(outcomes)
    members = results(tmp_path, outcomes, first)
    second = second_request(first, members)
    assert added(first, second) == {}, "between depths 1 and 2 there is none"
    verdicts = settled(first, second, members)
    assert (verdicts.exit_code, verdicts.looked_twice) == (0, 0)
    assert "1 better, 0 worse, 0 undecided, at first look" in verdicts.words


@pytest.mark.parametrize(
    ("plain", "add", "verdict", "exit_code"),
    [
        (NONE, ALL, "better", 0),
        (FEW, MOST, "better", 0),
        (ALL, NONE, "worse", 3),
        (HALF, HALF, "undecided", 4),
        (HALF, MOST, "undecided", 4),
    ],
)
def test_verdicts_and_exit_codes(
    tmp_path: Path, plain: list[Any], add: list[Any], verdict: str, exit_code: int
) -> None:
    outcomes = {Plain: {1: ALL, 2: plain}, Add: {1: ALL, 2: add}}
    first = first_request(outcomes)
    second = second_request(first, results(tmp_path / "first", outcomes, first))
    members = results(tmp_path / "second", outcomes, first, second)
    verdicts = settled(first, second, members)
    assert [row.verdict for row in verdicts.comparisons] == [verdict]
    assert verdicts.exit_code == exit_code
    later = summarise(read([study(tmp_path / "later", outcomes, first, second)]))
    assert later.settled
    assert [row.verdict for row in later.comparisons] == [verdict]


def test_a_report_takes_what_the_sweep_settled_at_its_level(tmp_path: Path) -> None:
    """8 of 14 seeds against 2 of 14: p is under 0.05, not under the level of the second look."""
    plain, add = [SOLVES] * 4 + [FAILS] * 3, [SOLVES] + [FAILS] * 6
    outcomes = {Plain: {1: [SOLVES] * 14, 2: plain * 2}, Add: {1: [SOLVES] * 14, 2: add * 2}}
    first = requested(
        [shape(depth, scheme(), "post") for depth in (1, 2) for scheme in (Add, Plain)],
        seeds=7,
        rates=[3e-3],
    )
    second = second_request(first, results(tmp_path / "first", outcomes, first))
    (row,) = summarise(read([study(tmp_path / "second", outcomes, first, second)])).comparisons
    assert row.p is not None
    assert SECOND_LOOK < row.p <= LEVEL < (row.p_adjusted or 0.0)
    assert row.verdict == "undecided"


def test_undecided_weighs_more_than_worse(tmp_path: Path) -> None:
    outcomes = {
        Plain: {1: ALL, 2: ALL},
        Add: {1: ALL, 2: ALL},
        DeepNorm: {1: ALL, 2: NONE},
    }
    first = first_request(outcomes)
    second = second_request(first, results(tmp_path / "first", outcomes, first))
    members = results(tmp_path / "second", outcomes, first, second)
    verdicts = settled(first, second, members)
    assert (verdicts.count("worse"), verdicts.count("undecided")) == (1, 1)
    assert verdicts.exit_code == 4


def test_a_pair_that_shares_no_learning_rate_is_undecided(tmp_path: Path) -> None:
    outcomes = {
        Plain: {1: ALL, 2: NONE},
        Add: {1: ALL, 2: ALL},
        DeepNorm: {1: ALL, 2: ALL},
    }
    base = first_request(outcomes)
    first = replace(
        base,
        shapes=[
            (
                of_first,
                [replace(member, lr=1e-2) for member in members]
                if isinstance(of_first.residual, DeepNorm)
                else members,
            )
            for of_first, members in base.shapes
        ],
    )
    members = results(tmp_path, outcomes, first)
    verdicts = settled(first, second_request(first, members), members)
    assert [row.verdict for row in verdicts.comparisons] == ["better"]
    assert verdicts.exit_code == 4
    assert "of 2 comparisons 1 better, 0 worse, 1 undecided" in verdicts.words
    assert "1 of them without a learning rate that ran in both" in verdicts.words


def test_where_nobody_solves_more_seeds_are_no_use(tmp_path: Path) -> None:
    outcomes = {Plain: {1: NONE, 2: NONE}, Add: {1: NONE, 2: NONE}}
    first = first_request(outcomes)
    members = results(tmp_path, outcomes, first)
    second = second_request(first, members)
    assert added(first, second) == {}
    assert settled(first, second, members).exit_code == 4


def test_seeds_of_the_second_look_have_every_rate_of_the_first(tmp_path: Path) -> None:
    outcomes = {Plain: {1: ALL, 2: FEW, 4: NONE}, Add: {1: ALL, 2: HALF, 4: NONE}}
    base = first_request(outcomes)
    first = replace(
        base,
        shapes=[
            (of_first, [Member(seed=seed, lr=lr) for seed in range(SEEDS) for lr in start([3e-3])])
            for of_first, _ in base.shapes
        ],
        auto_rates=frozenset(of_first for of_first, _ in base.shapes),
    )
    members = results(tmp_path, outcomes, first)
    # All rates are alike here, so the smallest is the best, and lies at the edge.
    grown = with_rates(first, members)
    assert {member.lr for _, own in grown.shapes[:1] for member in own} == {3e-4, *start([3e-3])}
    members = results(tmp_path / "more", outcomes, first, grown)
    second = second_request(grown, members)
    for of_second, own in second.shapes:
        rates = {member.lr for member in own}
        assert {(member.seed, member.lr) for member in own} == {
            (seed, lr) for seed in range(12) for lr in rates
        }
        assert of_second in second.auto_rates


SETTLE = [
    *("model.depth=1,2", "model.residual=true,false", "train.steps=20", "member.seed=0,1,2"),
    *TINY_SETTINGS,
]


@pytest.mark.sweep
def test_a_sweep_that_settles_nothing_says_so_by_its_exit_code(
    command: Command, resformer: Resformer, tmp_path: Path
) -> None:
    words = [*SETTLE, "train.target_accuracy=0.01", "--settle"]
    result = command("sweep", *words)
    assert result.returncode == 4, result.stderr
    assert "1 comparison, 3 seeds, 6 where undecided: a limit apart" in result.stderr
    assert "round 2" in result.stderr
    assert "of 1 comparison 0 better, 0 worse, 1 undecided, 1 after a second" in result.stderr
    assert "6/6" in result.stdout
    assert "looked at these twice" not in result.stdout
    assert "looked at these twice (--settle)" in " ".join(resformer("report").stdout.split())
    before = tree(tmp_path)
    again = resformer("sweep", *words)
    assert (again.exit_code, again.stdout) == (4, result.stdout)
    assert "all finished" in again.stderr
    assert tree(tmp_path) == before


def test_settling_needs_a_comparison(resformer: Resformer, tmp_path: Path) -> None:
    check_refused(resformer("sweep", *TINY, "member.seed=0,1,2", "--settle"), "--settle")
    assert tree(tmp_path) == {}


def test_settling_needs_a_learning_rate_that_both_have(
    resformer: Resformer, tmp_path: Path
) -> None:
    study_file = tmp_path / "configs" / "study" / "apart.yaml"
    study_file.parent.mkdir(parents=True)
    common = [*TINY, "member.seed=0,1,2"]
    arms = [["model.residual=true", "member.lr=1e-2"], ["model.residual=false", "member.lr=1e-4"]]
    study_file.write_text(json.dumps([[*common, *arm] for arm in arms]))
    refused = resformer("sweep", "--study", "apart", "--settle")
    check_refused(refused, "share no learning rate; give both the same, as member.lr=0.0001,0.01")
    dry = resformer("sweep", "--study", "apart", "--dry-run")
    assert dry.exit_code == 0
    assert "1 comparison cannot be made: its arms share no learning rate" in dry.stdout
