"""The share of seeds that solve, against the rows of the report."""

from typing import Any

from matplotlib.figure import Figure

from resformer.reporting.figures import labels
from resformer.reporting.figures.along import along
from resformer.reporting.figures.labels import Name
from resformer.reporting.figures.points import Tips
from resformer.reporting.figures.sheet import Sheet
from resformer.reporting.figures.style import FAINT
from resformer.stats.depth import wilson

CAPTION = (
    "Share of seeds that solve within the budget, with its 95 % interval (Wilson). The depth limit "
    "is the last depth "
    "before the share falls under one half, the grey line."
)
_HEIGHT = 1.9


def draw(sheet: Sheet, tips: Tips) -> Figure:
    """The figure; adds what its points say to the tips."""
    place = along(sheet, _HEIGHT, ["share of seeds that solve"])
    (axes,) = place.panels
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    axes.axhline(0.5, color=FAINT, linewidth=0.8, zorder=0)
    names = []
    for column in sheet.panel.columns:
        look = sheet.looks[column]
        style: dict[str, Any] = {"color": look.colour, "zorder": 2.2}
        line, end = [], None
        for row in sheet.panel.rows:
            cell = sheet.panel.cells.get((row, column))
            if cell is None:
                end = None
                continue
            at, count = place.at(row, column), (cell.solved, cell.seeds)
            axes.plot([at, at], wilson(*count), linewidth=1.1, solid_capstyle="butt", **style)
            text = (
                f"{sheet.name(column)}, {sheet.row_name(row)}: {count[0]} of {count[1]} seeds "
                "solved"
            )
            end = (at, count[0] / count[1])
            axes.plot(
                *([value] for value in end),
                marker=look.marker,
                markersize=5,
                gid=tips.told(text),
                **style,
            )
            line.append(end)
        axes.plot(
            [at for at, _ in line],
            [share for _, share in line],
            linestyle=look.dashes,
            linewidth=1.2,
            **style,
        )
        names.append(Name(sheet.name(column), look, end))
    labels.name_lines(axes, names)
    return place.figure
