"""Reports per FLOP and per token instead of per step."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.commands import Resformer
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.reporting.analysis.summary import summarise
from resformer.reporting.analysis.units import in_units
from resformer.reporting.schema import Report
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.text.words import metric
from resformer.residuals.add import Add
from resformer.residuals.hyper import Hyper

FAST, SLOW = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330]
HYPER = Hyper(streams=4, dynamic=0.01)


def arms(made: WrittenStudy) -> None:
    """Two arms of which the second does more work in a step, at two depths and a third where one
    seed stalls.
    """
    for depth, outcomes in ((1, FAST), (2, SLOW), (4, [*FAST[:4], STALLED])):
        made.job(shape(depth, Add(), "pre"), SEEDS, outcomes)
        made.job(shape(depth, HYPER, "pre"), SEEDS, FAST)


def costs(depth: int) -> tuple[int, int]:
    """FLOPs of a step of `hyper` and of `add`, from the models."""
    hyper, add = (
        shape(depth, scheme, "pre").transformer().flops_per_step(32) for scheme in (HYPER, Add())
    )
    return hyper, add


def test_medians_and_bounds_are_steps_times_what_a_step_costs(made: WrittenStudy) -> None:
    arms(made)
    findings = made.findings()
    steps, flops, tokens = (summarise(findings, per=per) for per in ("steps", "flops", "tokens"))
    for plain, costly, read_tokens in zip(steps.cells, flops.cells, tokens.cells, strict=True):
        assert plain.median is not None
        names = ("median", "median_low", "median_high", "mean", "mean_low", "mean_high")
        for name in names:
            value = getattr(plain, name)
            for other, cost in ((costly, plain.flops_per_step), (read_tokens, 32 * 16)):
                assert getattr(other, name) == (value if value is None else value * cost)
        blank = dict.fromkeys(names)
        assert replace(plain, **blank) == replace(costly, **blank)
    assert (flops.limits, flops.settings) == (steps.limits, steps.settings)


def test_ratios_are_of_flops_of_the_same_seeds(made: WrittenStudy) -> None:
    """From the outcomes by hand: geometric means over the depths that all seeds of both solve."""
    arms(made)
    findings = made.findings()
    (row,) = summarise(findings, per="flops").comparisons
    assert row.speed_depths == (1, 2)
    (hyper_1, add_1), (hyper_2, add_2) = map(costs, (1, 2))
    ratios = [
        math.sqrt((hyper_1 * fast / (add_1 * fast)) * (hyper_2 * fast / (add_2 * slow)))
        for fast, slow in zip(FAST, SLOW, strict=True)
    ]
    expected = math.exp(sum(map(math.log, ratios)) / 5)
    assert row.speed is not None
    assert row.speed.value == pytest.approx(expected)
    at_one = row.depths[0].speed
    assert at_one is not None
    assert at_one.value == pytest.approx(hyper_1 / add_1)
    (steps,) = summarise(findings).comparisons
    assert (row.p, row.doublings, row.verdict) == (steps.p, steps.doublings, steps.verdict)


def test_twice_the_cost_everywhere_doubles_medians_and_leaves_ratios(made: WrittenStudy) -> None:
    arms(made)
    report = made.report()

    def doubled(factor: float) -> Report:
        return in_units(report, "tokens", {cell.key: factor for cell in report.cells})

    once, twice = doubled(1.0), doubled(2.0)
    assert once == replace(report, per="tokens")
    assert [cell.median for cell in twice.cells] == [
        None if cell.median is None else 2 * cell.median for cell in report.cells
    ]
    assert twice.comparisons == once.comparisons


def test_the_json_names_the_unit_and_reads_back(made: WrittenStudy) -> None:
    arms(made)
    findings = made.findings()
    report = summarise(findings, per="flops")
    tree = to_json(report)
    assert tree["per"] == "flops"
    assert {"median_flops", "mean_flops"} <= tree["cells"][0].keys()
    assert not {"median_steps", "mean_steps"} & tree["cells"][0].keys()
    assert "mean_flops" in tree["rates"][0]
    assert from_json(json.loads(json.dumps(tree))) == report
    assert "per" not in to_json(summarise(findings))


def test_every_view_is_in_the_unit_that_was_typed(
    resformer: Resformer, made: WrittenStudy, tmp_path: Path
) -> None:
    arms(made)
    made.write()
    results = ["--results", str(made.study.path.parent), "--per", "flops"]
    summary = json.loads(resformer("report", "made", *results, "--format", "json").stdout)
    median = metric(summary["cells"][0]["median_flops"])
    (ratio, *_) = [row["speed"] for row in summary["comparisons"]]
    for form in ("table", "markdown", "latex"):
        text = " ".join(resformer("report", "made", *results, "--format", form).stdout.split())
        assert f"{median} " in text
        assert f"they take {ratio:.2f} times the FLOPs" in text
        assert "steps to solve" not in text
    assert "median_flops" in resformer("report", "made", *results, "--format", "csv").stdout
    drawn = resformer("report", "made", *results, "--html", "page.html", "--figures", "drawn")
    assert drawn.exit_code == 0, drawn.stderr
    page = (tmp_path / "page.html").read_text()
    assert "FLOPs to solve" in page
    assert f"<b>{median}</b>" in page
    assert "teps to solve" not in page


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (999, "999"),
        (999.6, "1k"),
        (1234, "1.23k"),
        (5.5e6, "5.5M"),
        (2.4e9, "2.4G"),
        (7e12, "7T"),
        (9.99e14, "999T"),
        (1e15, "1P"),
        (1.2e18, "1200P"),
    ],
)
def test_numbers_with_metric_prefixes(value: float, text: str) -> None:
    assert metric(value) == text
