"""Numbers in `scripts/claims`: exponents, verdicts, the table. The claims themselves are tried by
hand.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as nnf
from scipy import stats
from torch import Tensor

from lib.claims import change, gradient, rank, study, tolerable, transfer, warmup
from lib.claims.__main__ import write
from lib.claims.claim import Claim, Interval, inside, shown
from lib.claims.drawn import lines
from lib.claims.one_token import tokens_of
from lib.claims.slopes import by_seed, exponents, interval
from lib.claims.study import Arm, Swept
from lib.facts import trained
from resformer import config
from resformer.model.objective import held_out
from resformer.model.shape import Shape
from resformer.numerics.parameters import initial_values, unpack
from resformer.probes.measure import measure_initial
from resformer.reporting.analysis.cells import by_cell
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


def test_intervals_in_words() -> None:
    bounds = [(0.123, 4.567), (1.5, np.inf), (-np.inf, 1.5), (-np.inf, np.inf)]
    assert list(map(shown, bounds)) == ["0.123 to 4.57", "at least 1.5", "at most 1.5", "unknown"]


def test_exponents_of_powers() -> None:
    depths = [2, 4, 8, 64]
    powers = np.stack([3 * np.power(depths, -0.5), 0.1 * np.power(depths, 2.0), np.ones(4)])
    np.testing.assert_allclose(exponents(depths, powers), [-0.5, 2.0, 0.0], atol=1e-12)
    powers[:, 0] = 7.0  # left out
    np.testing.assert_allclose(exponents(depths, powers, least=4), [-0.5, 2.0, 0.0], atol=1e-12)


def test_intervals_over_seeds_are_students() -> None:
    values = np.array([1.0, 2.0, 4.0, 3.0])
    expected = stats.ttest_1samp(values, 0).confidence_interval()
    assert interval(values) == pytest.approx((expected.low, expected.high))
    assert interval(np.ones(3)) == (-np.inf, np.inf)


def test_numbers_are_kept_by_arm_place_and_seed() -> None:
    kept = by_seed({"one": np.array([[1.0, 2.0], [3.0, 4.0]])}, [8, 16], [5, 6], "arm", "x", "y")
    assert kept.to_dict("split")["data"] == [
        ["one", 8, 5, 1.0],
        ["one", 8, 6, 3.0],
        ["one", 16, 5, 2.0],
        ["one", 16, 6, 4.0],
    ]


# Claim 1


def test_orders_of_falls() -> None:
    """Cubed, squared, and by a factor a layer; what is above one half or round-off is left out."""
    cubed = [0.9, *(0.4 ** (3.0**layer) for layer in range(4)), 1e-15]
    squared = [0.9, *(0.4 ** (2.0**layer) for layer in range(5))]
    factor = [0.9, *(0.4 * 0.7**layer for layer in range(5))]
    np.testing.assert_allclose(rank.orders(np.array([cubed, squared, factor])), [3.0, 2.0, 1.0])
    assert np.isnan(rank.orders(np.array([[0.9, 0.8, 0.4, 0.3]]))).all()


def test_tokens_of_attention_alone_become_one() -> None:
    ((shape, _),) = config.request(
        None, ["model.depth=24", "model.norm=none", "model.attention=bidirectional", "device=cpu"]
    ).shapes
    without, with_skips = (rank.residuals(shape, skip) for skip in (False, True))
    assert without.shape == with_skips.shape == (len(rank.SEEDS), rank.LAYERS + 1)
    np.testing.assert_array_equal(without[:, 0], with_skips[:, 0])
    assert (without[:, 6] < 1e-9).all()
    assert (with_skips[:, 6] > 0.1).all()


# Claims 2 and 8


def stack(*settings: str) -> Shape:
    """A small stack of copy."""
    words = ["model.width=8", "model.heads=2", "model.depth=2", "device=cpu", *settings]
    ((shape, _),) = config.request(None, words).shapes
    return shape


def alone(shape: Shape, seed: int, number: int) -> tuple[Tensor, Tensor]:
    """Weights (1, N), and the logits of one token with its loss behind them, (V + 1,)."""
    specs = shape.transformer().parameter_specs
    weights = initial_values(specs, torch.tensor([seed]), torch.float64).requires_grad_()
    inputs, targets = (
        part[:, number : number + 1] for part in held_out(shape, torch.device("cpu"))
    )
    place = number % targets.shape[-1]
    logits = shape.transformer().activations(weights, inputs).logits_PBUV[0, 0, place]
    return weights, torch.stack([*logits, nnf.cross_entropy(logits, targets[0, 0, place])])


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_the_gradient_of_one_token(norm: str) -> None:
    """As by a loop over tokens: one sequence, one loss, one backward pass each."""
    shape, norms = stack("model.residual=true", f"model.norm={norm}"), []
    for number in range(gradient.TOKENS):
        weights, outputs = alone(shape, 3, number)
        (grad,) = torch.autograd.grad(outputs[-1], weights)
        norms.append(
            unpack(shape.transformer().parameter_specs, grad)["block2.ffn_out.matrix"].norm()
        )
    assert gradient.of_one_token(shape, 3) == pytest.approx(float(torch.stack(norms).mean()))
    batch = measure_initial(shape, [3, 4])["gradient_ffn_out"][-1, 0]
    assert gradient.of_batch(shape, 3) == pytest.approx(batch)


@pytest.mark.parametrize("scheme", ["add", "deepnorm"])
def test_the_change_of_a_tokens_logits(scheme: str) -> None:
    """As by a step token by token, at a rate so small that no neuron switches on the way."""
    shape = stack(f"model/residual={scheme}", "model.norm=post")
    transformer, rate = shape.transformer(), 1e-9
    changes: dict[str, list[float]] = {step: [] for step in change.derivatives(shape, 3)}
    inputs, _ = held_out(shape, torch.device("cpu"))
    for number in range(change.TOKENS):
        weights, outputs = alone(shape, 3, number)
        (grad,) = torch.autograd.grad(outputs[-1], weights)
        by_name = unpack(transformer.parameter_specs, grad)
        for step, values in changes.items():
            moved = torch.cat(
                [
                    (value / (value.abs() + 1e-8) if step == change.ADAM else value).flatten()
                    * (
                        name.startswith("sublayer") and name.endswith((".norm.gain", ".norm.bias"))
                        if step == change.NORMS
                        else name.startswith("block") and name.endswith(".matrix")
                    )
                    for name, value in by_name.items()
                ]
            )
            ahead, behind = (
                transformer.activations(
                    weights.detach() + sign * rate * moved, inputs[:, number : number + 1]
                ).logits_PBUV[0, 0, number % transformer.num_targets]
                for sign in (1, -1)
            )
            values.append(float(((ahead - behind) / (2 * rate)).square().mean().sqrt()))
    expected = {step: float(np.mean(values)) for step, values in changes.items()}
    # Logits of order 1 round off at 1e-16, their difference over the rate at 1e-7 or less.
    assert change.derivatives(shape, 3) == pytest.approx(expected, rel=1e-5)


def test_tokens_are_one_of_each_sequence() -> None:
    shape = stack()
    tokens, (inputs, targets) = tokens_of(shape, 3, 20), held_out(shape, torch.device("cpu"))
    assert torch.equal(tokens.inputs_PBT[:, 0], inputs[0, :20])
    places = [number % targets.shape[-1] for number in range(20)]
    assert tokens.place_P.tolist() == places
    assert tokens.targets_P.tolist() == [
        int(targets[0, i, place]) for i, place in enumerate(places)
    ]


# Claims 3 to 7


def swept(rows: Sequence[dict[str, Any]], *axes: str) -> Swept:
    """A study's members: of each row the settings and `solved`, steps by seed, None where one did
    not solve.
    """
    members = pd.DataFrame(
        [
            {
                **{"study": "s", "task": "copy", "residual": "add", "norm": "pre", "lr": 1e-3},
                **{key: value for key, value in row.items() if key != "solved"},
                "shape": number,
                "seed": seed,
                "solved_step": np.nan if step is None else step,
                "outcome": "unsolved" if step is None else "solved",
                **{"stalled": False, "final_loss": 1.0, "final_accuracy": 0.5, "last_step": 600},
                **{
                    "job": "j",
                    "ms": 1.0,
                    "parameters": 1,
                    "flops_per_step": 1,
                    "tokens_per_step": 1,
                    "blind_loss": 2.0,
                },
                "train.steps": 600,
            }
            for number, row in enumerate(rows)
            for seed, step in enumerate(row["solved"])
        ]
    )
    always = ("study", "task", "depth", "residual", "norm")
    return Swept(members=members, cells=by_cell(members, [*always, *axes]))


def test_ratios_of_steps() -> None:
    cells = swept(
        [
            {"depth": 1, "solved": [100.0, 110.0, 90.0]},
            {"depth": 2, "solved": [50.0, 56.0, 44.0]},
            {"depth": 3, "solved": [50.0, 56.0, None]},
        ]
    ).cells
    slow, fast, broken = ([cell] for cell in cells)
    logs = np.log([50 / 100, 56 / 110, 44 / 90])
    expected = stats.ttest_1samp(logs, 0).confidence_interval()
    assert study.ratio(fast, slow) == pytest.approx((np.exp(expected.low), np.exp(expected.high)))
    assert study.ratio([*fast, *slow], [*slow, *slow]) == pytest.approx(study.ratio(fast, slow))
    assert np.isinf(study.ratio(broken, slow)).tolist() == [False, True]
    assert np.isinf(study.ratio(slow, broken)).tolist() == [True, False]
    assert study.ratio(slow, slow) == (-np.inf, np.inf)


WARM, COLD = [100.0, 104.0, 98.0], [210.0, 200.0, 190.0]


@pytest.mark.parametrize(
    ("cold", "warm", "cold_pre", "verdict"),
    [
        (COLD, WARM, [101.0, 103.0, 99.0], "holds"),
        ([None] * 3, WARM, [101.0, 103.0, 99.0], "holds"),
        (WARM, COLD, [101.0, 103.0, 99.0], "does not hold here"),
        (COLD, WARM, [205.0, 208.0, 186.0], "undecided"),
        (COLD, [*WARM[:2], None], [101.0, 103.0, 99.0], "undecided"),
        (COLD, WARM, [101.0, 103.0, None], "undecided"),
    ],
)
def test_warmup_matters_more_to_post_norm(
    cold: list[float | None],
    warm: list[float | None],
    cold_pre: list[float | None],
    verdict: str,
) -> None:
    """A seed that does not solve is no evidence where that would help the claim."""
    rows: list[dict[str, object]] = [
        {"depth": 8, "norm": norm, "train.warmup_steps": steps, "solved": solved}
        for norm, steps, solved in (
            ("post", 0, cold),
            ("post", 50, warm),
            ("pre", 0, cold_pre),
            ("pre", 50, [100.0, 100.0, 101.0]),
        )
    ]
    table = swept(rows, "train.warmup_steps")
    arms = {
        f"{norm}-norm {words} warm-up": table.arm(norm=norm, warmup_steps=steps)
        for norm in ("post", "pre")
        for words, steps in (("without", 0), ("with", 50))
    }
    assert inside(warmup.contrast(arms, 8), 1.0, np.inf) == verdict


def test_a_trend_over_depths_is_pages() -> None:
    """A loss that is not a number is the largest."""
    table = swept([{"depth": depth, "solved": [None] * 5} for depth in (1, 2, 4, 8)])
    loss = np.arange(4.0)[:, None] + np.arange(5.0)
    expected = stats.page_trend_test(loss.T).pvalue
    for last in (loss[3], np.full(5, np.nan)):
        loss[3] = last
        table.members["final_loss"] = loss.flatten()
        axes = ["study", "task", "depth", "residual", "norm"]
        arm = Swept(members=table.members, cells=by_cell(table.members, axes)).arm()
        assert warmup.trend(arm) == pytest.approx(expected)


def learnt(*rates: int) -> np.ndarray:
    """Seeds that learn at so many of six rates, from the least on."""
    return np.arange(6) < np.array(rates)[:, None]


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
def test_rates_that_are_learnt_at(
    post: Sequence[int], deep: Sequence[int], pre: Sequence[int], verdict: str
) -> None:
    arms = {"post": learnt(*post), "deep": learnt(*deep), "pre": learnt(*pre)}
    words, judged = tolerable.order(arms, [1e-4 * 2**power for power in range(6)])
    assert judged == verdict
    assert f"post {np.mean(post):.1f}, deep {np.mean(deep):.1f}" in words


def test_seeds_are_exchanged_between_two_arms_of_rates() -> None:
    """Two disjoint arms of five: 2 of 252 divisions are as far apart."""
    rates = [1e-4 * 2**power for power in range(6)]
    apart, p = tolerable.further(learnt(2, 2, 2, 2, 2), learnt(5, 5, 5, 5, 4), rates)
    assert (apart, p) == (pytest.approx(2.8), pytest.approx(2 / 252))


def arms_of_skips(attention: int, ffn: int) -> tuple[Arm, Arm, Arm]:
    """Five seeds each with both skips, without attention's, without the FFN's, which solve depth 2,
    and so many of them depth 4.
    """
    solved = {"both": 5, "ffn": attention, "attention": ffn}
    rows: list[dict[str, object]] = [
        {"depth": depth, "model.skip": skip, "solved": [100.0] * count + [None] * (5 - count)}
        for skip, at_4 in solved.items()
        for depth, count in ((2, 5), (4, at_4))
    ]
    table = swept(rows, "model.skip")
    return table.arm(skip="both"), table.arm(skip="ffn"), table.arm(skip="attention")


@pytest.mark.parametrize(
    ("attention", "ffn", "verdict"),
    [(0, 5, "holds"), (5, 0, "does not hold here"), (0, 0, "undecided"), (2, 4, "undecided")],
)
def test_the_attention_skip_is_missed_more(attention: int, ffn: int, verdict: str) -> None:
    _, attentionless, ffnless = arms_of_skips(attention, ffn)
    comparison = study.compare(ffnless, attentionless)
    assert study.deeper(comparison) == verdict
    expected = stats.fisher_exact([[attention, 5 - attention], [ffn, 5 - ffn]]).pvalue
    if attention != ffn:
        assert comparison.p == pytest.approx(expected)


def test_arms_in_words() -> None:
    both, attentionless, ffnless = arms_of_skips(0, 5)
    words = study.in_words(study.compare(ffnless, attentionless))
    assert words.startswith("+1.0 doublings of depth (")
    assert words.endswith("exact p = 0.0079")
    assert study.solved(attentionless).startswith(
        "5 of 5 at depth 2, 0 of 5 at depth 4: limit 2 (2"
    )
    assert study.solved(both).endswith("limit 4 (4 to beyond the grid)")
    _, nothing, _ = arms_of_skips(0, 0)
    assert study.solved({4: nothing[4]}) == "0 of 5 at depth 4: limit none"
    assert study.spent(attentionless)[0].tolist() == [100.0, 600.0]


def test_best_rates_inside_their_grid() -> None:
    """Cells that solve count: those that nobody solves have no best rate."""
    rows: list[dict[str, object]] = [
        {"depth": depth, "lr": lr, "solved": [steps, steps]}
        for depth, by_rate in {1: (90.0, 50.0, 70.0), 2: (50.0, 60.0, 70.0), 4: (None,) * 3}.items()
        for lr, steps in zip((1e-3, 1e-2, 1e-1), by_rate, strict=True)
    ]
    arm = swept(rows).arm()
    assert study.inner([arm]) == "the best rate is inside its grid in 1 of 2 cells that solve"


@pytest.mark.sweep
@pytest.mark.parametrize(
    ("losses", "best"),
    [
        ([4.0, 1.0, 0.0, 1.0], 4e-3),  # a parabola
        ([4.0, 1.0, 1.0, 4.0], 2e-3 * 2**0.5),
        ([0.0, 1.0, 2.0, 3.0], 1e-3),
        ([3.0, 2.0, 1.0, 0.0], 8e-3),
        ([4.0, 1.0, np.inf, np.inf], 2e-3),
        ([2.0, 2.0, 2.0, 2.0], 1e-3),
        ([np.inf] * 4, np.nan),
    ],
)
def test_best_rates_of_losses(losses: list[float], best: float) -> None:
    rates = np.array([1e-3, 2e-3, 4e-3, 8e-3])
    assert transfer.lowest(rates, np.array(losses)) == pytest.approx(best, nan_ok=True)


def test_slopes_of_best_rates() -> None:
    depths, noise_S1 = [2, 4, 8, 16], np.array([[0.99], [1.0], [1.01]])
    low, high = transfer.slope(depths, noise_S1 * np.array(depths) ** -0.5)
    assert low == pytest.approx(-0.5, abs=1e-9) == high
    best_SL = noise_S1 * np.ones(4)
    best_SL[0, 3] = np.nan
    assert transfer.slope(depths, best_SL) == (-np.inf, np.inf)


@pytest.mark.parametrize(
    ("completep", "standard", "verdict"),
    [
        ((-0.05, 0.05), (-0.5, -0.3), "holds"),
        ((-0.05, 0.15), (-0.5, -0.3), "undecided"),
        ((-0.05, 0.05), (-0.3, -0.1), "undecided"),
        ((0.15, 0.25), (-0.3, -0.1), "does not hold here"),
        ((-0.05, 0.05), (-0.1, 0.0), "does not hold here"),
        ((-np.inf, np.inf), (-0.5, -0.3), "undecided"),
    ],
)
def test_rates_that_stay_and_rates_that_fall(
    completep: Interval, standard: Interval, verdict: str
) -> None:
    assert transfer.verdict(completep, standard) == verdict


def test_a_study_is_swept_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = ["train.steps=60", "train.warmup_steps=0,10", "train.eval_every=20", "model.depth=1"]
    saved += ["train.stop_when_solved=false", "member.lr=3e-3,1e30"]
    (tmp_path / "configs" / "study").mkdir(parents=True)
    path = tmp_path / "configs" / "study" / "small.yaml"
    path.write_text("".join(f"- {word}\n" for word in saved))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(study, "RESULTS", tmp_path / "results")
    small = study.sweep("small")
    assert len(small.members) == 4
    ((depth, cell),) = small.arm(residual="add", norm="post", warmup_steps=10).items()
    assert (depth, cell.rates) == (1, [3e-3, 1e30])
    assert small.arm(residual="add", warmup_steps=5) == {}
    assert {"train.warmup_steps", "lr", "outcome", "final_loss"} <= set(small.kept().columns)
    assert "norm" not in small.kept()
    assert trained(Study(tmp_path / "results" / "small"))["core_seconds"] >= 0
    path.write_text("".join(f"- {word}\n" for word in saved).replace("3e-3,1e30", "3e-3"))
    with pytest.raises(SystemExit, match="has 4 members, the claim is about 2"):
        study.sweep("small")


# The table


def claim(number: int) -> Claim:
    """A claim after it was tried."""
    x, measured = np.array([1.0, 2.0]), {"one": np.array([[1.0, 2.0], [3.0, 400.0]])}
    return Claim(
        number=number,
        title="titled",
        source="somebody",
        saw="this",
        judged="that",
        verdict="holds",
        reported=["more", "most"],
        differs="width",
        earlier="Did not hold. Wrong loss.",
        numbers=pd.DataFrame({"x": [1, 2], "y": [0.123456789, 2.0]}),
        draw=lambda: lines(x, measured, "x", "y", log=(True, True)),
    )


def test_claims_are_written_as_a_table_their_data_and_figures(tmp_path: Path) -> None:
    """One after the other: the table has all that are there, in their order."""
    for number in (3, 2, 3):
        write(tmp_path, claim(number), {"commit": "abc"})
    text = (tmp_path / "claims.md").read_text()
    row = "titled | somebody | this | that | holds | more; most | width |"
    assert text.splitlines()[2:4] == [f"| 2 | {row}", f"| 3 | {row}"]
    assert text.endswith("\n2. Did not hold. Wrong loss.\n\n3. Did not hold. Wrong loss.\n")
    assert (tmp_path / "claim-3.csv").read_text() == "x,y\n1,0.123457\n2,2\n"
    figure = (tmp_path / "claim-3.svg").read_text()
    assert "mathdefault" not in figure
    assert ">100<" in figure
    assert json.loads((tmp_path / "claim-3.json").read_text())["facts"] == {"commit": "abc"}
