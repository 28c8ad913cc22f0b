"""What `scripts/claims` makes of numbers: exponents, verdicts, the table. The claims themselves are tried by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import resformer
from claimed import change, degradation, gradient, normless, rank, skipless, skips, study, tolerable
from claimed.__main__ import markdown, write
from claimed.claim import Claim, Interval, all_of, inside
from claimed.drawn import lines
from claimed.slopes import exponents, interval


@pytest.mark.parametrize(
    ("found", "verdict"),
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
def test_an_interval_that_straddles_its_bound_is_undecided(found: Interval, verdict: str) -> None:
    assert inside(found, 0.0, 1.0) == verdict


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
    cubed = np.array([[0.9, *(0.4 ** (3.0**layer) for layer in range(4)), 1e-15], [1.0, 0.6, 0.3, 0.09, 0.0081, 1e-16]])
    np.testing.assert_allclose(rank.growths(cubed), [3.0, 2.0], rtol=1e-3)
    assert np.isnan(rank.growths(np.array([[0.9, 0.8, 0.7]]))).all()


@pytest.mark.parametrize(
    ("judge", "first", "second", "verdict"),
    [
        (rank.judge, (2.6, 4.9), (0.2, 0.4), "holds"),
        (rank.judge, (1.1, 1.2), (0.2, 0.4), "does not hold here"),
        (rank.judge, (2.6, 4.9), (0.05, 0.4), "undecided"),
        (gradient.judge, (-0.05, 0.08), (-0.55, -0.45), "holds"),
        (gradient.judge, (0.2, 0.3), (-0.55, -0.45), "does not hold here"),
        (gradient.judge, (-0.05, 0.08), (-0.55, -0.35), "undecided"),
        (change.judge, (0.6, 0.9), (-0.1, 0.1), "holds"),
        (change.judge, (0.6, 0.9), (0.3, 0.4), "does not hold here"),
        (change.judge, (0.4, 0.9), (-0.1, 0.1), "undecided"),
    ],
)
def test_verdicts_are_those_of_the_bounds(judge: object, first: Interval, second: Interval, verdict: str) -> None:
    assert judge(first, second) == verdict  # type: ignore[operator]


def test_a_trend_over_depths_is_pages() -> None:
    rising = np.array([[1.0, 2.0, 3.0, 4.0]] * 5) + np.arange(5.0)[:, None]
    up, down = degradation.trend(rising)
    assert up < 1e-4 < 0.9 < down
    assert degradation.trend(-rising) == pytest.approx((down, up))
    assert [degradation.rises(p) for p in ((0.01, 0.9), (0.9, 0.01), (0.2, 0.7))] == [
        *("holds", "does not hold here", "undecided")
    ]


def test_depth_limits_lie_between_bounds() -> None:
    rows = [{"residual": "add", "norm": "post", "low": 4, "high": 8}, {"residual": "add", "norm": "pre", "low": 16}]
    rows += [{"residual": "plain", "norm": "pre", "low": None, "high": None}]
    rows[1]["high"] = None
    found = [degradation.limit(rows, *arm) for arm in (("add", "post"), ("add", "pre"), ("plain", "pre"))]
    assert found == [(4, 8), (16, np.inf), (0, np.inf)]
    assert [degradation.bounds(one) for one in (*found, (4.0, 4.0))] == ["4 to 8", "over 16", "over 0", "4"]
    assert degradation.ratio((2, 4), (8, 8)) == (2, 4)
    assert degradation.ratio((0, 4), (8, np.inf)) == (2, np.inf)


@pytest.mark.parametrize(
    ("plain", "post", "pre", "verdict"),
    [
        ((2, 2), (8, 8), (16, np.inf), "holds"),
        ((2, 2), (8, 8), (8, 8), "holds"),
        ((4, 4), (4, 4), (16, np.inf), "does not hold here"),
        ((2, 2), (8, 8), (4, 4), "does not hold here"),
        ((2, 8), (8, 8), (16, np.inf), "undecided"),
        ((2, 2), (8, 16), (8, 16), "undecided"),
    ],
)
def test_the_order_of_depth_limits(plain: Interval, post: Interval, pre: Interval, verdict: str) -> None:
    reach = dict(zip(degradation.ARMS, (plain, (1, 1), post, pre, (16, np.inf)), strict=True))
    assert degradation.order(reach) == verdict


def test_what_warmup_is_worth() -> None:
    """Twice the loss without it at one depth and the same at the other: the square root of two, but for the seeds."""
    factors = {8: np.array([2.0, 2.1, 1.9]), 16: np.array([1.0, 1.01, 0.99])}
    cell = pd.DataFrame(
        [
            {"depth": depth, "seed": seed, "lr": lr, "train.warmup_steps": warm, "mean_loss": lr * (warm or by[seed])}
            for depth, by in factors.items()
            for seed in range(3)
            for lr in (1.0, 2.0)
            for warm in (0, 1)
        ]
    )
    low, high = degradation.without_warmup(cell)
    assert low < np.sqrt(2) < high < 1.6
    assert degradation.matters((1.2, 1.5), should=True) == "holds"
    assert degradation.matters((1.2, 1.5), should=False) == "does not hold here"
    assert degradation.matters((0.9, 1.05), should=False) == "holds"


def test_the_largest_rate_that_is_tolerated() -> None:
    learns = {1e-3: 5, 2e-3: 4, 4e-3: 3, 8e-3: 2, 1.6e-2: 0}
    cell = pd.DataFrame([{"lr": lr, "below": seed < count} for lr, count in learns.items() for seed in range(5)])
    assert tolerable.tolerated(cell) == (4e-3, (1e-3, 8e-3))
    assert tolerable.tolerated(cell[cell["lr"] < 8e-3]) == (4e-3, (1e-3, np.inf))
    assert tolerable.tolerated(cell[cell["lr"] > 8e-3]) == (0, (0, 0))
    assert tolerable.bounds(4e-3, (1e-3, 8e-3)) == "0.004 (0.001 to 0.008)"
    assert tolerable.bounds(4e-3, (4e-3, np.inf)) == "0.004 (at least 0.004)"
    assert [tolerable.bounds(0, (0, high)) for high in (0, 1e-3)] == ["none", "none (at most 0.001)"]


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ((1, 2), (4, 8), "holds"),
        ((0, 0), (4, np.inf), "holds"),
        ((1, 4), (4, 8), "undecided"),
        ((8, 8), (4, 8), "does not hold here"),
        ((0, 0), (0, 0), "undecided"),
    ],
)
def test_one_rate_below_the_other(first: Interval, second: Interval, verdict: str) -> None:
    assert tolerable.less((first[0], first), (second[0], second)) == verdict


def test_ratios_of_steps() -> None:
    assert normless.paired(np.array([2.0, 4.0]), np.array([2.0, 4.0])) == (0, np.inf)
    low, high = normless.paired(np.array([100.0, 110.0, 90.0]), np.array([50.0, 56.0, 44.0]))
    assert low < 0.5 < high < 0.6
    assert normless.judge([(0.4, 0.6)], [(0.7, 1.0)]) == "holds"
    assert normless.judge([(0.4, 1.1)], [(0.7, 1.0)]) == "undecided"
    assert normless.judge([(0.4, 0.6), (1.1, 1.2)], [(0.7, 1.0)]) == "does not hold here"
    assert normless.judge([(0.4, 0.6)], [(0.1, 0.4)]) == "does not hold here"


def test_plain_unsolved_and_shaped_solved() -> None:
    assert skipless.judge([(0.0, 0.43)], [(0.57, 1.0)]) == "holds"
    assert skipless.judge([(0.0, 0.43), (0.57, 1.0)], [(0.57, 1.0)]) == "does not hold here"
    assert skipless.judge([(0.0, 0.43)], [(0.4, 0.9)]) == "undecided"


def test_main_effects_of_two_skips() -> None:
    losses = {"both": 0.1, "attention": 0.3, "ffn": 2.1, "none": 2.7}
    attention, ffn = skips.effects({skip: np.array([[loss]]) for skip, loss in losses.items()})
    assert (attention.item(), ffn.item()) == pytest.approx(((2.0 + 2.4) / 2, (0.2 + 0.6) / 2))
    assert [skips.judge(found) for found in ((0.1, 0.2), (-0.1, 0.2), (-0.2, -0.1))] == [
        *("holds", "undecided", "does not hold here")
    ]
    low, high = skips.excess(np.array([2.2, 2.1, 2.3]), np.array([0.4, 0.4, 0.4]))
    assert low < 1.0 < high


def test_seeds_are_scored_at_the_rate_of_the_others() -> None:
    """The third seed alone would rather have the larger rate."""
    amounts = {1e-3: [1.0, 1.0, 9.0], 3e-3: [2.0, 2.0, 2.0]}
    cell = pd.DataFrame(
        [{"seed": seed, "lr": lr, "loss": loss} for lr, by in amounts.items() for seed, loss in enumerate(by)]
    )
    np.testing.assert_array_equal(study.tuned(cell, "loss"), [2.0, 2.0, 9.0])


def test_a_study_is_swept_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = ["train.steps=60", "train.eval_every=20", "model.depth=1"]
    saved += ["train.stop_when_solved=false", "member.lr=3e-3,1e30"]
    (tmp_path / "configs" / "study").mkdir(parents=True)
    (tmp_path / "configs" / "study" / "small.yaml").write_text("".join(f"- {word}\n" for word in saved))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    table = study.runs("small").set_index("lr")
    losses = resformer.curves("small").query("lr == 0.003")["loss"].dropna()
    assert len(losses) == 60
    assert table.loc[3e-3, ["last_loss", "mean_loss"]].to_list() == pytest.approx([losses[-50:].mean(), losses.mean()])
    assert np.isinf(table.loc[1e30, ["last_loss", "mean_loss"]].to_numpy(dtype=float)).all()
    assert table.loc[1e30, "spent"] == 60
    assert {"lr", "outcome", "mean_loss"} <= set(study.kept(table.reset_index()).columns)


def test_what_is_written(tmp_path: Path) -> None:
    x, measured = np.array([1.0, 2.0]), {"one": np.array([[1.0, 2.0], [3.0, 4.0]])}
    claim = Claim(
        *(3, "titled", "somebody", "this", "that", "holds", "width"),
        pd.DataFrame({"x": [1, 2], "y": [0.123456789, 2.0]}),
        lambda: lines(x, measured, "x", "y", log=(True, True)),
    )
    write(tmp_path, [claim], {"commit": "abc"})
    assert (tmp_path / "claims.md").read_text() == markdown([claim])
    assert markdown([claim]).splitlines()[2] == "| 3 | titled | somebody | this | that | holds | width |"
    assert (tmp_path / "claim-3.csv").read_text() == "x,y\n1,0.123457\n2,2\n"
    assert "</svg>" in (tmp_path / "claim-3.svg").read_text()
    assert json.loads((tmp_path / "facts.json").read_text()) == {"commit": "abc"}
