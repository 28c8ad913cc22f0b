"""Quantities of cells on members whose outcomes are known."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy.stats import t
from support import shapes
from support.studies import SEEDS, WrittenStudy, shape

from resformer.claims.evidence import Evidence
from resformer.claims.judge import AtEdge, at_edge
from resformer.claims.quantities import QUANTITIES, Planned
from resformer.claims.statistics.difference import Difference
from resformer.claims.statistics.mean import Mean
from resformer.claims.statistics.slope import Slope
from resformer.errors import UserError
from resformer.model.shape import RESULTS_ONLY, Member, Recording
from resformer.probes.measure import descriptions
from resformer.residuals.add import Add
from resformer.residuals.hyper import Hyper
from resformer.tasks.copy import Copy

STEPS, RATES = 600, (1e-3, 2e-3, 4e-3)
PROBED = Recording(probe_every=STEPS)


def values(made: WrittenStudy, name: str) -> list[float]:
    """The quantity of each seed of the one cell of the study."""
    measured = Mean(of=name, arm="residual=add").measure(Evidence(made.findings()))
    return [*map(float, measured.numbers[name])]


def add(made: WrittenStudy, outcomes: Sequence[Any], recording: Recording = RESULTS_ONLY) -> str:
    """A job of seeds at one rate; its id."""
    own = shape(2, Add(), "post", stop_when_solved=False)
    return made.job(own, SEEDS[: len(outcomes)], outcomes, recording).id


def at_rates(made: WrittenStudy, losses_SR: Sequence[Sequence[Any]], depth: int = 2) -> None:
    """A job of seeds at three rates."""
    members = [Member(seed=seed, lr=lr) for seed in range(len(losses_SR)) for lr in RATES]
    own = shape(depth, Add(), "post", stop_when_solved=False)
    made.job(own, members, [loss for losses_R in losses_SR for loss in losses_R])


def test_final_loss_and_its_share_of_the_blind_loss(made: WrittenStudy) -> None:
    losses = [0.5, 0.7, 2.5]
    add(made, losses)
    assert values(made, "final_loss") == pytest.approx(losses)
    # Copy of uniform symbols: blind, a model can do no better than ln 16.
    shares = [loss / np.log(16) for loss in losses]
    assert values(made, "share_of_blind") == pytest.approx(shares)
    measured = Mean(of="final_loss", arm="residual=add").measure(Evidence(made.findings()))
    half = t.ppf(0.975, 2) * np.std(losses, ddof=1) / np.sqrt(3)
    assert measured.value == pytest.approx(np.mean(losses))
    assert (measured.low, measured.high) == pytest.approx(
        (np.mean(losses) - half, np.mean(losses) + half)
    )


def test_sensitivity_is_the_mean_over_rates_less_the_best(made: WrittenStudy) -> None:
    """A member that diverged counts with its loss at the start, 3."""
    at_rates(made, [[0.5, 0.3, 1.0], [0.5, 0.2, "diverged"]])
    expected = np.log([0.6 - 0.3, (0.5 + 0.2 + 3.0) / 3 - 0.2])
    assert values(made, "lr_sensitivity") == pytest.approx(expected)


def test_where_no_rate_does_anything_there_is_no_sensitivity(made: WrittenStudy) -> None:
    at_rates(made, [["diverged"] * 3, [0.5, 0.2, 0.4]])
    first, second = values(made, "lr_sensitivity")
    assert np.isnan(first)
    assert np.isfinite(second)


def test_best_rates_on_and_beside_the_grid(made: WrittenStudy) -> None:
    """Between rates by a parabola in the logarithm, at the edge the rate of the grid."""
    beside = np.log(2.5e-3)
    at_rates(made, [[0.1, 0.2, 0.3], [0.2 + (np.log(lr) - beside) ** 2 for lr in RATES]])
    assert values(made, "best_lr") == pytest.approx([np.log(1e-3), beside])


def test_spikes_are_counted_over_judged_steps(made: WrittenStudy) -> None:
    """Three steps above the median of the 201 around them; 100 at either end are not judged."""
    job = add(made, [0.5, 0.5])
    loss_GP = np.ones((STEPS, 2))
    loss_GP[[5, 200, 300, 400], 0] = 1.5
    loss_GP[250, 1] = 1.05  # no spike: 0.05 above
    made.training_loss[job] = loss_GP
    steps = STEPS - 200
    assert values(made, "spikes") == pytest.approx([10_000 * 3 / steps, 0.0], rel=0.01)


def test_a_member_that_diverged_is_not_calm(made: WrittenStudy) -> None:
    add(made, [0.5, "diverged"])
    first, second = values(made, "spikes")
    assert first == 0
    assert np.isnan(second)
    measured = Mean(of="spikes", arm="residual=add").measure(Evidence(made.findings()))
    assert np.isnan(measured.value)


def probed(made: WrittenStudy, outcomes: Sequence[Any], steps: Sequence[Sequence[int]]) -> None:
    """Members probed at these steps: of seed s the gains after step t, of layers 1 to 4, are
    2 + s + layer (forward) and 12 + s - layer (backward), at step 0 all 1; the distances of their
    matrices 0.1·layer, at step 0 0.1.
    """
    job = add(made, outcomes, PROBED)
    rows = [
        (seed, step, layer) for seed, own in enumerate(steps) for step in own for layer in range(5)
    ]
    seed, step, layer = np.array(rows).T
    columns = {name: np.full(len(rows), np.nan) for name in descriptions()}
    trained, inner = step > 0, layer > 0
    for name, values_ in (("forward", 2 + seed + layer), ("backward", 12 + seed - layer)):
        column = columns[f"composite_gain_{name}"]
        column[inner] = np.where(trained, values_, 1.0)[inner]
    distance = columns["mixing_distance"]
    distance[inner] = np.where(trained, 0.1 * layer, 0.1)[inner]
    made.layers[job] = {
        "seed": seed,
        "lr": np.full(len(rows), SEEDS[0].lr),
        "step": step,
        "layer": layer,
        **columns,
    }


def test_gains_are_those_of_all_matrices_at_the_last_step(made: WrittenStudy) -> None:
    """Forward in the last layer, backward in the first, after training."""
    probed(made, [0.5, 0.6], [(0, STEPS)] * 2)
    assert values(made, "composite_gain") == pytest.approx(np.log([6, 7]))
    assert values(made, "composite_gain_backward") == pytest.approx(np.log([11, 12]))


def test_the_change_of_matrices_is_that_of_the_sublayer_that_moves_most(made: WrittenStudy) -> None:
    probed(made, [0.5, 0.6], [(0, STEPS)] * 2)
    assert values(made, "mixing_change") == pytest.approx([0.3, 0.3])


@pytest.mark.parametrize("name", ["composite_gain", "composite_gain_backward", "mixing_change"])
def test_a_member_that_diverged_has_no_gain(name: str, made: WrittenStudy) -> None:
    """Its last probe is of step 0, where all matrices are as they begin."""
    probed(made, [0.5, "diverged"], [(0, STEPS), (0,)])
    first, second = values(made, name)
    assert np.isfinite(first)
    assert np.isnan(second)


def test_members_without_probes_are_not_called_damaged(made: WrittenStudy) -> None:
    add(made, [0.5, 0.6])
    with pytest.raises(UserError, match=r"was not probed; probe.every=N"):
        values(made, "composite_gain")


def test_what_members_lack_is_known_before_they_run() -> None:
    one = Planned(shape=shapes.shape(), recording=RESULTS_ONLY, rates=1)
    for name in ("best_lr", "lr_sensitivity"):
        with pytest.raises(UserError, match=r"member.lr: has one value"):
            QUANTITIES[name].check(one)
        QUANTITIES[name].check(one._replace(rates=2))
    hyper = shapes.shape(residual=Hyper(streams=2, dynamic=0.01), norm="pre")
    for name in ("composite_gain", "composite_gain_backward", "mixing_change"):
        check = QUANTITIES[name].check
        with pytest.raises(UserError, match=r"model.residual=add: has no mixing matrices"):
            check(one._replace(recording=Recording(probe_every=20)))
        with pytest.raises(UserError, match=r"probe.every=7: .*probe.every=20 would work"):
            check(one._replace(shape=hyper, recording=Recording(probe_every=7)))
        check(one._replace(shape=hyper, recording=Recording(probe_every=10)))


def test_seeds_whose_best_rate_is_at_the_edge_are_counted(made: WrittenStudy) -> None:
    """By the rate that is best for the others: at depth 2 all at the edge, at depth 4 none."""
    at_rates(made, [[0.1, 0.2, 0.3]] * 3, depth=2)
    at_rates(made, [[0.3, 0.1, 0.2]] * 3, depth=4)
    evidence = Evidence(made.findings())
    slope = Slope(of="final_loss", arm="residual=add", on="model.depth")
    assert at_edge(slope, evidence) == AtEdge(seeds=3, of=6)
    other = Difference(of="final_loss", arm="depth=4", against="depth=2")
    assert at_edge(other, evidence) == AtEdge(seeds=3, of=6)
    assert at_edge(Mean(of="final_loss", arm="depth=4"), evidence) == AtEdge(seeds=0, of=3)


def test_one_rate_has_no_edge(made: WrittenStudy) -> None:
    add(made, [0.5, 0.6])
    mean = Mean(of="final_loss", arm="residual=add")
    assert at_edge(mean, Evidence(made.findings())) is None


def test_parameters_are_an_axis(made: WrittenStudy) -> None:
    """Slope on the number of parameters, which is no setting: 0.1 more per natural logarithm."""
    for depth in (2, 4, 8):
        own = shape(depth, Add(), "post", stop_when_solved=False)
        level = 0.1 * np.log(own.transformer().num_parameters)
        made.job(own, SEEDS[:3], [level + seed / 100 for seed in range(3)])
    measured = Slope(of="final_loss", arm="residual=add", on="parameters").measure(
        Evidence(made.findings())
    )
    assert measured.value == pytest.approx(0.1)
    assert [*map(int, measured.numbers["place"].unique())] == [
        shape(depth, Add(), "post").transformer().num_parameters for depth in (2, 4, 8)
    ]


def test_what_members_kept_is_that_of_the_scored_rate(made: WrittenStudy) -> None:
    add(made, [0.5, 0.6])
    known = Evidence(made.findings())
    with pytest.raises(UserError, match=r"kept no weights; train.keep_weights=true"):
        known.kept(known.one("residual=add"))


def test_curves_and_layers_are_those_of_the_scored_rate(made: WrittenStudy) -> None:
    members = [Member(seed=seed, lr=lr) for seed in range(2) for lr in RATES]
    own = shape(2, Add(), "post", stop_when_solved=False, task=Copy(length=4, symbols=16))
    job = made.job(own, members, [0.3, 0.1, 0.2] * 2)
    made.training_loss[job.id] = np.tile(np.arange(6.0), (STEPS, 1))
    known = Evidence(made.findings())
    (cell,) = known.by_loss([known.one("residual=add")])
    losses = [curve["loss"].iloc[1:].unique().tolist() for curve in known.curves(cell)]
    assert losses == [[1.0], [4.0]], "members are numbered seed by seed, the second rate is best"
