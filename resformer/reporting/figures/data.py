"""Data of one panel's figures: its members as they trained, at the rates they are scored at."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd

from resformer.errors import UserError
from resformer.keys import Value
from resformer.reporting.figures.style import (
    MOST_SERIES,
    Series,
    SeriesStyle,
    series_styles,
)
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.schema import Cell, Comparison, Per, Rate, Report, Score
from resformer.reporting.text.words import UNITS, amount, value_label
from resformer.results.members import Findings
from resformer.stats import Floats
from resformer.store.checks import Damaged
from resformer.text import printable

Position = tuple[Value, Series]
"""Row and series of a cell."""
_LEAST: Mapping[Score, float] = {"steps": 1.0, "final_loss": 1e-6}
"""Results (in the report's unit, or nats per token) at which logarithmic scales end."""


@final
@dataclass(frozen=True, kw_only=True)
class MemberCurve:
    """One member: arrays have an entry per evaluation."""

    seed: int
    lr: float
    outcome: str
    solved_step: float
    """NaN if it did not solve."""
    budget: float
    """In the report's unit, as all that is counted in steps."""
    blind_loss: float
    """Nats per token."""
    steps: Floats
    losses: Floats
    """Held out, nats per token; NaN if not finite."""
    first_norm: float
    """Gradient norm before clipping at the first step; NaN if not finite."""
    median_norm: float
    """Its median over the trained steps."""

    @property
    def solved(self) -> bool:
        """True if it solved its task within the budget."""
        return not np.isnan(self.solved_step)


@final
@dataclass(frozen=True, kw_only=True)
class PanelData:
    """One panel of the report, ready to be drawn."""

    panel: Panel
    styles: Mapping[Series, SeriesStyle]
    curves: Mapping[Position, list[MemberCurve]]
    rates: Mapping[Position, list[Rate]]
    per: Per
    """Unit of everything that is counted in steps."""
    comparisons: list[Comparison]
    """Comparisons of its arms; empty if a panel has one depth only."""
    scale: tuple[float, float]
    """Least and most of the results of cells and of rates of the whole report, above zero."""
    clip: float | None
    """Gradient norm above which members are clipped; None if they differ in it."""

    @property
    def many(self) -> bool:
        """True for more series than lines tell apart."""
        return len(self.panel.columns) > MOST_SERIES

    @property
    def members(self) -> list[MemberCurve]:
        """Members of all cells."""
        return [curve for curves in self.curves.values() for curve in curves]

    def label(self, series: Series) -> str:
        """Label of a series in one line."""
        return printable(", ".join(self.panel.heading(series)))

    def row_label(self, row: Value) -> str:
        """Label of a row, with its axis."""
        return printable(value_label(self.panel.layout.rows, row))

    def result(self, shown: Cell | Rate) -> float | None:
        """Number of a cell or a rate by which members are judged."""
        return result(shown, self.panel.score)

    @property
    def result_name(self) -> str:
        """Name of that number, with its unit."""
        if self.panel.score == "final_loss":
            return "final held-out loss (nats per token)"
        return f"{UNITS[self.per]} to solve"

    def above_least(self, number: float) -> float:
        """Such a number, or the least that a logarithmic scale shows."""
        return max(_LEAST[self.panel.score], number)

    def result_words(self, number: float, *, unit: bool = False) -> str:
        """Such a number in words."""
        if self.panel.score == "final_loss":
            return f"{'loss ' * unit}{number:.2g}"
        return f"{amount(number, self.per)}{f' {UNITS[self.per]}' * unit}"

    @property
    def step(self) -> str:
        """Name of the axis along which members train."""
        return "step" if self.per == "steps" else UNITS[self.per]

    def _at(self, steps: float) -> str:
        return (
            f"step {steps:.0f}"
            if self.per == "steps"
            else f"{amount(steps, self.per)} {UNITS[self.per]}"
        )

    def describe(self, position: Position, curve: MemberCurve) -> str:
        """Tooltip of a member."""
        row, series = position
        step = curve.solved_step if curve.outcome == "solved" else curve.steps[-1]
        return (
            f"{self.label(series)}, {self.row_label(row)}, seed {curve.seed}: "
            f"{curve.outcome} at {self._at(step)}, learning rate {curve.lr:g}"
        )


def result(shown: Cell | Rate, score: Score) -> float | None:
    """Steps to solve in the report's unit, or final loss, of a cell or a rate; None for none."""
    if score == "final_loss":
        return shown.final_loss
    return shown.median if isinstance(shown, Cell) else shown.mean


def panel_data(findings: Findings, report: Report, layout: Layout) -> list[PanelData]:
    """Data of every panel; UserError if a curve is damaged."""
    styles = series_styles(report, layout)
    judged: list[Cell | Rate] = [*report.cells, *report.rates]
    results = [
        max(_LEAST[report.score], number)
        for shown in judged
        if (number := result(shown, report.score)) is not None
    ]
    scale = min(results, default=1.0), max(results, default=1.0)
    return [_data(findings, report, panel, styles, scale) for panel in panels(report, layout)]


def _data(
    findings: Findings,
    report: Report,
    panel: Panel,
    styles: Mapping[Series, SeriesStyle],
    scale: tuple[float, float],
) -> PanelData:
    layout = panel.layout
    members = {at: _members(findings.members, cell) for at, cell in panel.cells.items()}
    clips = {float(clip) for rows in members.values() for clip in rows["train.clip"]}
    rates = defaultdict(list)
    for rate in report.rates:
        key = rate.key
        if key.of(layout.apart) == panel.apart:
            rates[key.value(layout.rows), key.of(layout.columns)].append(rate)
    return PanelData(
        panel=panel,
        styles=styles,
        curves={at: _curves(findings, rows, report.per) for at, rows in members.items()},
        rates=rates,
        comparisons=[
            row
            for row in report.comparisons
            if "depth" not in layout.apart and row.scheme.of(layout.apart) == panel.apart
        ],
        scale=scale,
        per=report.per,
        clip=clips.pop() if len(clips) == 1 else None,
    )


def _members(members: pd.DataFrame, cell: Cell) -> pd.DataFrame:
    """Members of a cell, each seed at its learning rate, by seed."""
    matches = [
        members[name].isna() if value is None else members[name].eq(value)
        for name, value in cell.key.values().items()
    ]
    rows = members[np.logical_and.reduce(matches)].sort_values("seed")
    return rows[rows["seed"].map(cell.lr_by_seed) == rows["lr"]]


def _curves(findings: Findings, members: pd.DataFrame, per: Per) -> list[MemberCurve]:
    """Curves of a cell's members."""
    try:
        table = findings.read_curves(members, ["held_out_loss", "gradient_norm"])
    except Damaged as damage:
        name = members["study"].iloc[0]
        (path,) = (study.path for study in findings.studies if study.name == name)
        raise UserError(
            f"{damage}; delete {path / '.cache'}, and the report leaves it out"
        ) from damage
    by_seed = dict(iter(table.sort_values("step").groupby("seed")))
    costs = members[f"{per}_per_step"] if per != "steps" else [1.0] * len(members)
    return [
        _curve(member, by_seed[member["seed"]], float(cost))
        for (_, member), cost in zip(members.iterrows(), costs, strict=True)
    ]


def _curve(member: pd.Series, table: pd.DataFrame, cost: float) -> MemberCurve:
    """Curve of a member whose steps cost so much each."""
    steps, losses, norms = (
        table[name].to_numpy(np.float64) for name in ("step", "held_out_loss", "gradient_norm")
    )
    evaluated = ~np.isnan(losses)
    evaluated[-1] = True
    finite = norms[np.isfinite(norms)]
    first = norms[steps == 1]
    solved_step = member["solved_step"]
    return MemberCurve(
        seed=int(member["seed"]),
        lr=float(member["lr"]),
        outcome=str(member["outcome"]),
        solved_step=np.nan if pd.isna(solved_step) else cost * float(solved_step),
        budget=cost * float(member["train.steps"]),
        blind_loss=float(member["blind_loss"]),
        steps=cost * steps[evaluated],
        losses=np.where(np.isfinite(losses), losses, np.nan)[evaluated],
        first_norm=float(first[0]) if len(first) and np.isfinite(first[0]) else np.nan,
        median_norm=float(np.median(finite)) if len(finite) else np.nan,
    )
