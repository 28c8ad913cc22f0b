"""Quantities of a cell that differences and slopes are taken of: a number per seed."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from resformer.claims.evidence import Evidence
from resformer.errors import UserError
from resformer.reporting.analysis.cells import CellMembers
from resformer.stats import Floats
from resformer.stats.stability import PER_STEPS, lr_sensitivity, spikes


class Quantity(NamedTuple):
    """Quantity of a cell whose rates were chosen by final loss."""

    measure: Callable[[Evidence, CellMembers], Floats]
    """A number per seed, (S,)."""
    words: str
    """Its name and unit."""


def best_lr(evidence: Evidence, cell: CellMembers) -> Floats:
    """Logarithm of the best learning rate of each seed, (S,): see `lowest`. The loss of a member
    that diverged is infinite.
    """
    loss_SR = cell.arrays["final_loss"][cell.row_SR]
    loss_SR = np.where(cell.ran_SR & np.isfinite(loss_SR), loss_SR, np.inf)
    return np.log([lowest(np.array(cell.rates), loss_R) for loss_R in loss_SR])


def final_loss(evidence: Evidence, cell: CellMembers) -> Floats:
    """Final held-out loss of each seed at the rate that is best for the others, nats per target,
    (S,).
    """
    loss_S: Floats = cell.loss_SR[np.arange(len(cell.seeds)), cell.chosen]
    return loss_S


def sensitivity(evidence: Evidence, cell: CellMembers) -> Floats:
    """Logarithm of the sensitivity of each seed to the learning rate, (S,)."""
    return np.log(lr_sensitivity(cell.loss_SR, cell.loss_SR, cell.ran_SR))


def spike_rate(evidence: Evidence, cell: CellMembers) -> Floats:
    """Spikes of the training loss of each seed per 10,000 steps, (S,)."""
    counts = [spikes(curve["loss"].to_numpy(np.float64)[1:]) for curve in evidence.curves(cell)]
    return np.array([PER_STEPS * number / max(1, steps) for number, steps in counts])


def composite_gain(evidence: Evidence, cell: CellMembers) -> Floats:
    """Logarithm of the gain of the mixing matrices of all sub-layers, from the embedding to the
    output, of each seed at its last probe, (S,).
    """
    gains = []
    for layers in evidence.layers(cell):
        last = layers[layers["step"] == layers["step"].max()]
        gains.append(float(last.sort_values("layer")["composite_gain_forward"].iloc[-1]))
    if np.isnan(gains).any():
        raise UserError("of=composite_gain: the scheme has no mixing matrices")
    return np.log(gains)


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


QUANTITIES: Mapping[str, Quantity] = {
    "best_lr": Quantity(best_lr, "log best learning rate"),
    "final_loss": Quantity(final_loss, "final loss (nats per target)"),
    "lr_sensitivity": Quantity(sensitivity, "log sensitivity to the learning rate"),
    "spikes": Quantity(spike_rate, "spikes per 10,000 steps"),
    "composite_gain": Quantity(composite_gain, "log composite gain of the mixing matrices"),
}
"""Quantities by name."""


def check_name(name: str) -> None:
    """Raise UserError unless there is a quantity of this name."""
    if name not in QUANTITIES:
        raise UserError(f"of={name}: must be one of {', '.join(QUANTITIES)}")
