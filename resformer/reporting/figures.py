"""Figures of a study, as SVG and PNG."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from resformer.errors import UserError
from resformer.reporting.members import Findings
from resformer.reporting.summary import BASELINE, at_their_rates, key_of

Json = dict[str, Any]

# Okabe & Ito's colours, told apart by all common kinds of colour vision.
_COLOURS = {"plain": "#D55E00", "add": "#0072B2", "rezero": "#009E73", "deepnorm": "#CC79A7", "layerscale": "#E69F00"}
_OTHER = "#555555"
_DRAWN = ("study", "task", "depth", "residual", "norm")
_STYLES: dict[str, Any] = {"post": "-", "pre": "--", "none": ":", "sandwich": "-.", "pre_post": "-.", "branch": ":"}
_MARKERS = {"post": "o", "pre": "s", "none": "^", "sandwich": "D", "pre_post": "v", "branch": "P"}


def draw(findings: Findings, summary: Json, folder: Path) -> list[Path]:
    """Draw, for each task, `curves-<task>` and `steps-<task>` as .svg and .png; returns the paths written.

    Where a study has further axes, there is a pair of figures for each of their values, named by it.
    """
    members = findings.members
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"--figures {folder}: cannot be made a folder: {error.strerror}; name another") from error
    paths = []
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "svg.hashsalt": "0"}):
        for label, cells in _by_label(summary["cells"]).items():
            for name, figure in (("curves", _curves(findings, cells, members)), ("steps", _steps(cells, members))):
                for kind in ("svg", "png"):
                    path = folder / f"{name}-{label}.{kind}"
                    figure.savefig(path, dpi=150, metadata={"Date": None} if kind == "svg" else None)
                    paths.append(path)
    return paths


def _by_label(cells: Sequence[Json]) -> dict[str, list[Json]]:
    """The cells that one figure holds, by its label: the task, and what the further axes say."""
    found: dict[str, list[Json]] = {}
    for cell in cells:
        further = {axis: value for axis, value in key_of(cell).items() if axis not in _DRAWN}
        words = [cell["task"], *(f"{axis.rpartition('.')[2]}-{value}" for axis, value in further.items())]
        found.setdefault("-".join(words), []).append(cell)
    return found


def _curves(findings: Findings, cells: Sequence[Json], members: pd.DataFrame) -> Figure:
    """Held-out loss against step, a panel per depth: every seed thin, the median thick."""
    depths = sorted({cell["depth"] for cell in cells})
    figure = Figure(figsize=(1.2 + 2.3 * len(depths), 3.2), layout="constrained")
    panels = figure.subplots(1, len(depths), sharex=True, sharey=True, squeeze=False)[0]
    for depth, axes in zip(depths, panels, strict=True):
        for cell in sorted((cell for cell in cells if cell["depth"] == depth), key=_order):
            _cell_curves(axes, findings, cell, _picked(cell, members))
        axes.axhline(
            float(_picked(cells[0], members)["blind_loss"].iloc[0]),
            color="0.6",
            linewidth=0.8,
            linestyle=(0, (1, 2)),
            zorder=0,
        )
        axes.set_title(f"depth {depth}")
        _log_scale(axes)
        axes.set_xlabel("step")
    panels[0].set_ylabel("held-out loss (nats per token)")
    _legend(figure, cells, False, "dotted: the best that can be done without looking at the input")
    return figure


def _cell_curves(axes: Axes, findings: Findings, cell: Json, picked: pd.DataFrame) -> None:
    wanted: dict[str, Any] = {"color": _COLOURS.get(cell["residual"], _OTHER), "linestyle": _STYLES[cell["norm"]]}
    curves = []
    for _, table in findings.curves(picked, ["held_out_loss"]).dropna().groupby(["seed", "lr"]):
        curve = table.set_index("step")["held_out_loss"]
        axes.plot(curve.index, curve, alpha=0.3, linewidth=0.6, **wanted)
        curves.append(curve)
    # A member that left carries its last loss on, or the median would show the slow ones only.
    median = pd.concat(curves, axis=1).sort_index().ffill().median(axis=1)
    axes.plot(median.index, median, linewidth=1.8, **wanted)


def _steps(cells: Sequence[Json], members: pd.DataFrame) -> Figure:
    """Steps to solve against depth: every seed, and the median where there is one; above the line, who did not."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    budget = max(float(_picked(cell, members)["train.steps"].max()) for cell in cells)
    columns = dict.fromkeys((cell["residual"], cell["norm"]) for cell in sorted(cells, key=_order))
    for number, (residual, norm) in enumerate(columns):
        colour, shift = _COLOURS.get(residual, _OTHER), 1 + 0.045 * (number - (len(columns) - 1) / 2)
        found = sorted(
            (cell for cell in cells if (cell["residual"], cell["norm"]) == (residual, norm)),
            key=lambda cell: int(cell["depth"]),
        )
        for cell in found:
            steps = _picked(cell, members)["solved_step"].to_numpy(np.float64, na_value=np.nan)
            solved = ~np.isnan(steps)
            at = np.full(len(steps), cell["depth"] * shift)
            axes.plot(at[solved], steps[solved], _MARKERS[norm], color=colour, markersize=3.5, alpha=0.45, mew=0)
            if not solved.all():
                count = int((~solved).sum())
                axes.plot(at[:1], [budget * 1.22], _MARKERS[norm], color=colour, markerfacecolor="none", markersize=6)
                axes.text(at[0], budget * 1.36, str(count), color=colour, ha="center", va="bottom", fontsize=8)
        medians = [(cell["depth"] * shift, cell["median_steps"]) for cell in found if cell["median_steps"] is not None]
        if medians:
            axes.plot(*zip(*medians, strict=True), _STYLES[norm], color=colour, marker=_MARKERS[norm], markersize=5)
    depths = sorted({cell["depth"] for cell in cells})
    axes.axhline(budget, color="0.6", linewidth=0.8)
    axes.set_xscale("log", base=2)
    _log_scale(axes)
    first = [_picked(cell, members)["solved_step"].min() for cell in cells]
    axes.set_ylim(min([step for step in first if step > 0] + [budget / 10]) / 1.3, budget * 1.9)
    axes.set_xticks(depths, [str(depth) for depth in depths])
    axes.set_xlabel("depth (blocks)")
    axes.set_ylabel("steps to solve")
    _legend(figure, cells, True, "lines: medians; above the grey line (the budget): how many seeds did not solve")
    return figure


def _log_scale(axes: Axes) -> None:
    """A logarithmic y axis with plain numbers at 1, 2 and 5."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(figure: Figure, cells: Sequence[Json], markers: bool, note: str) -> None:
    columns = dict.fromkeys((cell["residual"], cell["norm"]) for cell in sorted(cells, key=_order))
    lines = [
        Line2D(
            [],
            [],
            color=_COLOURS.get(residual, _OTHER),
            linestyle=_STYLES[norm],
            marker=_MARKERS[norm] if markers else None,
            markersize=4,
        )
        for residual, norm in columns
    ]
    labels = [f"{residual}, {norm}" for residual, norm in columns]
    figure.legend(lines, labels, loc="outside upper center", ncols=min(4, len(labels)), frameon=False)
    figure.supxlabel(note, fontsize=8, color="0.35")


def _picked(cell: Json, members: pd.DataFrame) -> pd.DataFrame:
    """The members a cell is made of: each seed at its learning rate."""
    inside = np.logical_and.reduce([members[name].eq(value) for name, value in key_of(cell).items()])
    return at_their_rates(members[inside], {int(seed): rate for seed, rate in cell["lr_by_seed"].items()})


def _order(cell: Mapping[str, Any]) -> tuple[bool, str, str]:
    return cell["residual"] != BASELINE, cell["residual"], cell["norm"]
