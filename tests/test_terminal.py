"""A report in a terminal: it fits, it reads without colour, nothing in it is obeyed."""

import io
import re
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console
from support.schemes import scheme as scheme_of
from support.schemes import schemes
from support.studies import SEEDS, STALLED, WrittenStudy, shape

from resformer.model.shape import Member
from resformer.reporting.layout import layout
from resformer.reporting.schema import Excluded, Report
from resformer.reporting.text import words
from resformer.reporting.views import terminal
from resformer.residuals.add import Add
from resformer.residuals.dense import Dense
from resformer.residuals.gpt2 import Gpt2
from resformer.residuals.layerscale import LayerScale
from resformer.residuals.lns import Lns
from resformer.residuals.plain import Plain
from resformer.residuals.scaled import Scaled
from resformer.results.problems import FailedJob


def shown(report: Report, width: int = 80, **console: Any) -> str:
    out = io.StringIO()
    terminal.render(report, layout(report), Console(file=out, width=width, **console))
    return out.getvalue()


def full(made: WrittenStudy) -> Report:
    for depth in (1, 8):
        for norm in ("post", "pre"):
            made.job(
                shape(depth, Plain(), norm),
                SEEDS,
                [100, 120, 110, 90, 130] if depth == 1 else [STALLED] * 5,
            )
            made.job(shape(depth, Add(), norm), SEEDS, [100, 120, 110, 90, 130])
    return made.report()


def test_a_whole_report_as_the_terminal_shows_it(made: WrittenStudy) -> None:
    lines = [" ".join(line.split()) for line in shown(full(made), color_system=None).splitlines()]
    text = "\n".join(lines)
    assert lines[0].startswith("made: copy, length 8, 16 symbols, width 32")
    assert "depth post pre post pre" in lines
    assert "8 stalled 2.77 0/5 stalled 2.77 0/5 110 5/5 110 5/5" in lines
    assert "90–130 90–130" in lines
    assert "limit 1 1 ≥ 8 ≥ 8" in lines
    assert "add / plain post ≥ 8 : 1 ≥ +3.0 1.1 to 3.4 0.016 1.00" in text
    assert "How deep, post-norm: with residual connections stacks train" in text
    assert "Cost: residual connections add no parameters" in text
    assert "left out: model.norm=post (does not go)" in text


def test_a_baseline_of_many_comparisons_is_named_once(made: WrittenStudy) -> None:
    made.job(shape(8, Plain(), "pre"), SEEDS, [STALLED] * 5)
    for residual in (Add(), Dense(), Gpt2(), Lns(), Scaled(exponent=0.5)):
        made.job(shape(8, residual, "pre"), SEEDS, [100, 120, 110, 90, 130])
    report = made.report()
    assert words.comparison_headings(report)[0] == "against plain"
    assert [row[0] for row in words.comparisons(report)] == [
        "add",
        "dense",
        "gpt2",
        "lns",
        "scaled",
    ]
    few = replace(report, comparisons=report.comparisons[:4])
    assert words.comparison_headings(few)[0] == "compared"
    assert words.comparisons(few)[0][0] == "add / plain"


def test_a_report_fits_80_columns_and_reads_without_colour(made: WrittenStudy) -> None:
    for depth in (1, 2):
        for norm in ("none", "pre", "post", "sandwich", "pre_post", "branch"):
            made.job(shape(depth, Plain(), norm), SEEDS, [STALLED] * 5)
            made.job(shape(depth, Add(), norm), SEEDS, [100] * 5)
    text = shown(made.report(), color_system=None)
    assert max(map(len, text.splitlines())) <= 80
    assert text.count("stalled 2.77 0/5") == 12
    assert text.count("100 5/5") == 12
    assert text.count("100–100") == 12


def test_comparisons_of_long_names_say_where(made: WrittenStudy) -> None:
    """All numbers of a row are as wide as they get."""
    for scheme in (Plain(), scheme_of("stochastic_depth")):
        for norm in ("post", "pre"):
            steps = [100, 120, 110, 90, 130] if norm == "pre" else [STALLED] * 5
            for depth in (1, 2, 4, 8, 16):
                made.job(
                    shape(depth, scheme, norm),
                    SEEDS,
                    [430, 580, 90, 400, 570] if scheme == Plain() else steps,
                )
    lines = shown(made.report(), color_system=None).splitlines()
    (heading,) = (line for line in lines if line.split()[:2] == ["compared", "where"])
    rows = [line for line in lines if "none : ≥ 16" in line or "≥ 16 : ≥ 16" in line]
    assert [line[heading.index("where") :].split()[0] for line in rows] == ["post", "pre"]
    assert all(len(line) <= 80 for line in lines)


def test_twenty_columns_are_turned_into_rows(made: WrittenStudy) -> None:
    """The deepest limit first; what has no room beside a number stands under it."""
    for number, scheme in enumerate(scheme for scheme in schemes() if scheme.own_norm == "pre"):
        for depth in (1, 2, 4, 8, 16):
            solved = depth <= 2 ** (number % 4)
            made.job(
                shape(depth, scheme, "pre"),
                SEEDS,
                [100, 120, 110, 90, 130] if solved else [STALLED] * 5,
            )
    for norm in ("post", "pre", "none"):
        for depth in (1, 16):
            made.job(shape(depth, Add(), norm), SEEDS, [100] * 5)
            made.job(shape(depth, Plain(), norm), SEEDS, [STALLED] * 5)
    report = made.report()
    assert len(report.limits) >= 17
    text = shown(report, color_system=None)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    (heading,) = (
        number
        for number, line in enumerate(lines)
        if line.split() == ["depth", *["1", "2", "4", "8", "16"], "limit"]
    )
    rows = [line.split() for line in lines[heading + 2 :]][: 2 * len(report.limits)]
    limits = {" ".join(row[:2]): row[-1] for row in rows[::2]}
    assert limits["add pre"] == "16"
    assert limits["plain none"] == "none"
    order = [0 if limit == "none" else int(limit) for limit in limits.values()]
    assert order == sorted(order, reverse=True)
    assert set(order) == {0, 1, 2, 4, 8, 16}
    for row, under in zip(rows[::2], rows[1::2], strict=True):
        assert ("2.77" in row) == ("stalled" in under)


def test_colours_come_with_words_and_no_color_takes_them_away(
    made: WrittenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = full(made)
    coloured = shown(report, force_terminal=True, color_system="truecolor")
    assert re.search(r"\x1b\[1m *110 5/5", coloured)  # bold, in the terminal's own colour
    monkeypatch.setenv("NO_COLOR", "1")
    plain = shown(report, force_terminal=True, color_system="truecolor")
    assert "38;2;" not in plain


def test_long_axis_names_are_not_cut(made: WrittenStudy) -> None:
    for initial in (0.1, 0.2, 0.3, 0.4, 0.5):
        for depth in (1, 2):
            made.job(
                shape(
                    depth,
                    LayerScale(
                        initial_to_18_blocks=initial, initial_to_24_blocks=1e-5, initial_beyond=1e-6
                    ),
                    "pre",
                ),
                SEEDS,
                [100] * 5,
            )
    text = shown(made.report(), color_system=None)
    words = " ".join(text.split())
    assert [
        words.count(f"initial_to_18_blocks {initial}") for initial in (0.1, 0.2, 0.3, 0.4, 0.5)
    ] == [2] * 5  # in the table and in the answer
    assert text.count("depth") >= 2
    assert max(map(len, text.splitlines())) <= 80


def test_markup_and_control_codes_are_shown_not_obeyed(made: WrittenStudy) -> None:
    report = full(made)
    failed = FailedJob(
        study="made",
        job="0",
        members=1,
        settings="[b]",
        reason="\x1b]0;title\x07\n[link=x]y",
    )
    report = replace(
        report,
        study="[red]s[/red]",
        excluded=(Excluded(settings={"a": "[bold]x[/bold]"}, reason="[red]no\x1b[2J"),),
        failed=(failed,),
    )
    text = shown(report, color_system=None)
    assert "[red]s[/red]: copy" in text
    assert "left out: a=[bold]x[/bold] ([red]no\\x1b[2J)" in text
    assert "\\x1b]0;title\\x07" in text
    assert "\x1b" not in text


def test_columns_beyond_the_most_that_are_shown_are_counted(made: WrittenStudy) -> None:
    for batch in range(1, 65):
        for depth in (1, 2):
            made.job(shape(depth, Plain(), "post", batch=batch), [Member(seed=0, lr=3e-3)], [100])
            made.job(shape(depth, Add(), "post", batch=batch), [Member(seed=0, lr=3e-3)], [100])
    text = shown(made.report(), color_system=None)
    assert (
        "68 more columns: choose with --where, --rows and --columns, or take --format csv"
        in " ".join(text.split())
    )
    assert "4 more comparisons: --format json has all" in text


def test_one_seed_is_called_optimistic_and_unfinished_work_counted(made: WrittenStudy) -> None:
    made.job(shape(1, Add(), "post"), [Member(seed=0, lr=lr) for lr in (1e-3, 1e-2)], [100, 200])
    made.job(shape(8, Add(), "post"), SEEDS, [100] * 5)
    notes = words.notes(made.report(finished=1))
    assert any("1 job" in line and "5 members" in line for line in notes)
    assert any("optimistic" in line for line in notes)
