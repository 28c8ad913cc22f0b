"""Figure of the share of seeds that solve, against the rows of the report."""

from typing import Any

from matplotlib.figure import Figure

from resformer.reporting.figures.axes import lanes
from resformer.reporting.figures.data import PanelData
from resformer.reporting.figures.marks import (
    INTERVAL,
    LineLabel,
    Tips,
    label_lines,
    line,
    reference,
)
from resformer.stats.depth import wilson

CAPTION = (
    "Share of seeds that solve within the budget, with its 95 % interval (Wilson). The depth limit "
    "is the last depth "
    "before the share falls under one half, the grey line."
)
_HEIGHT = 1.9


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its points. None for a single row, for more series
    than lines tell apart, and where members are judged by their final loss.
    """
    panel = data.panel
    if data.many or len(panel.rows) < 2 or panel.score != "steps":
        return None
    page = lanes(data, _HEIGHT, ["share of seeds that solve"])
    (axes,) = page.panels
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "¼", "½", "¾", "1"])
    reference(axes, 0.5, "half")
    labels = []
    for series in panel.columns:
        style = data.styles[series]
        options: dict[str, Any] = {"color": style.colour, "zorder": 2.2}
        shares = {}
        for row in panel.rows:
            if (cell := panel.cells.get((row, series))) is None:
                continue
            x = page.x(row, series)
            low, high = wilson(cell.solved, cell.seeds)
            line(axes, [(x, low), (x, high)], "interval", **INTERVAL, **options)
            shares[row] = share = (x, cell.solved / cell.seeds)
            gid = tips.add(
                f"{data.label(series)}, {data.row_label(row)}: {cell.solved} of {cell.seeds} seeds "
                "solved"
            )
            line(axes, [share], "share", marker=style.marker, markersize=5, gid=gid, **options)
        line(axes, shares.values(), "shares", linestyle=style.dashes, linewidth=1.2, **options)
        labels.append(LineLabel(data.label(series), style, shares.get(panel.rows[-1])))
    label_lines(axes, labels)
    return page.figure
