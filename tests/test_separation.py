"""Counts over all pairs of arms: told apart by depth, by speed, or by neither."""

import json

import pytest
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.reporting.analysis.separation import FEWEST_ARMS
from resformer.reporting.schema import Separation
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.text.answer import answer
from resformer.residuals.add import Add
from resformer.residuals.attn_res import AttnRes
from resformer.residuals.dense import Dense
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.lns import Lns
from resformer.residuals.parallel import Parallel
from resformer.residuals.plain import Plain
from resformer.residuals.scaled import Scaled
from resformer.tasks.sort import Sort

FAST, SLOW, NEVER = [100, 120, 110, 90, 130], [300, 320, 310, 290, 330], [STALLED] * 5


def six(made: WrittenStudy) -> None:
    """Two that are fast and deep, two slow and deep, two that solve depth 1 as fast as the fast."""
    for residual, deep in (
        *((Add(), FAST), (Gpt2(), FAST), (Lns(), SLOW), (Dense(), SLOW)),
        *((Plain(), NEVER), (Scaled(exponent=0.5), NEVER)),
    ):
        made.job(shape(1, residual, "pre"), SEEDS, SLOW if deep == SLOW else FAST)
        made.job(shape(8, residual, "pre"), SEEDS, deep)


def test_pairs_are_counted_by_depth_then_by_speed(made: WrittenStudy) -> None:
    """Fifteen pairs, of which eight differ in depth, four more in speed, three in nothing."""
    six(made)
    report = made.report()
    (counts,) = report.separation
    assert counts == Separation(study="made", task="copy", pairs=15, by_depth=8, by_speed=4)
    assert counts.by_neither == 3
    assert from_json(json.loads(json.dumps(to_json(report)))).separation == report.separation
    assert (
        "Of the 15 pairs of columns that differ only in scheme or norm, 8 are distinguished by how "
        "deep they train, 4 more by their speed, 3 by neither (Benjamini–Hochberg over the pairs)."
    ) in answer(report)


def test_few_arms_have_no_counts(made: WrittenStudy) -> None:
    made.job(shape(1, Add(), "pre"), SEEDS, FAST)
    made.job(shape(1, Plain(), "pre"), SEEDS, NEVER)
    assert FEWEST_ARMS > 2
    assert made.report().separation == ()
    assert "separation" not in made.summary()


def test_tasks_that_rank_arms_alike(made: WrittenStudy) -> None:
    """Eight arms in the same order on copy and sort but for two neighbours: 1 - 6·2 / (8·63)."""
    schemes = [Add(), Gpt2(), Lns(), Dense(), Plain(), AttnRes(), Scaled(exponent=0.5), Parallel()]
    copied = [100, 120, 140, 160, 180, 200, 220, 240]
    sorted_ = [100, 140, 120, 160, 180, 200, 220, 240]
    for task, steps in ((None, copied), (Sort(length=8, symbols=16), sorted_)):
        for residual, step in zip(schemes, steps, strict=True):
            own = {} if task is None else {"task": task}
            outcomes = [step - 10, step, step + 10, step, step]
            made.job(shape(8, residual, "pre", **own), SEEDS, outcomes)
    report = made.report()
    (row,) = report.rank_correlations
    assert (row.task, row.other, row.arms) == ("copy", "sort", 8)
    assert row.correlation.value == pytest.approx(1 - 12 / 504)
    assert row.of_task == row.of_other == row.ceiling == 1.0
    assert from_json(json.loads(json.dumps(to_json(report)))).rank_correlations == (row,)
    assert any("copy and sort rank the 8 columns that both have alike" in t for t in answer(report))


def test_tasks_of_few_arms_are_not_correlated(made: WrittenStudy) -> None:
    for task in (None, Sort(length=8, symbols=16)):
        own = {} if task is None else {"task": task}
        made.job(shape(1, Add(), "pre", **own), SEEDS, FAST)
        made.job(shape(1, Plain(), "pre", **own), SEEDS, NEVER)
    assert made.report().rank_correlations == ()
