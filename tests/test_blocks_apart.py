"""Blocks and optimisers in a report: told apart by preset and name where these say it all, else by
their settings.
"""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import settings as settings_of_test
from hypothesis import strategies as st
from support.earlier import in_earlier_words
from support.optimizers import optimizer
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.model.serial import shape_to_json
from resformer.model.shape import Shape
from resformer.reporting.analysis.cells import axes_of, keys_by_shape
from resformer.reporting.analysis.pairs import Pairing
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.layout import layout, panels
from resformer.reporting.schema import Report
from resformer.reporting.serial import from_json, to_json
from resformer.reporting.text.answer import answer
from resformer.reporting.text.headline import headline
from resformer.reporting.text.words import kind_of_model, settings
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.plain import Plain
from resformer.results import presets
from resformer.results.members import Findings, read
from resformer.results.presets import SETTINGS
from resformer.results.tensorboard import run_names
from resformer.store.shapes import shape_settings

Block = dict[str, Any]
CLASSIC: Block = {}
MODERN: Block = {
    "norm_kind": "rms",
    "qk_norm": True,
    "bias": False,
    "position": "rope",
    "rope_base": 10_000.0,
    "activation": "swiglu",
}
"""Settings of the modern preset."""
GELU: Block = {"activation": "gelu"}


def add(
    made: WrittenStudy, residual: Residual[Any], steps: Any, *, norm: str = "post", **changes: Any
) -> None:
    """Add five seeds of depth 1 that all solve at this step, or do not."""
    made.job(shape(1, residual, norm, **changes), SEEDS, [steps] * 5)


def blocks_of(made: WrittenStudy, blocks: list[Block]) -> Report:
    """The report of these blocks, each solved later than the one before."""
    for number, block in enumerate(blocks):
        add(made, Add(), 100 + 10 * number, **block)
    return made.report()


@pytest.mark.parametrize(
    ("blocks", "axes"),
    [
        ([CLASSIC, GELU], ["model.activation"]),
        ([CLASSIC, GELU, {"activation": "silu"}], ["model.activation"]),
        ([GELU, {"activation": "silu"}], ["model.activation"]),
        ([CLASSIC, {"bias": False}], ["model.bias"]),
        ([CLASSIC, MODERN], ["model"]),
        ([CLASSIC, {**MODERN, "rope_base": 500.0}], ["model"]),
        ([MODERN, {**MODERN, "rope_base": 500.0}], ["model.rope_base"]),
        ([CLASSIC, MODERN, {**MODERN, "rope_base": 500.0}], ["model", "model.rope_base"]),
        ([CLASSIC, MODERN, {**MODERN, "activation": "gelu"}], [*SETTINGS]),
        ([CLASSIC, MODERN, GELU], [*SETTINGS]),
    ],
)
def test_blocks_are_told_apart_by_presets_or_else_by_what_differs(
    made: WrittenStudy, blocks: list[Block], axes: list[str]
) -> None:
    report = blocks_of(made, blocks)
    assert {*report.axes} - {"study", "task", "depth", "residual", "norm"} == {*axes}
    assert {*report.varying} == {*axes}
    assert len(report.cells) == len(blocks)
    tree = to_json(report)
    assert {*axes} <= {*tree["cells"][0]}
    assert ("model" in tree["settings"]) == (axes == ["model.rope_base"])


def test_the_settings_of_all_blocks_are_said_unless_they_are_the_classic_ones(
    made: WrittenStudy,
) -> None:
    shown = settings(blocks_of(made, [GELU, {**GELU, "bias": False}]))
    assert "activation gelu" in shown
    assert not any(word in shown for word in ("bias", "norm_kind", "classic", "own"))


OWN_BLOCK = "torch.nn:Identity"
"""Module and class of a block of one's own, which is not trained here."""


@pytest.mark.parametrize(
    ("blocks", "axes"),
    [
        ([CLASSIC], ["model"]),
        ([CLASSIC, MODERN], ["model"]),
        ([GELU], ["model.activation", "model.module"]),
        ([{"module": OWN_BLOCK, "bias": False}], ["model.bias"]),
    ],
)
def test_a_block_of_ones_own_is_told_apart_by_its_path(
    made: WrittenStudy, blocks: list[Block], axes: list[str]
) -> None:
    report = blocks_of(
        made, [{"norm": "pre", **block} for block in (*blocks, {"module": OWN_BLOCK})]
    )
    assert {*report.varying} == {*axes}
    members = read([made.study]).members
    assert (members["model"] == OWN_BLOCK).eq(members["model.module"].notna()).all()


def test_a_selection_of_a_preset_leaves_blocks_of_ones_own_out(made: WrittenStudy) -> None:
    blocks_of(made, [{"norm": "pre"}, {"norm": "pre", "module": OWN_BLOCK}])
    findings = read([made.study])
    assert findings.where({"model": ["classic"]}).members["model.module"].isna().all()
    chosen = findings.where({"model": [OWN_BLOCK]})
    assert chosen.members["model.module"].eq(OWN_BLOCK).all()
    assert f"{OWN_BLOCK} block" in settings(summarise(chosen))


def test_a_preset_of_all_blocks_is_said_as_such(tmp_path: Path) -> None:
    modern, classic = WrittenStudy(tmp_path, "modern"), WrittenStudy(tmp_path, "classic")
    assert "modern block" in settings(blocks_of(modern, [MODERN]))
    assert "block" not in settings(blocks_of(classic, [CLASSIC]))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({"schedule": "cosine", "final_lr": 0.1}, "schedule cosine"),
        ({"dropout": 0.1, "tied": True}, "tied true, dropout 0.1"),
        ({"clip": None}, "clip null"),
        ({"skip": "ffn"}, "skip ffn"),
    ],
)
def test_shared_settings_that_are_not_the_usual_ones_are_said(
    made: WrittenStudy, changes: dict[str, Any], words: str
) -> None:
    add(made, Add(), 100, **changes)
    _, _, behind_steps = settings(made.report()).partition(" steps, ")
    assert behind_steps.partition(", learning rate" if words else "learning rate")[0] == words


def test_a_setting_of_blocks_runs_down_when_it_is_chosen_to(made: WrittenStudy) -> None:
    report = blocks_of(made, [CLASSIC, GELU])
    (panel,) = panels(report, layout(report, "model.activation"))
    assert panel.rows == ["gelu", "relu"]
    assert answer(report) == [
        "How deep: depth 1, the only one tried, with activation gelu and activation relu."
    ]


def test_an_earlier_study_that_swept_the_activation_is_told_apart_by_it(
    made: WrittenStudy,
) -> None:
    for number, block in enumerate([CLASSIC, GELU]):
        add(made, Add(), 100 + number, **block)
    report = summarise(read([made.write(in_plan=in_earlier_words)]))
    assert report.varying == ["model.activation"]
    assert "model" not in report.settings


def test_a_selection_of_presets_is_told_apart_by_them(made: WrittenStudy) -> None:
    blocks_of(made, [CLASSIC, MODERN, GELU])
    findings = read([made.study]).where({"model": ["classic", "modern"]})
    assert summarise(findings).varying == ["model"]


@pytest.fixture
def crossed(made: WrittenStudy) -> Findings:
    """Classic and modern blocks trained with AdamW and Muon, with and without connections."""
    for block, norm in ((CLASSIC, "post"), (MODERN, "pre")):
        for name in ("adamw", "muon"):
            for residual, steps in ((Add(), 100), (Plain(), STALLED)):
                add(made, residual, steps, norm=norm, **block, optimizer=optimizer(name))
    return made.findings()


@pytest.mark.parametrize("pairing", [Pairing(), Pairing(compare="optimizer")])
def test_a_report_by_block_and_optimiser_reads_back_from_json(
    crossed: Findings, pairing: Pairing
) -> None:
    report = summarise(crossed, pairing)
    assert report.comparisons
    assert {"model", "optimizer"} <= {*report.varying}
    assert not any(axis.startswith(("optimizer.", "model.")) for axis in report.axes)
    assert from_json(json.loads(json.dumps(to_json(report)))) == report


def test_blocks_and_optimisers_are_rows_and_columns_and_choose_members(crossed: Findings) -> None:
    report = summarise(crossed)
    down, across = panels(report, layout(report, "model", ["optimizer", "residual"]))
    assert {*down.rows, *across.rows} == {"classic", "modern"}
    assert down.columns == [
        ("adamw", "plain"),
        ("adamw", "add"),
        ("muon", "plain"),
        ("muon", "add"),
    ]
    chosen = summarise(crossed.where({"model": ["modern"], "optimizer": ["muon"]}))
    assert {cell.key.arm.norm for cell in chosen.cells} == {"pre"}
    assert (chosen.settings["model"], chosen.settings["optimizer"]) == ("modern", "muon")


def test_a_kind_of_model_is_named_shortly_and_sentences_are_whole(crossed: Findings) -> None:
    report = summarise(crossed)
    assert answer(report)[0] == (
        "How deep, post-norm, classic block, adamw: with residual connections stacks solve depth "
        "1, the only one tried, more often than without: 5 of 5 seeds against 0 of 5, exact p = "
        "0.032 corrected for 4 comparisons."
    )
    alone = summarise(crossed.where({"residual": ["add"]}))
    assert answer(alone)[0] == (
        "How deep: depth 1, the only one tried, with post-norm (classic block, adamw), post-norm "
        "(classic block, muon), pre-norm (modern block, adamw) and pre-norm (modern block, muon)."
    )
    assert kind_of_model(report.varying, report.cells[0].key.of(report.varying)) == (
        "add post, classic block, adamw"
    )


def test_a_count_names_schemes_that_are_alike_with_what_tells_them_apart(
    made: WrittenStudy,
) -> None:
    for block in (CLASSIC, MODERN):
        for name in ("adamw", "muon", "lion"):
            for residual, steps in ((Add(), 100), (Plain(), STALLED)):
                add(made, residual, steps, **block, optimizer=optimizer(name))
    deep = answer(made.report())[0]
    assert "classic block, adamw; add, classic block, lion; add, classic block, muon" in deep


def test_blocks_are_compared_as_blocks(made: WrittenStudy) -> None:
    blocks_of(made, [CLASSIC, MODERN])
    report = summarise(read([made.study]), Pairing(compare="model"))
    assert headline(report) == (
        "With the modern block stacks are not shown to solve depth 1, the only one tried, more or "
        "less often than with the classic block"
    )


def test_runs_are_named_by_what_tells_members_apart(crossed: Findings) -> None:
    """Names leave out settings that only one optimiser or block has, and values that a member does
    not have.
    """
    names = run_names(crossed.members.query("seed == 0"))
    assert sorted(names.values()) == sorted(
        f"copy-depth-1-{residual}-{norm}-{name}-seed-0-lr-0.003"
        for residual in ("add", "plain")
        for norm in ("post", "pre")
        for name in ("optimizer-adamw", "optimizer-muon")
    )


def test_runs_of_blocks_without_a_preset_are_named_by_their_settings(made: WrittenStudy) -> None:
    blocks_of(made, [CLASSIC, GELU])
    names = run_names(read([made.study]).members.query("seed == 0"))
    assert sorted(names.values()) == [
        f"copy-depth-1-add-post-activation-{word}-seed-0-lr-0.003" for word in ("gelu", "relu")
    ]


def test_runs_do_not_name_what_a_member_does_not_have(made: WrittenStudy) -> None:
    for changes in ({}, {"rope_base": 50.0, "position": "rope"}, {"position": "rope"}):
        add(made, Add(), 100, **{"rope_base": 10.0, **changes} if changes else {})
    names = run_names(made.findings().members.query("seed == 0"))
    assert sorted(names.values()) == [
        "copy-depth-1-add-post-position-learned-seed-0-lr-0.003",
        "copy-depth-1-add-post-position-rope-rope_base-10.0-seed-0-lr-0.003",
        "copy-depth-1-add-post-position-rope-rope_base-50.0-seed-0-lr-0.003",
    ]


CHANGES: dict[str, list[Any]] = {
    "activation": ["relu", "gelu", "swiglu"],
    "norm_kind": ["layer", "rms"],
    "bias": [True, False],
    "qk_norm": [True, False],
    "rope_base": [None, 500.0, 10_000.0],
    "width": [16, 32],
    "hidden": [64, 128],
    "optimizer": [optimizer("adamw"), optimizer("sgd"), optimizer("sgd", momentum=0.5)],
    "final_lr": [None, 0.0, 0.1],
}
CHANGED = st.builds(
    lambda block, changes: {**block, **changes},
    st.sampled_from([CLASSIC, MODERN]),
    st.dictionaries(st.sampled_from([*CHANGES]), st.none(), max_size=3).flatmap(
        lambda keys: st.fixed_dictionaries({key: st.sampled_from(CHANGES[key]) for key in keys})
    ),
)


@settings_of_test(max_examples=60, deadline=None)
@given(st.lists(CHANGED, min_size=1, max_size=6))
def test_what_differs_is_told_apart(changes: list[Block]) -> None:
    """Every shape has a cell of its own in a report, and a name of its own in TensorBoard."""
    shapes = {of_settings(**of_shape) for of_shape in changes}
    table = pd.DataFrame(
        {
            **presets.named(shape_settings({"shape": shape_to_json(of_shape)})),
            **{"study": "made", "job": str(number), "shape": number, "seed": 0, "lr": 0.1},
        }
        for number, of_shape in enumerate(shapes)
    )
    axes, _, _ = axes_of(table)
    assert len({*keys_by_shape(table, axes).values()}) == len(shapes)
    assert len({*run_names(table).values()}) == len(shapes)


def of_settings(**changes: Any) -> Shape:
    """A shape with these changes, and what each of them asks for beside it."""
    position = "learned" if changes.get("rope_base") is None else "rope"
    schedule = "constant" if changes.get("final_lr") is None else "cosine"
    return shape(1, Add(), "post", **{**changes, "position": position, "schedule": schedule})
