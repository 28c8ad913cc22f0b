"""The gradient's norm before clipping against the rows of the report: at the first step, and while
training.
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.figures import labels
from resformer.reporting.figures.along import Along, along
from resformer.reporting.figures.frame import log_y
from resformer.reporting.figures.labels import Name
from resformer.reporting.figures.points import Tips, draw_points
from resformer.reporting.figures.sheet import Run, Sheet
from resformer.reporting.figures.style import FAINT, GREY, Column

CAPTION = (
    "Norm of a member's gradient before clipping, at its first step and as the median over the "
    "steps it trained. "
    "Small: every seed; line: their median. Above the grey line gradients are clipped."
)
_HEIGHT, _CLIPPED = 2.1, "clipped above"


def draw(sheet: Sheet, tips: Tips) -> Figure | None:
    """The figure; adds what its points say to the tips. None where no gradient was finite."""
    everyone = [run for runs in sheet.runs.values() for run in runs]
    norms = [norm for run in everyone for norm in (run.first_norm, run.median_norm) if norm > 0]
    if not norms:
        return None
    place = along(sheet, _HEIGHT, ["first step", "median over the steps trained"], [_CLIPPED])
    bounds = [*norms, *([sheet.clip] if sheet.clip is not None else [])]
    log_y(place.panels[0], min(bounds) / 1.4, max(bounds) * 1.4)
    for axes, what in zip(place.panels, ("first_norm", "median_norm"), strict=True):
        if sheet.clip is not None:
            axes.axhline(sheet.clip, color=FAINT, linewidth=0.8, zorder=0)
        ends = [_column(axes, place, sheet, column, what, tips) for column in sheet.panel.columns]
    names: list[Name] = [
        Name(sheet.name(column), sheet.looks[column], end)
        for column, end in zip(sheet.panel.columns, ends, strict=True)
    ]
    if sheet.clip is not None:
        names.append(Name(_CLIPPED, GREY, (axes.get_xlim()[1], sheet.clip), marker=False))
    place.panels[0].set_ylabel("gradient norm")
    labels.name_lines(place.panels[-1], names)
    return place.figure


def _column(
    axes: Axes, place: Along, sheet: Sheet, column: Column, what: str, tips: Tips
) -> tuple[float, float] | None:
    """Draw a column's seeds and the line of their medians; returns where it ends, if it gets to the
    last row.
    """
    look, end = sheet.looks[column], None
    line: list[tuple[float, float]] = []
    for row in sheet.panel.rows:
        runs = [run for run in sheet.runs.get((row, column), []) if _norm(run, what) > 0]
        end = None
        if runs:
            norms = [_norm(run, what) for run in runs]
            texts = [
                f"{sheet.told((row, column), run)}; gradient norm {_norm(run, what):.3g}"
                for run in runs
            ]
            draw_points(axes, place.at(row, column), norms, texts, look, place.lane, tips)
            end = (place.at(row, column), float(np.median(norms)))
            line.append(end)
    axes.plot(
        [at for at, _ in line],
        [norm for _, norm in line],
        linestyle=look.dashes,
        color=look.colour,
        linewidth=1.4,
    )
    return end


def _norm(run: Run, what: str) -> float:
    norm: float = getattr(run, what)
    return norm
