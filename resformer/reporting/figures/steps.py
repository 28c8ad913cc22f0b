"""Figure of the steps to solve against the rows of the report: every seed, the median with its
interval, and how many seeds did not solve.
"""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.figures.axes import Lanes, lanes, log_y
from resformer.reporting.figures.data import PanelData, Position
from resformer.reporting.figures.marks import (
    INTERVAL,
    LineLabel,
    Tips,
    label_lines,
    line,
    points,
    reference,
)
from resformer.reporting.figures.style import FAINT, SMALL, Series
from resformer.reporting.text.words import UNITS, amount

CAPTION = (
    "{Unit} to solve. Small: every seed at the learning rate it is scored at. Large: the median, "
    "with its interval "
    "where there are seeds enough for one. Above the grey line, the budget: how many seeds did not "
    "solve within it."
)
_HEIGHT, _STEPS_HEIGHT, _LEVEL, _ROOM = 2.6, 1.4, 0.26, 0.06
_MARGIN = 1.25
"""Factor between the steps and the edges of the axis."""
_NUMBER = 0.17
"""Inches that a number of seeds takes."""


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its points. None for a single row, for more series
    than lines tell apart, and where members are judged by their final loss.
    """
    if data.many or len(data.panel.rows) < 2 or data.panel.score != "steps":
        return None
    page = lanes(data, _HEIGHT, [f"{UNITS[data.per]} to solve"])
    unsolved = [
        series
        for series in data.panel.columns
        if any(
            not curve.solved
            for (_, of_series), curves in data.curves.items()
            if of_series == series
            for curve in curves
        )
    ]
    levels = min(len(unsolved), math.ceil(_NUMBER / page.inches))
    needed = _STEPS_HEIGHT + _ROOM + levels * _LEVEL
    if needed > page.height:
        page = lanes(data, needed, [f"{UNITS[data.per]} to solve"])
    (axes,) = page.panels
    unsolved_y = _scale(axes, data, page.height, levels)
    if unsolved:
        _budgets(axes, page, data)
    y_of = {series: unsolved_y[number % levels] for number, series in enumerate(unsolved)}
    labels = []
    for series in data.panel.columns:
        end = _series(axes, page, data, series, y_of.get(series), tips)
        labels.append(LineLabel(data.label(series), data.styles[series], end))
    label_lines(axes, labels)
    return page.figure


def _scale(axes: Axes, data: PanelData, height: float, levels: int) -> list[float]:
    """Set the y axis: steps up to the budget, and above it so many levels for the seeds that did
    not solve, which are returned; without levels it ends with the last that solved.
    """
    members = data.members
    solved = [max(1.0, member.solved_step) for member in members if member.solved]
    if not levels:
        log_y(axes, min(solved) / _MARGIN, max(solved) * _MARGIN)
        return []
    budget = max(member.budget for member in members)
    low = min(solved, default=budget / 10) / _MARGIN
    room = _ROOM + levels * _LEVEL
    inch = math.log(budget / low) / (height - room)
    named = {budget: amount(budget, data.per), budget * math.exp(inch * room / 2): "not solved"}
    log_y(axes, low, budget, top=budget * math.exp(inch * room), named=named)
    return [budget * math.exp(inch * (_ROOM + (level + 0.35) * _LEVEL)) for level in range(levels)]


def _budgets(axes: Axes, page: Lanes, data: PanelData) -> None:
    """Draw the budget above which seeds did not solve; for each cell its own if they differ."""
    budgets = {at: max(curve.budget for curve in curves) for at, curves in data.curves.items()}
    if len(set(budgets.values())) == 1:
        reference(axes, next(iter(budgets.values())), "budget")
        return
    for position, budget in budgets.items():
        ends = [(page.x(*position) + sign * page.width / 2, budget) for sign in (-1, 1)]
        line(axes, ends, "budget", color=FAINT, linewidth=0.8, zorder=0)


def _series(
    axes: Axes, page: Lanes, data: PanelData, series: Series, unsolved_y: float | None, tips: Tips
) -> tuple[float, float] | None:
    """Draw a series' cells and the line of its medians; returns its end if it has a cell in the
    last row. `unsolved_y` is the level of its unsolved seeds, None if it has none.
    """
    style, ends = data.styles[series], {}
    medians: list[tuple[float, float]] = []
    for row in data.panel.rows:
        position = row, series
        if position not in data.curves:
            continue
        x = page.x(row, series)
        median = data.panel.cells[position].median
        _seeds(axes, page, data, position, tips)
        if unsolved_y is not None:
            _unsolved(axes, data, position, x, unsolved_y)
        if median is not None:
            ends[row] = (x, max(1.0, median))
            medians.append(ends[row])
            _interval(axes, data, position, x)
        elif unsolved_y is not None:
            ends[row] = (x, unsolved_y)
    options: dict[str, Any] = {
        "linestyle": style.dashes,
        "linewidth": 1.2,
        "marker": style.marker,
        "markersize": 5,
    }
    line(axes, medians, "medians", color=style.colour, **options)
    return ends.get(data.panel.rows[-1])


def _seeds(axes: Axes, page: Lanes, data: PanelData, position: Position, tips: Tips) -> None:
    solved = [curve for curve in data.curves[position] if curve.solved]
    points(
        axes,
        page.x(*position),
        [max(1.0, curve.solved_step) for curve in solved],
        [data.describe(position, curve) for curve in solved],
        style=data.styles[position[1]],
        lane=page.width,
        tips=tips,
    )


def _unsolved(axes: Axes, data: PanelData, position: Position, x: float, y: float) -> None:
    """Write how many seeds did not solve, if any."""
    count = sum(not curve.solved for curve in data.curves[position])
    if not count:
        return
    style = data.styles[position[1]]
    hollow: dict[str, Any] = {
        "linestyle": "",
        "markerfacecolor": "none",
        "markeredgewidth": 0.9,
        "markersize": 5,
    }
    line(axes, [(x, y)], "unsolved", marker=style.marker, color=style.colour, **hollow)
    offset: dict[str, Any] = {"textcoords": "offset points", "ha": "center", "va": "bottom"}
    axes.annotate(str(count), (x, y), (0, 3.5), fontsize=SMALL, **offset)


def _interval(axes: Axes, data: PanelData, position: Position, x: float) -> None:
    """Draw the interval of the median, with an arrow at the budget if it has no upper end, and at
    the edge of the axes if it has no lower one.
    """
    cell, colour = data.panel.cells[position], data.styles[position[1]].colour
    low, high = cell.median_low, cell.median_high
    if low is None and high is None:
        return
    budget = max(curve.budget for curve in data.curves[position])
    bottom, top = np.clip(
        [0.0 if low is None else low, budget if high is None else high], *axes.get_ylim()
    )
    line(axes, [(x, bottom), (x, top)], "interval", color=colour, **INTERVAL)
    for y, bound, marker in ((bottom, low, "v"), (top, high, "^")):
        if bound is None:
            line(axes, [(x, y)], "open end", marker=marker, markersize=4, color=colour)
