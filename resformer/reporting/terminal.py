"""The table of a report, as plain text cells; and its terminal, Markdown, LaTeX and CSV forms."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import pandas as pd
from rich import box
from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from resformer.reporting.summary import BASELINE, depths_of, key_of
from resformer.reporting.verdict import verdict

Json = dict[str, Any]

LEGEND = (
    "median steps to solve, seeds solved of seeds; where fewer than half solved: median final held-out loss "
    "(nats per token), 'stalled' where most learnt nothing from their input"
)
_DEPTH_WIDTH, _GAP = 9, 3
EDGE = "* the best learning rate is at the edge of the grid"


@final
@dataclass(frozen=True)
class Grid:
    """One task's table: a column per residual scheme, norm placement and other axis; a row per depth."""

    title: str
    columns: list[tuple[str, ...]]
    rows: list[tuple[str, list[str]]]
    limits: list[str]


def grids(summary: Json) -> list[Grid]:
    """One table per task."""
    tasks = dict.fromkeys(cell["task"] for cell in summary["cells"])
    return [_grid(summary, task) for task in tasks]


def _grid(summary: Json, task: str) -> Grid:
    cells = [cell for cell in summary["cells"] if cell["task"] == task]
    limits = [row for row in summary["limits"] if row["task"] == task]
    axes = [name for name in key_of(cells[0]) if name not in ("study", "task", "depth")]
    keys = sorted({tuple(row[axis] for axis in axes) for row in limits}, key=_column_order)
    depths = sorted({cell["depth"] for cell in cells})
    at = {(cell["depth"], *(cell[axis] for axis in axes)): cell for cell in cells}
    limit = {tuple(row[axis] for axis in axes): _limit(row, cells) for row in limits}
    return Grid(
        title=task,
        columns=[tuple(_named(axis, value) for axis, value in zip(axes, key, strict=True)) for key in keys],
        rows=[(str(depth), [_cell(at.get((depth, *key))) for key in keys]) for depth in depths],
        limits=[limit[key] for key in keys],
    )


def _limit(row: Json, cells: Sequence[Json]) -> str:
    """The depth limit of a column; at least that, where no deeper one was tried."""
    if row["depth_limit"] is None:
        return "none"
    return f"≥ {row['depth_limit']}" if row["depth_limit"] == depths_of(row, cells)[-1] else str(row["depth_limit"])


def _column_order(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """The baseline first."""
    return key[0] != BASELINE, *(("", value) if not isinstance(value, str) else (value, 0) for value in key)


def _named(axis: str, value: object) -> str:
    if axis in ("residual", "norm"):
        return str(value)
    return f"{axis.rpartition('.')[2]} {value}"


def _cell(cell: Json | None) -> str:
    if cell is None:
        return ""
    count = f"{cell['solved']}/{cell['seeds']}"
    edge = "*" if cell["lr_at_edge"] else " "
    if cell["median_steps"] is not None:
        return f"{cell['median_steps']:.0f} {count}{edge}"
    loss = "–" if cell["final_loss"] is None else f"{cell['final_loss']:.2f}"
    word = "diverged" if 2 * cell["diverged"] > cell["seeds"] else "loss"
    word = "stalled" if 2 * cell["stalled"] > cell["seeds"] else word
    return f"{word} {loss} {count}{edge}"


def terminal(summary: Json, width: int) -> RenderableType:
    """The report for a terminal: the tables, the verdict, and what is not in them."""
    parts: list[RenderableType] = [
        Text.from_markup(f"[bold]{escape(summary['study'])}[/]: {escape(_settings(summary))}")
    ]
    for grid in grids(summary):
        several = len(grids(summary)) > 1
        parts += [_table(grid, part, several) for part in _parts(grid, width)]
    parts.append(Text(LEGEND, style="dim"))
    if any(cell["lr_at_edge"] for cell in summary["cells"]):
        parts.append(Text(EDGE, style="dim"))
    parts += [Text(""), Text(verdict(summary), style="bold")]
    parts += [Text(line, style="yellow") for line in notes(summary)]
    return Group(*parts)


def _parts(grid: Grid, width: int) -> list[slice]:
    """The columns in groups that fit side by side."""
    texts = [[*column, limit] for column, limit in zip(grid.columns, grid.limits, strict=True)]
    for _, cells in grid.rows:
        texts = [[*found, cell] for found, cell in zip(texts, cells, strict=True)]
    parts, start, used = [], 0, _DEPTH_WIDTH
    for number, found in enumerate(texts):
        needed = max(map(len, found)) + _GAP
        if used + needed > width and number > start:
            parts.append(slice(start, number))
            start, used = number, _DEPTH_WIDTH
        used += needed
    return [*parts, slice(start, len(texts))]


def _table(grid: Grid, part: slice, several: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=grid.title if several else None, title_justify="left", padding=(0, 1))
    table.add_column("\n" * (len(grid.columns[0]) - 1) + "depth", justify="right", no_wrap=True)
    for column in grid.columns[part]:
        table.add_column(Text("\n".join(column)), justify="right", overflow="fold")
    for depth, cells in grid.rows:
        table.add_row(depth, *(Text(cell, style=_style(cell)) for cell in cells[part]))
    table.add_section()
    table.add_row("limit", *(Text(f"{limit} ") for limit in grid.limits[part]), style="bold")
    return table


def _style(cell: str) -> str:
    """Blue for solved, plain for not, dim for what learnt nothing: told apart without colour by the words too."""
    if cell.startswith(("stalled", "diverged")):
        return "dim"
    return "" if cell.startswith("loss") else "bold blue"


def _settings(summary: Json) -> str:
    found = summary["settings"]
    seeds = max(cell["seeds"] for cell in summary["cells"])
    rates = sorted({row["lr"] for row in summary["rates"]})
    words = [str(found["task"])] if "task" in found else []
    for key, text in (
        ("task.length", "length {}"),
        ("task.symbols", "{} symbols"),
        ("model.width", "width {}"),
        ("model.heads", "{} heads"),
        ("train.batch", "batch {}"),
        ("train.steps", "at most {} steps"),
    ):
        if key in found:
            words.append(text.format(found[key]))
    rate = f"learning rate{'s' if len(rates) > 1 else ''} {', '.join(f'{lr:g}' for lr in rates)}"
    return ", ".join([*words, rate, f"{seeds} seed{'s' if seeds > 1 else ''}"])


def notes(summary: Json) -> list[str]:
    """What a reader has to know that is not in the table, a line each."""
    found = []
    for name, text in (
        ("missing", "not finished: {} job(s), {} members; run the same sweep again to finish them"),
        ("failed", "failed: {} job(s), {} members; `error.txt` in the job's folder holds the traceback"),
    ):
        rows = summary[name]
        if rows:
            found.append(text.format(len(rows), sum(row["members"] for row in rows)))
    found += [f"  {row['job']} ({row['settings']}): {row['reason']}" for row in summary["failed"]]
    found += [f"damaged and left out: {row['reason']}" for row in summary["damaged"]]
    for row in summary["excluded"]:
        settings = ", ".join(f"{key}={value}" for key, value in row["settings"].items())
        found.append(f"left out: {settings} ({row['reason']})")
    if any(len(cell["lr_by_seed"]) == 1 and cell["lr_at_edge"] is not None for cell in summary["cells"]):
        found.append("a cell with one seed has its learning rate tuned on that seed: optimistic")
    return found


def render_terminal(summary: Json, console: Console) -> None:
    """Print the report."""
    console.print(terminal(summary, console.width))


def as_json(summary: Json) -> str:
    """The schema of the report, indented."""
    return json.dumps(summary, indent=1, allow_nan=False)


def as_csv(summary: Json) -> str:
    """The cells, a row each; `lr_by_seed` as JSON."""
    rows = [{**cell, "lr_by_seed": json.dumps(cell["lr_by_seed"])} for cell in summary["cells"]]
    buffer = io.StringIO()
    pd.DataFrame(rows).to_csv(buffer, index=False)
    return buffer.getvalue().rstrip("\n")


def as_markdown(summary: Json) -> str:
    """The tables and the verdict in Markdown."""
    blocks = [f"**{_safe(summary['study'])}**: {_safe(_settings(summary))}"]
    for grid in grids(summary):
        head = ["depth", *(_safe(" ".join(column)) for column in grid.columns)]
        lines = [head, ["---:"] * len(head), *([depth, *map(_safe, cells)] for depth, cells in _rows(grid))]
        blocks.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    return "\n\n".join([*blocks, _footer(summary), verdict(summary)])


def _safe(text: str) -> str:
    return text.strip().replace("|", "\\|").replace("*", "\\*").replace("_", "\\_")


def as_latex(summary: Json) -> str:
    """The tables as LaTeX (booktabs)."""
    blocks = [f"% {summary['study']}: {_settings(summary)}"]
    for grid in grids(summary):
        head = ["depth", *(" ".join(column) for column in grid.columns)]
        lines = [" & ".join(map(_tex, [depth, *cells])) + r" \\" for depth, cells in _rows(grid)]
        blocks.append(
            "\n".join(
                [
                    rf"\begin{{tabular}}{{{'r' * len(head)}}}",
                    r"\toprule",
                    " & ".join(map(_tex, head)) + r" \\",
                    r"\midrule",
                    *lines[:-1],
                    r"\midrule",
                    lines[-1],
                    r"\bottomrule",
                    r"\end{tabular}",
                ]
            )
        )
    return "\n\n".join([*blocks, f"% {_footer(summary)}", f"% {verdict(summary)}"])


def _tex(text: str) -> str:
    text = text.strip().replace("\\", r"\textbackslash ")
    for special in "&%$#_{}":
        text = text.replace(special, f"\\{special}")
    return text.replace("~", r"\textasciitilde ").replace("^", r"\textasciicircum ").replace("–", "--")


def _rows(grid: Grid) -> Sequence[tuple[str, list[str]]]:
    return [*grid.rows, ("limit", grid.limits)]


def _footer(summary: Json) -> str:
    edge = any(cell["lr_at_edge"] for cell in summary["cells"])
    return f"{LEGEND}{'; ' + EDGE.replace('*', 'star:', 1) if edge else ''}."
