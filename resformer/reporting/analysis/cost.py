"""Cost of residual connections: parameters and floating-point operations."""

from dataclasses import dataclass, replace
from typing import final

from resformer.reporting.analysis.pairs import BASELINE, RESIDUAL
from resformer.reporting.schema import Report


@final
@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of `RESIDUAL` over `BASELINE`, between cells that differ in nothing else."""

    parameters: int
    """Largest difference, of one member."""
    flops_per_step: int
    """Largest difference, of one member."""


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
    return Cost(
        parameters=max(cell.parameters - baseline.parameters for cell, baseline in pairs),
        flops_per_step=max(
            cell.flops_per_step - baseline.flops_per_step for cell, baseline in pairs
        ),
    )
