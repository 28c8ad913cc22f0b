"""One panel in which the report's rows run along x and its columns stand side by side at each."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from resformer.reporting.figures import labels
from resformer.reporting.figures.frame import frame, panel_width
from resformer.reporting.figures.rows import rows
from resformer.reporting.figures.sheet import Sheet
from resformer.reporting.figures.style import Column

_LANES = 0.78
"""Share of the way from one row to the next over which its columns stand side by side."""

_WIDEST = 0.3
"""Of what a column has for itself, in inches."""


@final
@dataclass(frozen=True)
class Along:
    """The panels of such a figure, and where on their x axis cells stand."""

    figure: Figure
    panels: list[Axes]
    height: float
    """Of the panels, in inches."""
    places: dict[Any, float]
    """Of the rows."""
    shifts: dict[Column, float]
    """By how much a column stands beside them, so that no two overlap."""
    lane: float
    """What each column has for itself, in units of x."""
    lane_inches: float

    def at(self, row: Any, column: Column) -> float:
        """Where a cell stands."""
        return self.places[row] + self.shifts[column]


def along(sheet: Sheet, height: float, titles: Sequence[str], further: Sequence[str] = ()) -> Along:
    """Panels of at least this height side by side, and room to the right for the columns' names and
    further ones.
    """
    columns, found = sheet.panel.columns, rows(sheet)
    names = [*map(sheet.name, columns), *further]
    right = labels.width(names)
    height = max(height, labels.height(len(names)))
    width = panel_width(len(titles), right)
    figure, panels = frame(len(titles), len(titles), height, right, found.below(width))
    for axes, title in zip(panels, titles, strict=True):
        found.mark(axes, width)
        axes.set_title(title)
    low, high = found.limits
    inch = (high - low) / width
    lane = min(_LANES * found.apart / len(columns), _WIDEST * inch)
    return Along(
        figure=figure,
        panels=panels,
        height=height,
        places=found.at,
        shifts={
            column: (number - (len(columns) - 1) / 2) * lane
            for number, column in enumerate(columns)
        },
        lane=lane,
        lane_inches=lane / inch,
    )
