"""Statistics of claims on members whose outcomes are known."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import t
from support.studies import SEEDS, WrittenStudy, shape

from resformer.claims.bound import Bound
from resformer.claims.evidence import Evidence
from resformer.claims.quantities import lowest
from resformer.claims.statistics.attention_rank import AttentionRank
from resformer.claims.statistics.base import Measured, mean_interval
from resformer.claims.statistics.difference import Difference
from resformer.claims.statistics.doublings import Doublings
from resformer.claims.statistics.first_step import FirstStep
from resformer.claims.statistics.initial_exponent import InitialExponent
from resformer.claims.statistics.needed_depth import NeededDepth
from resformer.claims.statistics.rates_order import RatesOrder, further
from resformer.claims.statistics.slope import Slope
from resformer.claims.statistics.steps_ratio import StepsRatio
from resformer.claims.statistics.token_gradient import TokenGradient
from resformer.errors import UserError
from resformer.model.shape import Member
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.tasks.copy import Copy

ADD, PLAIN = "residual=add", "residual=plain"


def evidence(made: WrittenStudy, outcomes: dict[tuple[Any, int], list[Any]]) -> Evidence:
    """A study of these outcomes by scheme and depth."""
    for (residual, depth), of_seeds in outcomes.items():
        own = shape(depth, residual, "post", stop_when_solved=False)
        made.job(own, SEEDS[: len(of_seeds)], of_seeds)
    return Evidence(made.findings())


def student(values: list[float]) -> tuple[float, float, float]:
    """Mean and 95 % interval, by the formula."""
    mean, spread = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    reach = t.ppf(0.975, len(values) - 1) * spread
    return mean, mean - reach, mean + reach


def numbers(measured: Measured) -> tuple[float, float, float]:
    return measured.value, measured.low, measured.high


def test_an_arm_that_solves_one_depth_more_is_a_doubling_ahead(made: WrittenStudy) -> None:
    all_solve, none_solve = [100, 110, 120, 90, 80], [1.0] * 5
    of = {
        (Add(), 2): all_solve,
        (Add(), 4): all_solve,
        (Plain(), 2): all_solve,
        (Plain(), 4): none_solve,
    }
    measured = Doublings(arm=ADD, against=PLAIN).measure(evidence(made, of))
    # Half of the octave between 2 and 4 on either side of a depth that is solved, as the report has
    # it; of 252 exchanges of five seeds with five two are as far apart.
    assert measured.value == pytest.approx(1.0)
    assert measured.p == pytest.approx(2 / 252)
    assert measured.low > 0
    assert Bound(above=0).verdict(measured) == "holds"
    mirrored = Doublings(arm=PLAIN, against=ADD).measure(evidence(made, {}))
    assert Bound(above=0).verdict(mirrored) == "does not hold here"
    assert mirrored.value == -measured.value


def test_a_ratio_of_steps_is_their_geometric_mean_paired_by_seed(made: WrittenStudy) -> None:
    slow, fast = [200, 420, 300, 250, 160], [100, 200, 160, 120, 80]
    measured = StepsRatio(above=(PLAIN,), below=(ADD,)).measure(
        evidence(made, {(Add(), 2): fast, (Plain(), 2): slow})
    )
    logs = [np.log(above / below) for above, below in zip(slow, fast, strict=True)]
    assert numbers(measured) == pytest.approx(np.exp(student(logs)))


def test_steps_are_paired_by_seed_and_not_by_position(made: WrittenStudy) -> None:
    """The other arm has seeds 1 to 5 in place of 0 to 4: seeds 1 to 4 are compared."""
    made.job(shape(2, Add(), "post"), SEEDS, [100, 200, 160, 120, 80])
    others = [Member(seed=seed, lr=3e-3) for seed in range(1, 6)]
    made.job(shape(2, Plain(), "post"), others, [420, 300, 250, 160, 590])
    measured = StepsRatio(above=(PLAIN,), below=(ADD,)).measure(Evidence(made.findings()))
    logs = np.log([420 / 200, 300 / 160, 250 / 120, 160 / 80])
    assert numbers(measured) == pytest.approx(np.exp(student([*logs])))
    assert measured.numbers["seed"].tolist() == [1, 2, 3, 4] * 2


@pytest.mark.parametrize("arms", [{"above": (), "below": (ADD,)}, {"above": (ADD,), "below": ()}])
def test_a_ratio_has_arms_above_and_below(arms: dict[str, tuple[str, ...]]) -> None:
    with pytest.raises(UserError, match="need an arm each"):
        StepsRatio(**arms)


def test_a_seed_that_does_not_solve_leaves_its_side_open(made: WrittenStudy) -> None:
    known = evidence(
        made, {(Add(), 2): [100, 200, 160, 120, 80], (Plain(), 2): [200, 420, 1.0, 250, 160]}
    )
    above = StepsRatio(above=(PLAIN,), below=(ADD,)).measure(known)
    assert (above.high, Bound(above=1).verdict(above)) == (np.inf, "holds")
    below = StepsRatio(above=(ADD,), below=(PLAIN,)).measure(known)
    assert (below.low, Bound(below=1).verdict(below)) == (-np.inf, "holds")


def test_final_losses_are_compared_seed_by_seed(made: WrittenStudy) -> None:
    losses = {ADD: [0.5, 0.7, 0.6, 0.4, 0.55], PLAIN: [0.9, 1.2, 0.95, 0.7, 1.0]}
    measured = Difference(of="final_loss", arm=ADD, against=PLAIN).measure(
        evidence(made, {(Add(), 2): losses[ADD], (Plain(), 2): losses[PLAIN]})
    )
    differences = [mine - other for mine, other in zip(*losses.values(), strict=True)]
    assert numbers(measured) == pytest.approx(student(differences))


def test_a_slope_is_each_seeds_own(made: WrittenStudy) -> None:
    """Losses a + b·log depth by seed, of which the other arm's slope is taken off."""
    slopes = np.array([0.2, 0.3, 0.25, 0.22, 0.28])
    level = np.array([0.5, 0.6, 0.4, 0.55, 0.45])
    of = {
        **{(Add(), depth): [*(level + slopes * np.log(depth))] for depth in (2, 4, 16)},
        **{(Plain(), depth): [*(level + 0.1 * np.log(depth))] for depth in (2, 4, 16)},
    }
    known = evidence(made, of)
    alone = Slope(of="final_loss", arm=ADD, on="model.depth").measure(known)
    assert numbers(alone) == pytest.approx(student([*slopes]))
    less = Slope(of="final_loss", arm=ADD, on="model.depth", less=PLAIN).measure(known)
    assert numbers(less) == pytest.approx(student([*(slopes - 0.1)]))


def test_the_slope_of_the_best_rate_is_an_exponent(made: WrittenStudy) -> None:
    """Losses are parabolas in log rate around a best one that falls like 1 / depth."""
    rates = [0.001 * 2**power for power in range(9)]
    for depth in (2, 4, 8):
        best = [0.064 * factor / depth for factor in (1.0, 1.1, 0.9, 1.2, 0.8)]
        members = [Member(seed=seed, lr=lr) for seed in range(5) for lr in rates]
        losses = [0.5 + 0.1 * np.log(lr / best[seed]) ** 2 for seed in range(5) for lr in rates]
        made.job(shape(depth, Add(), "post", stop_when_solved=False), members, losses)
    measured = Slope(of="best_lr", arm=ADD, on="model.depth").measure(Evidence(made.findings()))
    # A parabola through points of a parabola is exact, so that every seed has the slope -1; its
    # variance is rounding, or none.
    assert measured.value == pytest.approx(-1.0)


def test_a_best_rate_at_the_end_of_the_grid_is_that_rate() -> None:
    rates = np.array([1.0, 2.0, 4.0])
    assert lowest(rates, np.array([1.0, 2.0, 3.0])) == 1.0
    assert lowest(rates, np.array([3.0, 1.0, np.inf])) == 2.0
    assert np.isnan(lowest(rates, np.full(3, np.inf)))


@pytest.mark.parametrize(
    ("bound", "low", "high", "verdict"),
    [
        (Bound(above=-0.5, below=0.5), -0.1, 0.2, "holds"),
        (Bound(below=0.5), -0.1, 0.2, "holds"),
        (Bound(above=-0.5, below=0.5), 0.6, 0.9, "does not hold here"),
        (Bound(above=0), 0.1, 0.2, "undecided"),
        (Bound(below=0), -0.2, -0.1, "undecided"),
    ],
)
def test_a_difference_that_is_not_significant_is_near_0(
    bound: Bound, low: float, high: float, verdict: str, made: WrittenStudy
) -> None:
    """It rules nothing out for a bound that 0 is within."""
    table = made.findings().members
    measured = Measured(value=low, low=low, high=high, p=0.4, quantity="", numbers=table)
    assert bound.verdict(measured) == verdict


def test_seeds_that_are_all_alike_have_the_interval_of_their_median() -> None:
    """Six values on one side of the median have a probability of 2 / 64, five of 2 / 32."""
    assert mean_interval(np.full(6, 2.0)) == (2.0, 2.0, 2.0)
    assert mean_interval(np.full(5, 2.0)) == (2.0, -np.inf, np.inf)
    assert mean_interval(np.array([2.0])) == (2.0, -np.inf, np.inf)
    rounded = np.array([2.0, 2.0 + 1e-15])
    assert mean_interval(rounded)[1:] == (-np.inf, np.inf), "round-off is no variance"
    assert mean_interval(np.array([1.0, 2.0, 4.0])) == pytest.approx(student([1.0, 2.0, 4.0]))


def test_an_arm_is_compared_with_another() -> None:
    other = {"arm": ADD, "against": f" {ADD}"}
    less = {"arm": ADD, "less": ADD}
    for build in (
        lambda: Difference(of="final_loss", **other),
        lambda: Doublings(**other),
        lambda: Slope(of="final_loss", on="model.depth", **less),
        lambda: NeededDepth(on="task.length", **less),
        lambda: TokenGradient(on="model.depth", **less),
        lambda: FirstStep(step="adam", of="norms", on="model.depth", **less),
        lambda: InitialExponent(of="rms", on="model.depth", **less),
        lambda: AttentionRank(**less),
    ):
        with pytest.raises(UserError, match="is the arm itself"):
            build()


@pytest.mark.parametrize(
    ("low", "high", "p", "verdict"),
    [
        (1.1, 2.0, None, "holds"),
        (0.9, 2.0, None, "undecided"),
        (0.2, 0.9, None, "does not hold here"),
        (2.5, 3.5, None, "undecided"),
        (3.5, 4.0, None, "does not hold here"),
        (-np.inf, np.inf, None, "undecided"),
        (1.1, 2.0, 0.2, "undecided"),
    ],
)
def test_the_whole_interval_has_to_be_within_the_bound(
    low: float, high: float, p: float | None, verdict: str, made: WrittenStudy
) -> None:
    measured = Measured(
        value=1.0, low=low, high=high, p=p, quantity="", numbers=made.findings().members
    )
    assert Bound(above=1.0, below=3.0).verdict(measured) == verdict


def test_what_a_study_lacks_is_named(made: WrittenStudy) -> None:
    known = evidence(made, {(Add(), 2): [1.0, 2.0], (Add(), 4): [1.0, 2.0], (Plain(), 2): [1.0]})
    with pytest.raises(UserError, match="residual=add: has 2 cells; say which depth"):
        known.one(ADD)
    with pytest.raises(UserError, match="fewer than two seeds"):
        Difference(of="final_loss", arm=f"{ADD} depth=2", against=PLAIN).measure(known)
    with pytest.raises(UserError, match="needs two or more values of it, above 0"):
        Slope(of="final_loss", arm=ADD, on="model.depth", less=f"{ADD} depth=2").measure(known)
    with pytest.raises(UserError, match="of=accuracy: must be one of best_lr"):
        Slope(of="accuracy", arm=ADD, on="model.depth")


DEPTHS, LENGTHS = (1, 2, 4), (4, 8, 16)


def needed_study(made: WrittenStudy, needs: dict[tuple[Any, int], list[float]]) -> Evidence:
    """A seed solves at every depth from the one that it needs on: by scheme and length."""
    for (residual, length), by_seed in needs.items():
        for depth in DEPTHS:
            own = shape(depth, residual, "post", task=Copy(length=length, symbols=16))
            made.job(own, SEEDS, [100 if depth >= needed else 1.0 for needed in by_seed])
    return Evidence(made.findings())


def test_the_depth_that_a_length_needs(made: WrittenStudy) -> None:
    needs = {
        (Add(), 4): [1, 1, 1, 1, 1],
        (Add(), 8): [2, 2, 1, 2, 2],
        (Add(), 16): [4, 4, 4, 2, 4],
        **{(Plain(), length): [1, 1, 2, 1, 1] for length in LENGTHS},
    }
    known = needed_study(made, {key: [*map(float, value)] for key, value in needs.items()})
    by_seed = np.array([needs[Add(), length] for length in LENGTHS])
    slopes = np.polyfit(np.log2(LENGTHS), by_seed, 1)[0]
    measured = NeededDepth(arm=ADD, on="task.length").measure(known)
    assert numbers(measured) == pytest.approx(student([*slopes]))
    assert measured.numbers["needed depth"].tolist() == [*by_seed.flatten()]
    less = NeededDepth(arm=ADD, on="task.length", less=PLAIN).measure(known)
    assert numbers(less) == pytest.approx(student([*slopes])), "the other arm needs the same depth"


@pytest.mark.parametrize(
    ("length", "less", "is_open"),
    [
        (16, "", (False, True)),
        (4, "", (True, False)),
        (16, PLAIN, (True, False)),
        (8, "", (False,) * 2),
    ],
)
def test_a_seed_that_needs_more_than_the_deepest_leaves_a_side_open(
    length: int, less: str, is_open: tuple[bool, bool], made: WrittenStudy
) -> None:
    """At the largest length the slope may be any larger, at the smallest any smaller, and in the
    middle of three it does not count; of the arm that is taken off the other way round.
    """
    scheme = Plain() if less else Add()
    needs = {
        (residual, each): [1.0, 2.0, 2.0, 1.0, 2.0]
        for residual in (Add(), Plain())
        for each in LENGTHS
    }
    needs[Add(), 8] = [2.0, 2.0, 1.0, 1.0, 4.0]
    needs[Add(), 16] = [4.0, 2.0, 4.0, 4.0, 4.0]
    needs[scheme, length] = [8.0, *needs[scheme, length][1:]]
    known = needed_study(made, needs)
    measured = NeededDepth(arm=ADD, on="task.length", less=less).measure(known)
    assert (np.isinf(measured.low), np.isinf(measured.high)) == is_open
    needs[scheme, length][0] = 4.0  # counts with the deepest
    by_seed = np.array([needs[Add(), each] for each in LENGTHS])
    if less:
        by_seed = by_seed - np.array([needs[Plain(), each] for each in LENGTHS])
    expected = student([*np.polyfit(np.log2(LENGTHS), by_seed, 1)[0]])
    for mine, other in zip(numbers(measured), expected, strict=True):
        assert np.isinf(mine) or mine == pytest.approx(other)


@pytest.mark.parametrize(
    ("post", "deep", "pre", "verdict"),
    [
        ((2, 2, 3, 2, 2), (4, 4, 4, 4, 4), (6, 6, 6, 6, 6), "holds"),
        ((0, 0, 0, 0, 0), (4, 4, 4, 4, 4), (6, 6, 6, 6, 6), "holds"),
        ((2, 2, 3, 2, 2), (6, 6, 6, 6, 6), (4, 4, 4, 4, 4), "does not hold here"),
        ((2, 2, 3, 2, 2), (4, 4, 4, 4, 4), (4, 4, 5, 4, 4), "undecided"),
        ((0, 0, 0, 0, 0), (0, 0, 0, 0, 0), (6, 6, 6, 6, 6), "undecided"),
    ],
)
def test_arms_in_the_order_of_the_rates_that_they_learn_at(
    post: tuple[int, ...],
    deep: tuple[int, ...],
    pre: tuple[int, ...],
    verdict: str,
    made: WrittenStudy,
) -> None:
    rates = [1e-4 * 2**power for power in range(6)]
    members = [Member(seed=seed, lr=rate) for seed in range(5) for rate in rates]
    arms = {("norm=post", "post", Add()): post, ("norm=none", "none", Add()): deep}
    for (_, norm, scheme), learns in {**arms, ("norm=pre", "pre", Add()): pre}.items():
        losses = [0.5 if power < learns[seed] else 2.77 for seed in range(5) for power in range(6)]
        made.job(shape(2, scheme, norm, stop_when_solved=False), members, losses)
    statistic = RatesOrder(ascending=("norm=post", "norm=none", "norm=pre"))
    measured = statistic.measure(Evidence(made.findings()))
    assert Bound(above=0).verdict(measured) == verdict
    assert f"norm=post {np.mean(post):.1f}, norm=none {np.mean(deep):.1f}" in measured.quantity
    assert measured.numbers["learnt"].sum() == sum(map(sum, (post, deep, pre)))


def test_seeds_are_exchanged_between_two_arms_of_rates() -> None:
    """Two disjoint arms of five: 2 of 252 divisions are as far apart."""
    rates = [1e-4 * 2**power for power in range(6)]
    learn = [np.arange(6) < np.array(by_seed)[:, None] for by_seed in ([5, 5, 5, 5, 4], [2] * 5)]
    apart = further(*learn, rates)
    assert (apart.value, apart.p) == (pytest.approx(2.8), pytest.approx(2 / 252))
    assert apart.low < 2.8 < apart.high


def test_rates_count_by_the_factors_between_them() -> None:
    """By half octaves from 1 to 4, the second arm learns at three more: one octave and a half."""
    rates = [2 ** (power / 2) for power in range(5)]
    learn = [np.arange(5) < np.full((5, 1), number) for number in (5, 2)]
    assert further(*learn, rates).value == pytest.approx(1.5)


def test_losses_of_members_that_stopped_early_are_no_matter_to_another_arm(
    made: WrittenStudy,
) -> None:
    made.job(shape(2, Add(), "post", stop_when_solved=True), SEEDS, [100] * 5)
    of = {(Plain(), depth): [0.5 * depth, 0.6 * depth, 0.4 * depth] for depth in (2, 4)}
    slope = Slope(of="final_loss", arm=PLAIN, on="model.depth").measure(evidence(made, of))
    assert slope.value == pytest.approx(0.5 * 2 / np.log(2))


def test_intervals_in_words(made: WrittenStudy) -> None:
    bounds = [(0.123, 4.567), (1.5, np.inf), (-np.inf, 1.5), (-np.inf, np.inf)]
    table = made.findings().members
    words = [
        str(Measured(value=1.2, low=low, high=high, quantity="slope", numbers=table))
        for low, high in bounds
    ]
    inside = ["0.123 to 4.57", "at least 1.5", "at most 1.5", "interval unknown"]
    assert words == [f"slope: 1.2 ({each})" for each in inside]


def test_the_loss_of_a_member_that_diverged_is_infinite(made: WrittenStudy) -> None:
    """Beside it there is no parabola: the best rate is that of the grid, 0.02 / depth."""
    for depth in (2, 4):
        rates = [0.01 / depth, 0.02 / depth, 0.04 / depth]
        members = [Member(seed=seed, lr=lr) for seed in range(3) for lr in rates]
        made.job(
            shape(depth, Add(), "post", stop_when_solved=False), members, [1.0, 0.5, "diverged"] * 3
        )
    measured = Slope(of="best_lr", arm=ADD, on="model.depth").measure(Evidence(made.findings()))
    assert measured.numbers["best_lr"].tolist() == pytest.approx(
        [np.log(0.01)] * 3 + [np.log(0.005)] * 3
    )
