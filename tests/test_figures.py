"""Figures of studies written by hand, and of odd ones; artists are found by their labels."""

import dataclasses
import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from support.pairwise import Row, covering
from support.schemes import schemes
from support.studies import AT_ONCE, BROKEN, BUDGET, Life, WrittenStudy, solved, unsolved

from resformer.errors import UserError
from resformer.model.shape import Shape
from resformer.reporting.analysis.probes import Probed
from resformer.reporting.analysis.summary import summarise
from resformer.reporting.figures import Plot, draw, layers, plots
from resformer.reporting.figures.axes import balanced
from resformer.reporting.figures.marks import spread
from resformer.reporting.figures.style import colours, series_styles
from resformer.reporting.layout import Layout, layout
from resformer.reporting.schema import Report, Score
from resformer.residuals.add import Add
from resformer.residuals.plain import Plain
from resformer.results.members import Findings
from resformer.tasks.sort import Sort


def plotted(
    findings: Findings,
    rows: str | None = None,
    columns: Sequence[str] = (),
    score: Score = "steps",
) -> list[Plot]:
    summary = summarise(findings, score=score)
    return list(plots(findings, summary, layout(summary, rows, columns)))


def drawn(
    lives: WrittenStudy,
    rows: str | None = None,
    columns: Sequence[str] = (),
    score: Score = "steps",
) -> dict[str, Plot]:
    return {plot.name: plot for plot in plotted(lives.findings(), rows, columns, score)}


@pytest.fixture
def lives(tmp_path: Path, shape: Shape) -> WrittenStudy:
    return WrittenStudy(tmp_path / "results", "lived", shape)


@pytest.fixture
def unstopped(tmp_path: Path, shape: Shape) -> WrittenStudy:
    """A study whose members train to the end of their budget."""
    train = dataclasses.replace(shape.train, stop_when_solved=False)
    return WrittenStudy(tmp_path / "results", "unstopped", dataclasses.replace(shape, train=train))


def lines(axes: Axes, label: str) -> list[Line2D]:
    """Lines and points that show this."""
    return [line for line in axes.lines if line.get_label() == label]


def dotted(axes: Axes) -> list[Line2D]:
    return [line for line in axes.lines if line.get_linestyle() == ":"]


def patches(axes: Axes, label: str) -> list[Rectangle]:
    """Tiles that show this."""
    return [
        patch
        for patch in axes.patches
        if isinstance(patch, Rectangle) and patch.get_label() == label
    ]


def points(line: Line2D) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in zip(*line.get_data(), strict=True)]


def texts(plot: Plot) -> list[str]:
    return [text.get_text() for text in plot.figure.findobj(Text) if text.get_text()]


def test_members_that_left_count_in_the_median_with_their_last_loss(lives: WrittenStudy) -> None:
    lives.cell([solved(20, 0.1), solved(30, 0.2), unsolved(1.0)], depth=1)
    (axes,) = drawn(lives)["curves-copy"].figure.axes
    carried = {tuple(points(line)) for line in lines(axes, "carried seed")}
    assert carried == {((30, 0.1), (100, 0.1)), ((40, 0.2), (100, 0.2))}
    (median,) = lines(axes, "median")
    assert median.get_linestyle() == "-"
    assert points(median)[-1] == (100, 0.2)
    assert dict(points(median))[50] == 0.2


def test_a_line_of_medians_is_dotted_once_no_member_trains(lives: WrittenStudy) -> None:
    lives.cell([solved(20, 0.1)], depth=1, residual=Add())
    lives.cell([unsolved(1.0)], depth=1, residual=Plain())
    (axes,) = drawn(lives)["curves-copy"].figure.axes
    (carried,) = lines(axes, "carried median")
    assert carried.get_linestyle() == ":"
    assert [points(carried)[0], points(carried)[-1]] == [(30, 0.1), (100, 0.1)]


def test_a_loss_that_broke_is_not_carried_on_and_is_the_largest_of_all(lives: WrittenStudy) -> None:
    lives.cell([BROKEN, BROKEN, unsolved(1.0)], depth=1)
    (axes,) = drawn(lives)["curves-copy"].figure.axes
    assert dotted(axes) == lines(axes, "carried median") == []
    assert [points(line) for line in lines(axes, "diverged")] == [[(10, 5.0)], [(10, 5.0)]]
    (median,) = lines(axes, "median")
    assert [math.isnan(loss) for _, loss in points(median)] == [False, False] + [True] * 9


def test_a_member_is_not_carried_beyond_its_budget(lives: WrittenStudy) -> None:
    lives.cell([unsolved(1.0)], depth=1, residual=Plain())
    lives.cell([Life([3.0, 2.0, 1.5])], depth=1, residual=Add(), steps=20)
    (axes,) = drawn(lives)["curves-copy"].figure.axes
    assert dotted(axes) == []


def test_curves_have_the_blind_loss_and_five_panels_side_by_side(lives: WrittenStudy) -> None:
    for depth in (1, 2, 3, 4, 6):
        lives.cell([unsolved()], depth=depth)
    plot = drawn(lives)["curves-copy"]
    blind = lives.shape.task.blind_loss()
    for axes in plot.figure.axes:
        assert [points(line) for line in lines(axes, "blind loss")] == [[(0, blind), (1, blind)]]
    assert len({round(axes.get_position().y1, 6) for axes in plot.figure.axes}) == 1
    assert [axes.get_title(loc="left") for axes in plot.figure.axes] == [
        f"depth {depth}" for depth in (1, 2, 3, 4, 6)
    ]
    assert texts(plot).count("without the input") == 1


@given(st.integers(1, 300))
def test_no_panel_stands_alone_below_others(count: int) -> None:
    across = balanced(count)
    assert across <= 5
    assert count <= 5 or count % across != 1 or count % 60 == 1  # 60 = 3 · 4 · 5


def test_members_that_did_not_solve_are_counted_above_the_budget(lives: WrittenStudy) -> None:
    lives.cell([solved(20), solved(30), solved(30), unsolved(), BROKEN], depth=1)
    lives.cell([unsolved()] * 5, depth=2)
    (axes,) = drawn(lives)["steps-copy"].figure.axes
    hollow = lines(axes, "unsolved")
    assert all(line.get_markerfacecolor() == "none" for line in hollow)
    assert [step > BUDGET for line in hollow for _, step in points(line)] == [True, True]
    assert [text.get_text() for text in axes.texts] == ["2", "5"]
    seeds = [point for line in lines(axes, "seed") for point in points(line)]
    assert sorted(step for _, step in seeds) == [20, 30, 30]
    assert len({at for at, step in seeds if step == 30}) == 2
    (median,) = lines(axes, "medians")
    assert [step for _, step in points(median)] == [30]


def test_the_median_has_its_interval_open_where_it_has_no_end(lives: WrittenStudy) -> None:
    lives.cell([solved(20), solved(30), solved(30), unsolved(), unsolved()], depth=1)
    lives.cell([solved(step) for step in (20, 30, 40, 50, 60)], depth=2)
    (axes,) = drawn(lives)["steps-copy"].figure.axes
    bars = [points(line) for line in lines(axes, "interval")]
    assert [[step for _, step in bar] for bar in bars] == [[20, BUDGET], [20, 60]]
    (arrow,) = lines(axes, "open end")
    assert arrow.get_marker() == "^"
    assert [step for _, step in points(arrow)] == [BUDGET]


def test_columns_stand_side_by_side_and_doublings_equally_far_apart(lives: WrittenStudy) -> None:
    for depth, residual in itertools.product((1, 2, 8), (Plain(), Add())):
        lives.cell([solved(20)], depth=depth, residual=residual)
    (axes,) = drawn(lives)["solved-copy"].figure.axes
    assert list(axes.get_xticks()) == [0, 1, 3]
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "8"]
    plain, add = ([at for at, _ in points(line)] for line in lines(axes, "shares"))
    assert all(0 < right - left < 0.5 for left, right in zip(plain, add, strict=True))


def test_the_share_solved_has_its_wilson_interval(lives: WrittenStudy) -> None:
    lives.cell([solved(20)] * 4 + [unsolved()], depth=1)
    lives.cell([unsolved()] * 5, depth=2)
    (axes,) = drawn(lives)["solved-copy"].figure.axes
    bar, _ = lines(axes, "interval")
    assert [round(share, 3) for _, share in points(bar)] == [0.376, 0.964]


def test_rates_are_tiles_and_the_chosen_one_is_framed(lives: WrittenStudy) -> None:
    lives.cell({1e-3: [unsolved()] * 3, 1e-2: [solved(20), solved(30), unsolved()]}, depth=1)
    lives.cell({1e-3: [unsolved()] * 3, 1e-2: [solved(20)] * 3}, depth=2)
    (axes,) = drawn(lives)["rates-copy"].figure.axes
    unsolved_tiles = patches(axes, "missing")
    assert all(tile.get_hatch() for tile in unsolved_tiles)
    assert {round(tile.get_y() + tile.get_height() / 2) for tile in unsolved_tiles} == {0}
    assert [text.get_text() for text in axes.get_yticklabels()] == ["0.001", "0.01"]
    assert [text.get_text() for text in axes.texts] == ["0/3", "2/3\n50", "0/3", "3/3\n20"]
    framed = [tile.get_xy() for tile in patches(axes, "scored at")]
    assert framed == [(-0.5, 0.5), (0.5, 0.5)]
    assert len({to_hex(tile.get_facecolor()) for tile in patches(axes, "known")}) == 2


def test_one_rate_makes_no_figure_of_rates_and_one_depth_none_along_depth(
    lives: WrittenStudy,
) -> None:
    lives.cell([solved(20)], depth=1)
    lives.cell([unsolved()], depth=1, residual=Plain())
    assert list(drawn(lives)) == ["curves-copy"]
    lives.cell([solved(20)], depth=2)
    assert list(drawn(lives)) == ["steps-copy", "solved-copy", "curves-copy", "gradient-copy"]
    lives.cell([unsolved()], depth=2, residual=Plain())
    assert list(drawn(lives))[2] == "doublings-copy"


def test_gradients_share_their_axis_and_show_every_seed(lives: WrittenStudy) -> None:
    lives.cell([dataclasses.replace(solved(20), norm=norm) for norm in (0.5, 2.0, 8.0)], depth=1)
    lives.cell([dataclasses.replace(solved(20), norm=3.0)], depth=2)
    first, trained = drawn(lives)["gradient-copy"].figure.axes
    assert first.get_ylim() == trained.get_ylim()
    assert first.get_yscale() == "log"
    for axes in (first, trained):
        assert sorted(points(line)[0][1] for line in lines(axes, "seed")) == [0.5, 2.0, 3.0, 8.0]
        (medians,) = lines(axes, "medians")
        assert [norm for _, norm in points(medians)] == [2.0, 3.0]


def test_points_have_tooltips_of_their_members(lives: WrittenStudy) -> None:
    lives.cell([solved(20), unsolved()], depth=4)
    lives.cell([unsolved()], depth=8)
    plot = drawn(lives)["steps-copy"]
    assert list(plot.tips.values()) == [
        "add, post, depth 4, seed 0: solved at step 20, learning rate 0.01"
    ]
    (name,) = plot.tips
    assert f'id="{name}"' in plot.rendered("svg").decode()


def test_a_figure_for_each_panel_named_by_it(lives: WrittenStudy, tmp_path: Path) -> None:
    for depth in (1, 2):
        lives.cell(
            [solved(20)], depth=depth, task=Sort(length=6, symbols=8), attention="bidirectional"
        )
        lives.cell([solved(20)], depth=depth)
    findings = lives.findings()
    summary = summarise(findings)
    for plot in plotted(findings):
        (heading,) = plot.figure.findobj(lambda artist: artist.get_gid() == "heading")
        assert isinstance(heading, Text)
        assert heading.get_text() == plot.title == plot.label
    paths = draw(findings, summary, layout(summary), tmp_path / "figures")
    kinds = ("steps", "solved", "curves", "gradient")
    assert [path.name for path in paths] == [
        f"{kind}-{task}.{form}"
        for task in ("copy", "sort")
        for kind in kinds
        for form in ("svg", "png")
    ]
    again = draw(findings, summary, layout(summary), tmp_path / "again")
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in again]


def test_figures_refuse_a_place_that_cannot_be_written(lives: WrittenStudy, tmp_path: Path) -> None:
    lives.cell([solved(20)], depth=1)
    findings = lives.findings()
    summary = summarise(findings)
    (tmp_path / "file").touch()
    with pytest.raises(
        UserError, match=r"--figures .*file/below: cannot be written: Not a directory"
    ):
        draw(findings, summary, layout(summary), tmp_path / "file" / "below")


def test_a_curve_that_changed_is_named(lives: WrittenStudy) -> None:
    lives.cell([solved(20)], depth=1)
    findings = lives.findings()
    path = lives.study.job(lives.jobs[0][0].id) / "attempt-1" / "curves.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(
        UserError, match=r"curves.parquet: not the bytes that were committed; delete .*\.cache"
    ):
        plotted(findings)


def with_schemes(report: Report, schemes: Sequence[str]) -> Report:
    """The first cell of a report, once per scheme of these names."""
    cell = report.cells[0]
    arms = [dataclasses.replace(cell.key.arm, residual=scheme) for scheme in schemes]
    keys = [dataclasses.replace(cell.key, arm=arm) for arm in arms]
    return dataclasses.replace(
        report, cells=tuple(dataclasses.replace(cell, key=key) for key in keys)
    )


def test_an_unknown_scheme_has_a_colour_of_its_own(lives: WrittenStudy) -> None:
    lives.cell([solved(20)], depth=1)
    schemes = ["plain", "add", *(f"scheme {number}" for number in range(20))]
    axes = Layout("depth", ("residual", "norm"), ())
    report = summarise(lives.findings())
    by_series = series_styles(with_schemes(report, schemes), axes)
    assert len({style.colour for style in by_series.values()}) == len(schemes)
    assert by_series == series_styles(with_schemes(report, schemes[::-1]), axes)


def test_no_colour_of_a_norm_is_one_of_a_scheme(lives: WrittenStudy) -> None:
    for norm in ("none", "pre", "post", "sandwich", "pre_post", "branch"):
        lives.cell([solved(20)], depth=1, norm=norm)
    report = summarise(lives.findings())
    norms = {style.colour for style in series_styles(report, layout(report)).values()}
    names = ["plain", "add", "rezero", "deepnorm", "layerscale", "one", "more"]
    assert len(norms) == 6
    assert not norms & set(colours("residual", names).values())


def test_a_scheme_has_its_colour_whatever_it_stands_beside(lives: WrittenStudy) -> None:
    """Also alone in its figures."""
    lives.cell([solved(20)], depth=1)
    report = summarise(lives.findings())
    (alone,) = series_styles(report, layout(report)).values()
    assert alone.colour == colours("residual", ["plain", "add", "x"])["add"]


def twelve(lives: WrittenStudy, depths: Sequence[int] = (1, 2, 4)) -> dict[str, int]:
    """Twelve arms, told apart by their batch; returns the last depth of each by its name."""
    reached = {}
    for number in range(12):
        reach = depths[number % len(depths)]
        for depth in depths:
            life = solved(20 + number // 3 * 10) if depth <= reach else unsolved()
            lives.cell([life] * 3, depth=depth, batch=8 + number)
        reached[f"add, post, batch {8 + number}"] = reach
    return reached


def test_above_eight_arms_a_heat_map_and_multiples_replace_lines(lives: WrittenStudy) -> None:
    twelve(lives)
    assert list(drawn(lives)) == ["heatmap-copy", "multiples-copy"]


def test_a_heat_map_is_sorted_by_limit_then_speed_and_hatches_what_is_unsolved(
    lives: WrittenStudy,
) -> None:
    reached = twelve(lives)
    plot = drawn(lives)["heatmap-copy"]
    (axes,) = plot.figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert [reached[name] for name in names] == [4] * 4 + [2] * 4 + [1] * 4
    assert names[:4] == [f"add, post, batch {batch}" for batch in (10, 13, 16, 19)]
    top, bottom = axes.get_ylim()[::-1]
    assert top < bottom
    by_gid = {patch.get_gid(): patch for patch in axes.patches}
    for gid, tip in plot.tips.items():
        name, _, rest = tip.partition(", depth ")
        depth, count = int(rest.split(":")[0]), "3 of 3" if "3 of 3" in rest else "0 of 3"
        tile = by_gid[gid]
        assert bool(tile.get_hatch()) == (depth > reached[name]) == (count == "0 of 3")
        assert round(tile.get_y() + tile.get_height() / 2) == names.index(name)
    inside = [text.get_text() for text in axes.texts if text.get_gid() != "limit"]
    assert inside.count("0/3") == 12
    limits = [text.get_text() for text in axes.texts if text.get_gid() == "limit"]
    assert limits == ["limit", *["≥ 4"] * 4, *["2"] * 4, *["1"] * 4]


def test_final_losses_are_drawn_where_members_are_judged_by_them(unstopped: WrittenStudy) -> None:
    for depth, losses in {1: [0.1, 0.3, 0.2], 2: [0.5, math.nan, 0.7]}.items():
        unstopped.cell([Life([3.0, loss]) for loss in losses], depth=depth)
    plots = drawn(unstopped, score="final_loss")
    assert "steps-copy" not in plots
    assert "solved-copy" not in plots
    (axes,) = plots["final_loss-copy"].figure.axes
    seeds = sorted(y for line in lines(axes, "seed") for _, y in points(line))
    assert seeds == pytest.approx([0.1, 0.2, 0.3, 0.5, 0.7])
    (medians,) = lines(axes, "medians")
    assert [y for _, y in points(medians)] == pytest.approx([0.2, 0.7])
    assert "final_loss-copy" not in drawn(unstopped)


def test_tiles_show_the_result_that_members_are_judged_by(unstopped: WrittenStudy) -> None:
    unstopped.cell({1e-3: [Life([3.0, 0.25])] * 3, 1e-2: [Life([3.0, 0.5])] * 3}, depth=1)
    plot = drawn(unstopped, score="final_loss")["rates-copy"]
    (axes,) = plot.figure.axes
    assert [text.get_text() for text in axes.texts] == ["0/3\n0.25", "0/3\n0.5"]
    assert "median final held-out loss" in plot.caption
    for batch in range(8, 17):
        loss = 0.1 * (batch % 5 + 1)
        for depth in (1, 2):
            unstopped.cell([Life([3.0, loss])] * 3, depth=depth, batch=batch)
    (axes,) = drawn(unstopped, score="final_loss")["heatmap-copy"].figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names[:2] == ["add, post, batch 10", "add, post, batch 15"]
    assert {"0.1  0/3", "0.5  0/3"} <= {text.get_text() for text in axes.texts}


def test_multiples_show_each_arm_over_all_others_where_half_of_them_solve(
    lives: WrittenStudy,
) -> None:
    twelve(lives, (1, 2, 4, 8))
    plot = drawn(lives)["multiples-copy"]
    assert "depth 4" in texts(plot)
    assert len(plot.figure.axes) == 12
    for axes in plot.figure.axes:
        (others,) = [line for line in axes.lines if line.get_gid() == "others"]
        assert sum(math.isnan(step) for step, _ in points(others)) == 11
        (median,) = lines(axes, "median")
        assert median.get_zorder() > others.get_zorder()
    assert len({axes.get_title(loc="left") for axes in plot.figure.axes}) == 12


@pytest.mark.parametrize("depths", [(1, 2, 4), (1, 2, 3), (1, 64), (5, 6)])
@pytest.mark.parametrize("arms", [1, 2, 8])
def test_marks_are_spread_within_a_quarter_of_the_gap(
    lives: WrittenStudy, depths: Sequence[int], arms: int
) -> None:
    for depth, batch in itertools.product(depths, range(arms)):
        lives.cell([solved(20), solved(20), solved(30)], depth=depth, batch=8 + batch)
    figures = drawn(lives)
    for kind in ("steps", "solved", "gradient"):
        axes = figures[f"{kind}-copy"].figure.axes[0]
        ticks = list(axes.get_xticks())
        gap = min(after - before for before, after in itertools.pairwise(ticks))
        at = [
            x
            for label in ("seed", "medians", "share")
            for line in lines(axes, label)
            for x, _ in points(line)
        ]
        nearest = [min(ticks, key=lambda tick: abs(tick - x)) for x in at]
        for tick in ticks:
            near = [x for x, of in zip(at, nearest, strict=True) if of == tick]
            assert max(near) - min(near) <= gap / 4 + 1e-9


def test_seeds_stand_under_their_median(lives: WrittenStudy) -> None:
    for depth, residual in itertools.product((1, 2), (Plain(), Add())):
        lives.cell([solved(20), solved(40), solved(80)], depth=depth, residual=residual)
    (axes,) = drawn(lives)["steps-copy"].figure.axes
    medians = {x for line in lines(axes, "medians") for x, _ in points(line)}
    assert {x for line in lines(axes, "seed") for x, _ in points(line)} == medians
    drawn_order = [line.get_label() for line in axes.lines if line.get_color() == "#0072B2"]
    assert drawn_order.index("medians") > drawn_order.index("seed")


def test_steps_are_as_high_as_the_data(lives: WrittenStudy) -> None:
    for depth in (1, 2):
        lives.cell([solved(40), solved(50)], depth=depth)
    (axes,) = drawn(lives)["steps-copy"].figure.axes
    low, high = axes.get_ylim()
    assert 30 < low < 40
    assert 50 < high < BUDGET
    assert lines(axes, "budget") == []


def test_doublings_are_sorted_and_filled_where_significant(lives: WrittenStudy) -> None:
    for depth in (1, 2, 4):
        lives.cell([solved(20)] * 5, depth=depth, residual=Add())
        lives.cell([solved(20) if depth < 2 else unsolved()] * 5, depth=depth, residual=Plain())
        lives.cell([solved(20) if depth < 4 else unsolved()] * 5, depth=depth, norm="pre")
        lives.cell(
            [solved(20)] * 5 if depth < 4 else [solved(20), *[unsolved()] * 4],
            depth=depth,
            norm="pre",
            residual=Plain(),
        )
    findings = lives.findings()
    by_name = {
        (row.scheme.norm, row.verdict): row.doublings for row in summarise(findings).comparisons
    }
    plot = next(plot for plot in plotted(findings) if plot.kind == "doublings")
    (axes,) = plot.figure.axes
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["add / plain, post", "add / plain, pre"]
    (better,), (undecided,) = lines(axes, "significant"), lines(axes, "undecided")
    assert points(better) == [(by_name["post", "better"].value, 0)]
    assert points(undecided) == [(by_name["pre", "undecided"].value, 1)]
    assert (better.get_marker(), undecided.get_marker()) == (">", "o")
    assert better.get_markerfacecolor() != undecided.get_markerfacecolor() == "white"
    ends = [[x for x, _ in points(line)] for line in lines(axes, "interval")]
    assert ends == [[row.low, row.high] for row in by_name.values()]
    assert set(plot.tips) == {better.get_gid(), undecided.get_gid()}


def test_names_are_spread_in_order_and_within_bounds() -> None:
    placed = spread([5.0, 1.0, 1.0, 1.1, 9.9], 1.0, 0.0, 10.0)
    assert all(abs(one - other) >= 1 - 1e-9 for one, other in itertools.combinations(placed, 2))
    assert all(0 <= y <= 10 for y in placed)
    assert placed[1] > placed[2]
    assert placed[0] == 5.0


def one(lives: WrittenStudy) -> None:
    lives.cell([solved(30)], depth=1)


def broken(lives: WrittenStudy) -> None:
    for depth in (1, 2):
        lives.cell([BROKEN, AT_ONCE], depth=depth)


def at_once(lives: WrittenStudy) -> None:
    lives.cell([AT_ONCE, Life([3.0], diverged=0)], depth=3)


def nobody(lives: WrittenStudy) -> None:
    for depth, lr in itertools.product((1, 2), (1, 2)):
        lives.cell({1e-3 * lr: [unsolved()]}, depth=depth)


def many(lives: WrittenStudy) -> None:
    for depth, norm, residual in itertools.product(
        (1, 2, 3, 4, 6, 8, 12, 16), ("none", "pre", "post"), (Plain(), Add())
    ):
        lives.cell(
            [solved(10 * (1 + depth % 3)), solved(20), unsolved()],
            depth=depth,
            norm=norm,
            residual=residual,
        )


def uneven(lives: WrittenStudy) -> None:
    lives.cell({1e-3: [solved(20)], 1e-2: [solved(30), unsolved()]}, depth=1, residual=Plain())
    lives.cell([unsolved()], depth=512, residual=Add(), norm="pre_post")
    lives.cell([solved(80)], depth=2, residual=Add(), batch=16, steps=90)


def every_scheme(lives: WrittenStudy) -> None:
    for residual, depth in itertools.product(schemes(), (1, 8)):
        others = ("none", "pre", "post") if residual in (Plain(), Add()) else (residual.own_norm,)
        for norm in others:
            lives.cell(
                [solved(10 * depth), solved(20), unsolved()],
                depth=depth,
                norm=norm,
                residual=residual,
            )


FILLS = {fill.__name__: fill for fill in (one, broken, at_once, nobody, many, uneven, every_scheme)}


@pytest.mark.fuzz
@pytest.mark.parametrize(
    "row",
    covering(
        {
            "fill": tuple(FILLS),
            "rows": ("depth", "norm", "residual"),
            "score": ("steps", "final_loss"),
        }
    ),
    ids=lambda row: f"{row['fill']} {row['rows']} {row['score']}",
)
def test_odd_studies_can_be_drawn_and_no_text_is_cut_or_covers_another(
    lives: WrittenStudy, unstopped: WrittenStudy, row: Row
) -> None:
    study = lives if row["score"] == "steps" else unstopped
    FILLS[row["fill"]](study)
    for plot in drawn(study, row["rows"], score=row["score"]).values():
        assert plot.rendered("png")
        boxes = list(visible(plot))
        for text, box in boxes:
            assert plot.figure.bbox.padded(1).containsx(box.x0), (plot.name, text)
            assert plot.figure.bbox.padded(1).containsx(box.x1), (plot.name, text)
            assert plot.figure.bbox.padded(1).containsy(box.y0), (plot.name, text)
            assert plot.figure.bbox.padded(1).containsy(box.y1), (plot.name, text)
        for (text, box), (other, another) in itertools.combinations(boxes, 2):
            assert not box.padded(-1).overlaps(another.padded(-1)), (plot.name, text, other)


def visible(plot: Plot) -> Iterator[tuple[str, Bbox]]:
    """Every text that is drawn, and where."""
    canvas = FigureCanvasAgg(plot.figure)
    canvas.draw()
    for text in plot.figure.findobj(Text):
        if text.get_visible() and text.get_text():
            yield text.get_text(), text.get_window_extent(canvas.get_renderer())


def of_layers(**gains: Sequence[float]) -> Probed:
    """A probe of schemes with a measure by layer, `gain`, of a depth of their own."""
    models = {
        (name,): {len(gain) // 2: pd.DataFrame({"gain": gain})} for name, gain in gains.items()
    }
    return Probed(["residual"], models)


def test_a_scheme_without_a_measure_has_no_panel_of_it() -> None:
    nothing = [math.nan] * 3
    figure = layers.draw(of_layers(add=nothing, hyper=[math.nan, 1.5, 2.0]), "gain", "gain")
    assert figure is not None
    assert [axes.get_title(loc="left") or axes.get_title() for axes in figure.axes] == ["hyper"]
    assert layers.draw(of_layers(add=nothing), "gain", "gain") is None


def test_round_off_is_drawn_as_constant() -> None:
    figure = layers.draw(of_layers(mhc=[1.0, 1 - 1e-15, 1 + 1e-14]), "gain", "gain")
    assert figure is not None
    low, high = figure.axes[0].get_ylim()
    assert low < 0.96
    assert high > 1.04
