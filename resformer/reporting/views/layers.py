"""The layers of a report's cells, as a terminal shows them and as rows of text."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from resformer.reporting.measures import ENDS, EXPLANATION
from resformer.reporting.schema import LayerSummary
from resformer.reporting.text.words import one_line, value_label
from resformer.reporting.views.probes import columned, short, verdict

_MOST_ROWS = 20
LEGEND = f"{EXPLANATION}. Medians over seeds"


def picture(layers: Sequence[LayerSummary], axes: Sequence[str]) -> list[RenderableType]:
    """Tables of the cells that were not solved and of the others; `axes` tell the cells apart."""
    if not layers:
        return []
    shown = [end for end in ENDS if end.fits]
    parts: list[RenderableType] = [Text("")]
    for title, rows in _beside(layers):
        table = columned(title, ("depth", "verdict", *(end.heading for end in shown)))
        for row in rows[:_MOST_ROWS]:
            table.add_row(
                Text(_name(row, axes)),
                Text(str(row.key.depth)),
                verdict(row.health, row.value),
                *(short(row.ends[end.name]) for end in shown),
            )
        parts.append(table)
        if len(rows) > _MOST_ROWS:
            parts.append(Text(f"{len(rows) - _MOST_ROWS} more cells: --format json has all"))
    return [*parts, Text(LEGEND, style="dim")]


def listings(
    layers: Sequence[LayerSummary], axes: Sequence[str]
) -> list[tuple[str, list[list[str]]]]:
    """Titles and rows of text of the same tables, with all cells and numbers; headings first."""
    head = ["", "depth", "verdict", "decided by", *(end.heading for end in ENDS)]
    return [
        (title, [head, *(_texts(row, axes) for row in rows)]) for title, rows in _beside(layers)
    ]


def _texts(row: LayerSummary, axes: Sequence[str]) -> list[str]:
    return [
        _name(row, axes),
        str(row.key.depth),
        row.health,
        f"{row.measure} {short(row.value)}",
        *(short(row.ends[end.name]) for end in ENDS),
    ]


def _name(row: LayerSummary, axes: Sequence[str]) -> str:
    """Values of the axes but depth."""
    named = [axis for axis in axes if axis != "depth"]
    labels = [value_label(axis, row.key.value(axis)) for axis in named]
    return one_line(named, labels) or row.key.arm.residual


def _beside(layers: Sequence[LayerSummary]) -> Iterator[tuple[str, list[LayerSummary]]]:
    """The cells of which fewer than half solved, then the others: a title, the deepest first."""
    for title, solved in (("not solved", False), ("solved", True)):
        rows = [row for row in layers if (2 * row.solved >= row.seeds) == solved]
        if rows:
            by_depth = sorted(rows, key=lambda row: -row.key.depth)
            yield f"inside, at the last look: {title}", by_depth
