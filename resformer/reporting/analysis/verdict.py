"""The numbers behind a report's verdict: how deep each scheme goes, how sure that is, its cost."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar, final

from resformer.reporting.analysis.comparisons import BASELINE, max_permutations
from resformer.reporting.analysis.evidence import Evidence, evidence
from resformer.reporting.schema import ArmKey, Cell, Comparison, Limit, Rate, Report

RESIDUAL = "add"
"""The scheme that is meant by residual connections; its cost is over `BASELINE`."""

Entry = TypeVar("Entry", Cell, Rate, Limit, Comparison)


@final
@dataclass(frozen=True, kw_only=True)
class Reach:
    """Depths that an arm solves, from `floor` to `limit` without a gap; None if it solves none."""

    floor: int | None
    limit: int | None
    tried: tuple[int, ...]
    """Depths that were tried, ascending."""


@final
@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The result of one study on one task."""

    study: str
    task: str
    budget: int | None
    """Steps; None if cells have different budgets."""
    rates: tuple[float, ...]
    reach: Mapping[ArmKey, Reach]
    evidence: Evidence | None

    @property
    def schemes(self) -> list[str]:
        """Residual connections first, then none, then the others by name."""
        return sorted(
            {key.residual for key in self.reach},
            key=lambda name: (name != RESIDUAL, name == BASELINE, name),
        )


def verdicts(report: Report) -> list[Verdict]:
    """A verdict per study and task."""
    keys = dict.fromkeys((cell.key.arm.study, cell.key.arm.task) for cell in report.cells)
    return [_verdict(report, study, task) for study, task in keys]


def _verdict(report: Report, study: str, task: str) -> Verdict:
    def of_task(rows: Sequence[Entry]) -> list[Entry]:
        return [
            row for row in rows if (row.key.value("study"), row.key.value("task")) == (study, task)
        ]

    of_study = (report.differing or {}).get("train.steps", {}).get(study)
    budget = report.settings.get("train.steps", of_study)
    primary = [row for row in report.comparisons if row.depth is None]
    return Verdict(
        study=study,
        task=task,
        budget=budget if isinstance(budget, int) else None,
        rates=tuple(sorted({rate.lr for rate in of_task(report.rates)})),
        reach={
            limit.key: Reach(
                floor=limit.depth_floor,
                limit=limit.depth_limit,
                tried=tuple(report.depths[limit.key]),
            )
            for limit in of_task(report.limits)
        },
        evidence=evidence(
            of_task(report.comparisons),
            tested=sum(row.key.study == study and row.p is not None for row in primary),
            max_permutations=max_permutations(len(primary)),
        ),
    )


@final
@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of `RESIDUAL` over `BASELINE`, between cells that differ in nothing else."""

    parameters: int
    """Largest difference, of one member."""
    flops_per_step: int
    """Largest difference, of one member."""
    time: float | None
    """Ratio of the times per step, median over cells."""


def cost(report: Report) -> Cost | None:
    """The cost of residual connections; None if no cell has its like without them."""
    cells = {cell.key: cell for cell in report.cells}
    pairs = [
        (cell, baseline)
        for cell in report.cells
        if (arm := cell.key.arm).residual == RESIDUAL
        and (baseline := cells.get(replace(cell.key, arm=replace(arm, residual=BASELINE))))
    ]
    if not pairs:
        return None
    times = [
        cell.ms_per_member_step / baseline.ms_per_member_step
        for cell, baseline in pairs
        if cell.ms_per_member_step and baseline.ms_per_member_step
    ]
    return Cost(
        parameters=max(cell.parameters - baseline.parameters for cell, baseline in pairs),
        flops_per_step=max(
            cell.flops_per_step - baseline.flops_per_step for cell, baseline in pairs
        ),
        time=statistics.median(times) if times else None,
    )
