"""Quantities of a cell that a slope is taken of: a number per seed."""

from collections.abc import Callable, Mapping

import numpy as np

from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Floats
from resformer.stats.stability import lr_sensitivity


def best_lr(cell: CellMembers) -> Floats:
    """Logarithm of the best learning rate of each seed, (S,): see `lowest`."""
    loss_SR = np.where(np.isfinite(cell.loss_SR), cell.loss_SR, np.inf)
    return np.log([lowest(np.array(cell.rates), loss_R) for loss_R in loss_SR])


def final_loss(cell: CellMembers) -> Floats:
    """Final held-out loss of each seed at the rate that is best for the others, nats per target,
    (S,).
    """
    loss_S: Floats = cell.loss_SR[np.arange(len(cell.seeds)), cell.chosen]
    return loss_S


def sensitivity(cell: CellMembers) -> Floats:
    """Logarithm of the sensitivity of each seed to the learning rate, (S,)."""
    return np.log(lr_sensitivity(cell.loss_SR, cell.loss_SR, cell.ran_SR))


def lowest(rates: Floats, loss_R: Floats) -> float:
    """Rate at the lowest point of a parabola in the logarithm of the rate, through the lowest loss
    and those beside it; at an end of the grid, or beside a loss that is not finite, that rate; NaN
    where no loss is finite.
    """
    if not np.isfinite(loss_R).any():
        return np.nan
    best = int(loss_R.argmin())
    around = loss_R[best - 1 : best + 2]
    if best in (0, len(rates) - 1) or not np.isfinite(around).all():
        return float(rates[best])
    low, middle, high = around
    bend = low - 2 * middle + high
    step = np.log(rates[best + 1] / rates[best])
    shift = 0.0 if bend <= 0 else (low - high) / (2 * bend)
    return float(rates[best] * np.exp(shift * step))


QUANTITIES: Mapping[str, tuple[Callable[[CellMembers], Floats], str]] = {
    "best_lr": (best_lr, "log best learning rate"),
    "final_loss": (final_loss, "final loss (nats per target)"),
    "lr_sensitivity": (sensitivity, "log sensitivity to the learning rate"),
}
"""Quantities by name, each with its words."""
