"""Steps to solve against the rows of the report: every seed, the median with its interval, and who
did not solve.
"""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.figures import labels
from resformer.reporting.figures.along import Along, along
from resformer.reporting.figures.frame import log_y
from resformer.reporting.figures.labels import Name
from resformer.reporting.figures.points import Tips, draw_points
from resformer.reporting.figures.sheet import Place, Sheet
from resformer.reporting.figures.style import FAINT, SMALL, Column

CAPTION = (
    "Steps to solve. Small: every seed at the learning rate it is scored at. Large: the median, "
    "with its interval "
    "where there are seeds enough for one. Above the grey line, the budget: how many seeds did not "
    "solve within it."
)
_HEIGHT, _STEPS_HEIGHT, _LEVEL, _ROOM = 2.6, 1.4, 0.26, 0.06
_BESIDE = 0.22
"""Share of a lane by which medians stand to its right and seeds to its left, so that none hides the
other.
"""
_NUMBER = 0.17
"""Inches that a number of seeds takes."""


def draw(sheet: Sheet, tips: Tips) -> Figure:
    """The figure; adds what its points say to the tips."""
    place = along(sheet, _HEIGHT, ["steps to solve"])
    levels = min(len(sheet.panel.columns), math.ceil(_NUMBER / place.lane_inches))
    needed = _STEPS_HEIGHT + _ROOM + levels * _LEVEL
    if needed > place.height:
        place = along(sheet, needed, ["steps to solve"])
    (axes,) = place.panels
    above = _scale(axes, sheet, place.height, levels)
    _budgets(axes, place, sheet)
    names = []
    for number, column in enumerate(sheet.panel.columns):
        end = _column(axes, place, sheet, column, above[number % levels], tips)
        names.append(Name(sheet.name(column), sheet.looks[column], end))
    labels.name_lines(axes, names)
    return place.figure


def _scale(axes: Axes, sheet: Sheet, height: float, levels: int) -> list[float]:
    """Set the y axis: steps up to the budget, above it so many levels for seeds that did not solve;
    returns these.
    """
    everyone = [run for runs in sheet.runs.values() for run in runs]
    budget = max(run.budget for run in everyone)
    low = min([budget / 10, *(max(1.0, run.solved_step) for run in everyone if run.solved)]) / 1.25
    room = _ROOM + levels * _LEVEL
    inch = math.log(budget / low) / (height - room)
    also = {budget: f"{budget:g}", budget * math.exp(inch * room / 2): "not solved"}
    log_y(axes, low, budget, budget * math.exp(inch * room), also)
    return [budget * math.exp(inch * (_ROOM + (level + 0.35) * _LEVEL)) for level in range(levels)]


def _budgets(axes: Axes, place: Along, sheet: Sheet) -> None:
    """The line that parts who solved from who did not; of each cell its own where they differ."""
    budgets = {key: max(run.budget for run in runs) for key, runs in sheet.runs.items()}
    if len(set(budgets.values())) == 1:
        axes.axhline(next(iter(budgets.values())), color=FAINT, linewidth=0.8, zorder=0)
        return
    for key, budget in budgets.items():
        ends = [place.at(*key) + sign * place.lane / 2 for sign in (-1, 1)]
        axes.plot(ends, [budget] * 2, color=FAINT, linewidth=0.8, zorder=0)


def _column(
    axes: Axes, place: Along, sheet: Sheet, column: Column, above: float, tips: Tips
) -> tuple[float, float] | None:
    """Draw a column's cells and the line of its medians; returns where it ends, if it has a cell in
    the last row.
    """
    look, end = sheet.looks[column], None
    medians: list[tuple[float, float]] = []
    for row in sheet.panel.rows:
        if (row, column) not in sheet.runs:
            end = None
            continue
        at, median = (
            place.at(row, column) + _BESIDE * place.lane,
            sheet.panel.cells[row, column].median_steps,
        )
        _seeds(axes, place, sheet, (row, column), tips)
        _unsolved(axes, sheet, (row, column), at, above)
        end = (at, above if median is None else max(1.0, median))
        if median is not None:
            medians.append(end)
            _interval(axes, sheet, (row, column), at)
    line: dict[str, Any] = {
        "linestyle": look.dashes,
        "linewidth": 1.2,
        "marker": look.marker,
        "markersize": 5,
    }
    axes.plot(
        [at for at, _ in medians], [median for _, median in medians], color=look.colour, **line
    )
    return end


def _seeds(axes: Axes, place: Along, sheet: Sheet, key: Place, tips: Tips) -> None:
    solved = [run for run in sheet.runs[key] if run.solved]
    steps = [max(1.0, run.solved_step) for run in solved]
    texts = [sheet.told(key, run) for run in solved]
    at, lane = place.at(*key) - _BESIDE * place.lane, (1 - 2 * _BESIDE) * place.lane
    draw_points(axes, at, steps, texts, sheet.looks[key[1]], lane, tips)


def _unsolved(axes: Axes, sheet: Sheet, key: Place, at: float, above: float) -> None:
    """Mark at this height how many seeds did not solve, if any."""
    count = sum(not run.solved for run in sheet.runs[key])
    if count:
        look = sheet.looks[key[1]]
        hollow: dict[str, Any] = {
            "linestyle": "",
            "markerfacecolor": "none",
            "markeredgewidth": 0.9,
            "markersize": 5,
        }
        axes.plot([at], [above], marker=look.marker, color=look.colour, **hollow)
        offset: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
        axes.annotate(str(count), (at, above), (0, 3.5), fontsize=SMALL, **offset)


def _interval(axes: Axes, sheet: Sheet, key: Place, at: float) -> None:
    """The interval of the median; where it has no upper end, an arrow up to the budget, and
    likewise below.
    """
    cell, colour = sheet.panel.cells[key], sheet.looks[key[1]].colour
    low, high = cell.median_low, cell.median_high
    if low is None and high is None:
        return
    budget = max(run.budget for run in sheet.runs[key])
    ends = np.clip(
        [axes.get_ylim()[0] if low is None else low, budget if high is None else high], 1.0, None
    )
    axes.plot([at, at], ends, color=colour, linewidth=1.1, solid_capstyle="butt")
    for end, bound, marker in ((ends[0], low, "v"), (ends[1], high, "^")):
        if bound is None:
            axes.plot([at], [end], marker=marker, markersize=4, color=colour)
