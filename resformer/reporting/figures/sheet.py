"""What the figures of one panel are drawn from: its members as they trained, at the rates they are
scored at.
"""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast, final

import numpy as np
import numpy.typing as npt
import pandas as pd

from resformer.errors import UserError
from resformer.reporting.analysis.summary import at_their_rates
from resformer.reporting.figures.style import Column, Look, looks
from resformer.reporting.layout import Layout, Panel, panels
from resformer.reporting.schema import Cell, Rate, Report
from resformer.reporting.text.words import named
from resformer.results.members import Findings
from resformer.store.checks import Damaged
from resformer.text import printable

Floats = npt.NDArray[np.float64]
Place = tuple[Any, Column]


@final
@dataclass(frozen=True)
class Run:
    """One member. Arrays have an entry per evaluation; losses in nats per token, NaN where not
    finite.
    """

    seed: int
    lr: float
    outcome: str
    solved_step: float
    """NaN where it did not solve."""
    budget: float
    blind_loss: float
    steps: Floats
    losses: Floats
    first_norm: float
    """Gradient norm before clipping, at the first step; NaN where there is none that is finite."""
    median_norm: float
    """The same, median over the trained steps."""

    @property
    def solved(self) -> bool:
        """Whether it solved its task within the budget."""
        return not np.isnan(self.solved_step)


@final
@dataclass(frozen=True)
class Sheet:
    """One panel of the report, ready to be drawn. `runs` and `rates` are by row and column."""

    panel: Panel
    looks: dict[Column, Look]
    runs: dict[Place, list[Run]]
    rates: dict[Place, list[Rate]]
    clip: float | None
    """The gradient norm above which members are clipped, where it is the same for all."""

    def name(self, column: Column) -> str:
        """A column's name in one line."""
        return printable(", ".join(self.panel.named(column)))

    def row_name(self, row: Any) -> str:
        """A row's name, with its axis."""
        return printable(named(self.panel.layout.rows, row))

    def told(self, place: Place, run: Run) -> str:
        """A member in words."""
        row, column = place
        words = [self.name(column), self.row_name(row), f"seed {run.seed}"]
        step = run.solved_step if run.outcome == "solved" else run.steps[-1]
        became = f"{run.outcome} at step {step:.0f}"
        return f"{', '.join(words)}: {became}, learning rate {run.lr:g}"


def sheets(findings: Findings, report: Report, asked: Layout) -> list[Sheet]:
    """A sheet per panel; UserError if a curve is not what was committed."""
    schemes = {cell.key.residual for cell in report.cells}
    return [_sheet(findings, report, panel, schemes) for panel in panels(report, asked)]


def _sheet(findings: Findings, report: Report, panel: Panel, schemes: Iterable[str]) -> Sheet:
    picked = {place: _picked(cell, findings.members) for place, cell in panel.cells.items()}
    traces = _traces(findings, pd.concat(picked.values()))
    clips = {float(clip) for members in picked.values() for clip in members["train.clip"]}
    rates: dict[Place, list[Rate]] = {}
    for rate in report.rates:
        if tuple(map(rate.key.value, panel.layout.apart)) == panel.apart:
            place = (
                rate.key.value(panel.layout.rows),
                tuple(map(rate.key.value, panel.layout.columns)),
            )
            rates.setdefault(place, []).append(rate)
    return Sheet(
        panel=panel,
        looks=looks(panel, schemes),
        runs={
            place: [_run(row, traces) for row in _rows(members)]
            for place, members in picked.items()
        },
        rates=rates,
        clip=clips.pop() if len(clips) == 1 else None,
    )


def _picked(cell: Cell, members: pd.DataFrame) -> pd.DataFrame:
    """The members a cell is made of: each seed at its learning rate."""
    inside = [
        members[name].isna() if value is None else members[name].eq(value)
        for name, value in cell.key.values().items()
    ]
    return at_their_rates(members[np.logical_and.reduce(inside)], cell.lr_by_seed)


_Trace = tuple[Floats, Floats, float, float]


def _traces(findings: Findings, members: pd.DataFrame) -> dict[tuple[str, int, float], _Trace]:
    """By job, seed and learning rate: evaluated steps, their losses, and the first and the median
    gradient norm.
    """
    found: dict[tuple[str, int, float], _Trace] = {}
    for (study, job), some in members.groupby(["study", "job"], sort=False):
        try:
            table = findings.read_curves(some, ["held_out_loss", "gradient_norm"])
        except Damaged as damage:
            kept = next(one.path for one in findings.studies if one.name == study) / ".cache"
            raise UserError(f"{damage}; delete {kept}, and the report leaves it out") from damage
        for (seed, lr), rows in table.groupby(["seed", "lr"], sort=False):
            found[str(job), cast(int, seed), cast(float, lr)] = _trace(rows.sort_values("step"))
    return found


def _trace(rows: pd.DataFrame) -> _Trace:
    steps, losses, norms = (
        rows[name].to_numpy(np.float64) for name in ("step", "held_out_loss", "gradient_norm")
    )
    evaluated = ~np.isnan(losses)
    evaluated[-1] = True
    finite = norms[np.isfinite(norms)]
    first = norms[steps == 1]
    return (
        steps[evaluated],
        np.where(np.isfinite(losses), losses, np.nan)[evaluated],
        float(first[0]) if len(first) and np.isfinite(first[0]) else np.nan,
        float(np.median(finite)) if len(finite) else np.nan,
    )


def _rows(members: pd.DataFrame) -> list[dict[Hashable, Any]]:
    names = ["job", "seed", "lr", "outcome", "solved_step", "train.steps", "blind_loss"]
    return members.sort_values("seed")[names].to_dict("records")


def _run(row: Mapping[Hashable, Any], traces: Mapping[tuple[str, int, float], _Trace]) -> Run:
    seed, lr, solved = int(row["seed"]), float(row["lr"]), row["solved_step"]
    return Run(
        seed,
        lr,
        str(row["outcome"]),
        np.nan if pd.isna(solved) else float(solved),
        float(row["train.steps"]),
        float(row["blind_loss"]),
        *traces[str(row["job"]), seed, lr],
    )
