"""Logistic fits of the depth at which half of an arm's seeds solve."""

from dataclasses import replace

from resformer.errors import UserError
from resformer.reporting.schema import ArmKey, Cell, Estimate, Limit, Report
from resformer.stats.logistic import HALF_OCTAVE, half_depth, has_half_octaves


def with_fits(report: Report) -> Report:
    """The report with a fit beside each depth limit; UserError if no arm has two depths that are at
    most a half-octave apart.
    """
    arms: dict[ArmKey, list[Cell]] = {}
    for cell in report.cells:
        arms.setdefault(cell.key.arm, []).append(cell)
    limits = tuple(_fitted(limit, arms[limit.key]) for limit in report.limits)
    fitted = replace(report, limits=limits)
    if not fitted.fitted:
        tried = sorted({cell.key.depth for cell in report.cells})
        raise UserError(
            f"--fit: depths {', '.join(map(str, tried))} are all more than a factor of "
            f"{HALF_OCTAVE:g} apart; a study with half-octaves, such as model.depth=2,3,4, has one"
        )
    return fitted


def _fitted(limit: Limit, cells: list[Cell]) -> Limit:
    by_depth = sorted(cells, key=lambda cell: cell.key.depth)
    depths = [cell.key.depth for cell in by_depth]
    if not has_half_octaves(depths):
        return limit
    value, low, high = half_depth(
        depths, [cell.solved for cell in by_depth], [cell.seeds for cell in by_depth]
    )
    return replace(limit, fit=Estimate(value=value, low=low, high=high))
