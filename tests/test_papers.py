"""Numbers in `scripts/claims`: exponents, verdicts, the table. The claims themselves are tried by
hand.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import resformer
from lib.claims import (
    change,
    degradation,
    gradient,
    normless,
    rank,
    ratios,
    skipless,
    skips,
    study,
    tolerable,
)
from lib.claims.__main__ import markdown, write
from lib.claims.claim import Claim, Interval, Part, all_of, inside
from lib.claims.drawn import lines
from lib.claims.slopes import exponents, interval
from lib.claims.tolerable import Tolerated
from lib.facts import trained
from resformer.store.study import Study


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        ((0.1, 0.9), "holds"),
        ((0.0, 1.0), "holds"),
        ((-0.1, 0.5), "undecided"),
        ((0.5, 1.1), "undecided"),
        ((-2.0, 2.0), "undecided"),
        ((1.1, 2.0), "does not hold here"),
        ((-2.0, -0.1), "does not hold here"),
        ((-np.inf, np.inf), "undecided"),
    ],
)
def test_an_interval_that_straddles_its_bound_is_undecided(bounds: Interval, verdict: str) -> None:
    assert inside(bounds, 0.0, 1.0) == verdict


def test_a_claim_of_several_parts() -> None:
    assert all_of("holds", "holds") == "holds"
    assert all_of("holds", "undecided") == "undecided"
    assert all_of("undecided", "does not hold here", "holds") == "does not hold here"


def test_exponents_of_powers() -> None:
    depths = np.array([2.0, 4.0, 8.0, 64.0])
    measured = np.stack([3 * depths**-0.5, 0.1 * depths**2, np.ones(4)])
    np.testing.assert_allclose(exponents(depths, measured), [-0.5, 2.0, 0.0], atol=1e-12)


def test_intervals_over_seeds_are_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert interval(values) == pytest.approx((expected.low, expected.high))
    assert interval(np.ones(3)) == (-np.inf, np.inf)


def test_how_fast_a_logarithm_grows() -> None:
    cubed = np.array(
        [
            [0.9, *(0.4 ** (3.0**layer) for layer in range(4)), 1e-15],
            [1.0, 0.6, 0.3, 0.09, 0.0081, 1e-16],
        ]
    )
    np.testing.assert_allclose(rank.growths(cubed), [3.0, 2.0], rtol=1e-3)
    assert np.isnan(rank.growths(np.array([[0.9, 0.8, 0.7]]))).all()


@pytest.mark.parametrize(
    ("judged", "first", "second", "verdict"),
    [
        (rank.judged, (2.6, 4.9), (0.2, 0.4), "holds"),
        (rank.judged, (1.1, 1.2), (0.2, 0.4), "does not hold here"),
        (rank.judged, (2.6, 4.9), (0.05, 0.4), "undecided"),
        (gradient.judged, (-0.05, 0.08), (-0.55, -0.45), "holds"),
        (gradient.judged, (0.2, 0.3), (-0.55, -0.45), "does not hold here"),
        (gradient.judged, (-0.05, 0.08), (-0.55, -0.35), "undecided"),
        (change.judged, (0.6, 0.9), (-0.1, 0.1), "holds"),
        (change.judged, (0.6, 0.9), (0.3, 0.4), "does not hold here"),
        (change.judged, (0.4, 0.9), (-0.1, 0.1), "undecided"),
    ],
)
def test_verdicts_are_those_of_the_bounds(
    judged: Callable[[Interval, Interval], list[Part]],
    first: Interval,
    second: Interval,
    verdict: str,
) -> None:
    assert of(judged(first, second)) == verdict


def of(parts: Iterable[Part]) -> str:
    """The verdict of what is judged."""
    return all_of(*(part.verdict for part in parts if part.verdict))


def test_a_trend_over_depths_is_pages() -> None:
    rising = np.array([[1.0, 2.0, 3.0, 4.0]] * 5) + np.arange(5.0)[:, None]
    assert degradation.trend("plain", rising).verdict == "holds"
    assert degradation.trend("plain", -rising).verdict == "does not hold here"
    assert degradation.trend("plain", rising % 2).verdict == "undecided"
    assert degradation.trend("plain", np.where(rising > 7, np.inf, rising)).verdict == "holds"


def test_depth_limits_lie_between_bounds() -> None:
    def report(limit: int | None, low: int | None, high: int | None, solved: int) -> dict[str, Any]:
        arm = {"residual": "add", "norm": "post"}
        cells = [
            {**arm, "solved": solved, "seeds": 5},
            {**arm, "norm": "pre", "solved": 5, "seeds": 5},
        ]
        return {"limits": [{**arm, "depth_limit": limit, "low": low, "high": high}], "cells": cells}

    rows = [
        (8, 4, 8, 5),
        (16, 16, None, 5),
        (None, None, None, 0),
        (None, None, None, 2),
        (4, 4, 4, 5),
    ]
    limits = [degradation.limit(report(*row), "add", "post") for row in rows]
    assert limits == [(4, 8), (16, np.inf), (0, 0), (0, np.inf), (4, 4)]
    assert [degradation.bounds(one) for one in limits] == [
        "4 to 8",
        "at least 16",
        "none",
        "at least 0",
        "4",
    ]


def test_ratios_of_depth_limits() -> None:
    assert degradation.ratio((2, 4), (8, 8)) == (2, 4)
    assert degradation.ratio((0, 4), (8, np.inf)) == (2, np.inf)
    assert degradation.ratio((0, 0), (8, 8)) == (np.inf, np.inf)
    assert degradation.ratio((0, 0), (0, 0)) == (0, np.inf)
    assert degradation.ratio((4, 4), (0, 0)) == (0, 0)


@pytest.mark.parametrize(
    ("plain", "post", "pre", "verdict"),
    [
        ((2, 2), (8, 8), (16, np.inf), "holds"),
        ((0, 0), (8, 8), (16, np.inf), "holds"),
        ((2, 2), (8, 8), (8, 8), "holds"),
        ((4, 4), (4, 4), (16, np.inf), "does not hold here"),
        ((2, 2), (8, 8), (4, 4), "does not hold here"),
        ((2, 8), (8, 8), (16, np.inf), "undecided"),
        ((2, 2), (8, 16), (8, 16), "undecided"),
    ],
)
def test_the_order_of_depth_limits(
    plain: Interval, post: Interval, pre: Interval, verdict: str
) -> None:
    reach = dict(zip(degradation.ARMS, (plain, (1, 1), post, pre, (16, np.inf)), strict=True))
    assert of(degradation.order(reach)) == verdict


def warmed(cold: Sequence[float], warm: Sequence[float]) -> pd.DataFrame:
    """Two depths, at the first of which warm-up does nothing; a rate that is worse than the other
    by a factor.
    """
    losses = {(8, 0): [1.0, 1.01, 0.99], (8, 1): [1.0] * 3, (16, 0): cold, (16, 1): warm}
    return pd.DataFrame(
        [
            {
                "depth": depth,
                "seed": seed,
                "lr": lr,
                "train.warmup_steps": steps,
                "mean_loss": lr * loss,
            }
            for (depth, steps), by in losses.items()
            for seed, loss in enumerate(by)
            for lr in (1.0, 2.0)
        ]
    ).assign(**{"train.steps": 10})


def test_the_benefit_of_warmup() -> None:
    """Twice the loss without it at one depth and the same at the other: the square root of two, but
    for the seeds.
    """
    low, high = degradation.without_warmup(warmed([2.0, 2.1, 1.9], [1.0] * 3))
    assert low < np.sqrt(2) < high < 1.6
    broken = [degradation.without_warmup(warmed(*losses)) for losses in BROKEN]
    assert broken == [(np.inf, np.inf), (0, np.inf), (0, np.inf)]
    costs, costs_not = (1.2, 1.5), (0.9, 1.05)
    verdicts = [
        degradation.warmup(norm, False, one).verdict
        for norm in ("post", "pre")
        for one in (costs, costs_not)
    ]
    assert verdicts == ["holds", "does not hold here", "does not hold here", "holds"]
    assert [degradation.warmup(norm, True, broken[0]).verdict for norm in ("post", "pre")] == [
        *("holds", "does not hold here")
    ]
    assert degradation.warmup("post", True, broken[1]).verdict == "undecided"


BROKEN = [
    ([np.inf, np.inf, 1.0], [1.0] * 3),
    ([np.inf, 1.0, 1.0], [1.0] * 3),
    ([np.inf] * 3, [np.inf] * 3),
]
"""Losses without warm-up and with it, of seeds that broke."""


def test_the_largest_rate_that_is_tolerated() -> None:
    learns = {1e-3: 5, 2e-3: 4, 4e-3: 3, 8e-3: 2, 1.6e-2: 0}
    cell = pd.DataFrame(
        [{"lr": lr, "learnt": seed < count} for lr, count in learns.items() for seed in range(5)]
    )
    assert tolerable.tolerated(cell) == Tolerated(4e-3, 1e-3, 8e-3)
    assert tolerable.tolerated(cell[cell["lr"] < 8e-3]) == Tolerated(4e-3, 1e-3, np.inf)
    assert tolerable.tolerated(cell[cell["lr"] > 8e-3]) == Tolerated(0, 0, 0)
    assert str(Tolerated(4e-3, 1e-3, 8e-3)) == "0.004 (0.001 to 0.008)"
    assert str(Tolerated(4e-3, 4e-3, np.inf)) == "0.004 (at least 0.004)"
    assert [str(Tolerated(0, 0, high)) for high in (0, 1e-3)] == [
        "none",
        "none (at most 0.001)",
    ]


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((1, 2), (4, 8), "holds"),
        ((0, 0), (4, np.inf), "undecided"),
        ((1, 4), (4, 8), "undecided"),
        ((8, 8), (4, 8), "does not hold here"),
        ((8, 8), (0, 0), "does not hold here"),
        ((0, 0), (0, 0), "undecided"),
    ],
)
def test_one_rate_below_the_other(first: Interval, second: Interval, verdict: str) -> None:
    assert tolerable.less(Tolerated(first[0], *first), Tolerated(second[0], *second)) == verdict


def test_ratios_of_steps() -> None:
    first, second = np.array([100.0, 110.0, 90.0]), np.array([50.0, 56.0, 44.0])
    low, high = ratios.paired(first, second)
    assert low < 0.5 < high < 0.6
    assert ratios.paired(first, first) == (0, np.inf)
    assert [ratios.in_words(first, second, budget)[:2] for budget in (1000, 110, 56, 50)] == [
        "0.",
        "≤ ",
        "~ ",
        "~ ",
    ]
    assert ratios.in_words(second, first, 110)[:2] == "≥ "
    assert ratios.in_words(first, first, 1000) == "unknown"
    assert ratios.solved(second, 56) == (2, pytest.approx((0.208, 0.939), abs=1e-3))


@pytest.mark.parametrize(
    ("post", "rezero", "verdict"),
    [
        ([90, 80, 100, 90, 80], [50, 50, 60, 50, 40], "holds"),
        ([50, 50, 60, 50, 40], [90, 80, 100, 90, 80], "does not hold here"),
        ([50, 90, 60, 80, 70], [60, 70, 80, 50, 90], "undecided"),
        ([600, 500, 600, 500, 600], [50, 50, 600, 600, 40], "undecided"),
    ],
)
def test_rezero_against_post_norm(post: list[float], rezero: list[float], verdict: str) -> None:
    spent = dict.fromkeys(normless.ARMS, np.array(post, float)) | {
        next(iter(normless.ARMS)): np.array(rezero, float)
    }
    assert of(normless.judged("depth 4", spent, 600.0)) == verdict


@pytest.mark.parametrize(
    ("plain", "shaped", "verdict"),
    [
        (0, 5, "holds"),
        (5, 5, "does not hold here"),
        (0, 0, "does not hold here"),
        (1, 5, "undecided"),
    ],
)
def test_plain_unsolved_and_shaped_solved(plain: int, shaped: int, verdict: str) -> None:
    def arm(solved: int) -> np.ndarray:
        return np.where(np.arange(5) < solved, 100.0 + np.arange(5), 1000.0)

    others = {label: arm(5) for label in ("pre-norm", "pre-norm without the attention skip")}
    spent = {**{label: arm(plain) for label in skipless.PLAIN}, "shaped": arm(shaped), **others}
    parts = list(skipless.judged("depth 8", spent, 1000.0))
    assert of(parts) == verdict
    assert ("≥" in parts[-1].text) == (shaped == 0)


def test_main_effects_of_two_skips() -> None:
    losses = {"both": 0.1, "attention": 0.3, "ffn": 2.1, "none": 2.7}
    attention, ffn = skips.effects({skip: np.array([[loss]]) for skip, loss in losses.items()})
    assert (attention.item(), ffn.item()) == pytest.approx(((2.0 + 2.4) / 2, (0.2 + 0.6) / 2))


@pytest.mark.parametrize(
    ("attention", "ffn", "verdict"),
    [
        (2.2, 0.4, "holds"),
        (2.2, 1.0, "does not hold here"),
        (-0.2, -0.5, "does not hold here"),
        (0.02, 0.0, "undecided"),
    ],
)
def test_the_attention_skip_is_missed_more(attention: float, ffn: float, verdict: str) -> None:
    seeds = np.array([-0.05, 0.0, 0.05])
    assert of(skips.judged("depth 4", attention + seeds, np.full(3, ffn))) == verdict


def test_seeds_are_scored_at_the_rate_of_the_others() -> None:
    """The third seed alone would rather have the larger rate."""
    amounts = {1e-3: [1.0, 1.0, 9.0], 3e-3: [2.0, 2.0, 2.0]}
    cell = pd.DataFrame(
        [
            {"seed": seed, "lr": lr, "loss": loss}
            for lr, by in amounts.items()
            for seed, loss in enumerate(by)
        ]
    )
    cell["train.steps"] = 10
    np.testing.assert_array_equal(study.tuned(cell, "loss"), [2.0, 2.0, 9.0])
    assert (
        study.edges([cell.assign(depth=4), cell.assign(depth=4)], "loss")
        == "the best rate is at the edge of the grid in 2 of 2 cells"
    )


def test_steps_are_tuned_as_in_the_report() -> None:
    """Most solved comes first: a rate that is slow and sure before one that is fast and fails."""
    solved = {1e-3: [400.0] * 5, 3e-3: [100.0] * 4 + [np.nan], 1e-2: [np.nan] * 5}
    cell = pd.DataFrame(
        [
            {
                "seed": seed,
                "lr": lr,
                "solved_step": step,
                "spent": 600.0 if np.isnan(step) else step,
            }
            for lr, by in solved.items()
            for seed, step in enumerate(by)
        ]
    ).assign(final_loss=1.0, **{"train.steps": 600})
    np.testing.assert_array_equal(study.tuned(cell, "spent"), [400.0] * 4 + [600.0])


@pytest.mark.sweep
def test_a_study_is_swept_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = ["train.steps=60", "train.eval_every=20", "model.depth=1"]
    saved += ["train.stop_when_solved=false", "member.lr=3e-3,1e30"]
    (tmp_path / "configs" / "study").mkdir(parents=True)
    (tmp_path / "configs" / "study" / "small.yaml").write_text(
        "".join(f"- {word}\n" for word in saved)
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    table = study.runs("small").set_index("lr")
    losses = resformer.curves("small").query("lr == 0.003")["loss"].dropna()
    assert len(losses) == 60
    assert table.loc[3e-3, ["last_loss", "mean_loss"]].to_list() == pytest.approx(
        [losses[-50:].mean(), losses.mean()]
    )
    assert np.isinf(table.loc[1e30, ["last_loss", "mean_loss"]].to_numpy(dtype=float)).all()
    assert table.loc[1e30, "spent"] == 60
    assert np.isinf(table.loc[1e30, "final_loss"])
    assert trained(Study(tmp_path / "results" / "small"))["core_seconds"] >= 0
    assert len(study.arm(table.reset_index(), "add", "post", warmup_steps=50, skip="both")) == 2
    assert study.arm(table.reset_index(), "add", "post", warmup_steps=0).empty
    assert {"lr", "outcome", "mean_loss"} <= set(study.kept(table.reset_index()).columns)


def test_a_member_that_solved_and_broke_later_has_no_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study's rows would have it so: solved, but its last evaluation is not at the budget."""
    rows = {
        "job": ["a"] * 2,
        "seed": [0, 1],
        "lr": [1e-3] * 2,
        "train.steps": [60] * 2,
        "last_step": [60, 40],
    }
    rows |= {"outcome": ["solved"] * 2, "solved_step": [20, 20], "final_loss": [0.1, 0.2]}
    rows |= {"train.stop_when_solved": [False] * 2}
    losses = pd.DataFrame(
        {"job": ["a"] * 4, "seed": [0, 0, 1, 1], "lr": [1e-3] * 4, "loss": [2.0, 1.0, 2.0, 1.0]}
    )
    monkeypatch.setattr(study.subprocess, "run", lambda *_, **__: None)
    monkeypatch.setattr(resformer, "runs", lambda *_: pd.DataFrame(rows))
    monkeypatch.setattr(resformer, "curves", lambda *_: losses)
    monkeypatch.setattr(
        study.config, "request", lambda *_: SimpleNamespace(shapes=[(None, [0, 1])])
    )
    table = study.runs("any")
    assert table[["last_loss", "mean_loss", "final_loss"]].to_numpy().tolist() == [
        [1.5, 1.5, 0.1],
        [np.inf] * 3,
    ]
    monkeypatch.setattr(study.config, "request", lambda *_: SimpleNamespace(shapes=[(None, [0])]))
    with pytest.raises(SystemExit, match="has 2 members, the claim is about 1"):
        study.runs("any")


def test_claims_are_written_as_a_table_their_data_and_figures(tmp_path: Path) -> None:
    x, measured = np.array([1.0, 2.0]), {"one": np.array([[1.0, 2.0], [3.0, 400.0]])}
    claim = Claim(
        number=3,
        title="titled",
        source="somebody",
        saw="this",
        parts=[Part("that", "holds"), Part("more")],
        differs="width",
        numbers=pd.DataFrame({"x": [1, 2], "y": [0.123456789, 2.0]}),
        draw=lambda: lines(x, measured, "x", "y", log=(True, True)),
    )
    write(tmp_path, [claim], {"commit": "abc"})
    assert (tmp_path / "claims.md").read_text() == markdown([claim])
    expected = "| 3 | titled | somebody | this | that (holds); more | holds | width |"
    assert markdown([claim]).splitlines()[2] == expected
    assert (tmp_path / "claim-3.csv").read_text() == "x,y\n1,0.123457\n2,2\n"
    figure = (tmp_path / "claim-3.svg").read_text()
    assert "mathdefault" not in figure
    assert ">100<" in figure
    assert json.loads((tmp_path / "facts.json").read_text()) == {"commit": "abc"}
