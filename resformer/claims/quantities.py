"""Quantities of a cell that differences and slopes are taken of: a number per seed."""

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from resformer import plugins
from resformer.claims.evidence import Evidence
from resformer.errors import UserError
from resformer.model.shape import Recording, Shape
from resformer.reporting.analysis.cells import CellMembers
from resformer.residuals.base import Residual
from resformer.stats import Bools, Floats
from resformer.stats.stability import PER_STEPS, lr_sensitivity, spikes


class Planned(NamedTuple):
    """Members of one shape, as planned."""

    shape: Shape
    recording: Recording
    rates: int
    """Number of learning rates."""


def exists(planned: Planned) -> None:
    """Check nothing: the quantity is one of all members."""


def needs_rates(planned: Planned) -> None:
    """Raise UserError unless there are several learning rates."""
    if planned.rates < 2:
        raise UserError("member.lr: has one value; best and sensitive rates need two or more")


def needs_mixing(planned: Planned) -> None:
    """Raise UserError unless members are probed at their last step, and have mixing matrices."""
    every, steps = planned.recording.probe_every, planned.shape.train.steps
    if every is None or steps % every:
        raise UserError(
            f"probe.every={'null' if every is None else every}: the last of "
            f"train.steps={steps} is not probed; probe.every={steps} would work"
        )
    if type(planned.shape.residual).mixing is Residual.mixing:
        raise UserError(
            f"model.residual={plugins.name_of(planned.shape.residual)}: has no mixing matrices"
        )


class Quantity(NamedTuple):
    """Quantity of a cell whose rates were chosen by final loss."""

    measure: Callable[[Evidence, CellMembers], Floats]
    """A number per seed, (S,)."""
    words: str
    """Its name and unit."""
    check: Callable[[Planned], None] = exists
    """Raises UserError, before anything runs, for members that do not have it."""


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


def share_of_blind(evidence: Evidence, cell: CellMembers) -> Floats:
    """Final loss of each seed over that of the best predictor that sees positions only, (S,)."""
    blind_S: Floats = cell.arrays["blind_loss"][cell.rows]
    return final_loss(evidence, cell) / blind_S


def sensitivity(evidence: Evidence, cell: CellMembers) -> Floats:
    """Logarithm of the sensitivity of each seed to the learning rate, (S,); NaN where the loss is
    the same at all rates.
    """
    sensitivity_S = lr_sensitivity(cell.loss_SR, cell.loss_SR, cell.ran_SR)
    return np.log(np.where(sensitivity_S > 0, sensitivity_S, np.nan))


def spike_rate(evidence: Evidence, cell: CellMembers) -> Floats:
    """Spikes of the training loss of each seed per 10,000 steps, (S,); NaN of a member that
    diverged, whose steps end where the worst of its spikes would be.
    """
    counts = [spikes(curve["loss"].to_numpy(np.float64)[1:]) for curve in evidence.curves(cell)]
    rate_S = np.array([PER_STEPS * number / steps if steps else np.nan for number, steps in counts])
    return np.where(_diverged(cell), np.nan, rate_S)


def composite_gain(evidence: Evidence, cell: CellMembers) -> Floats:
    """Logarithm of the gain of the mixing matrices of all sub-layers, from the embedding to the
    output, of each seed at its last step, (S,); NaN of a member that diverged.
    """
    return _gain(evidence, cell, "composite_gain_forward", -1)


def composite_gain_backward(evidence: Evidence, cell: CellMembers) -> Floats:
    """Logarithm of the gain of the same matrices from the output to the embedding, likewise."""
    return _gain(evidence, cell, "composite_gain_backward", 1)


def _gain(evidence: Evidence, cell: CellMembers, column: str, layer: int) -> Floats:
    """Logarithm of a gain in one of the layers, of which number 0 is the embedding, (S,)."""
    gains = [
        float(last[column].iloc[layer]) if len(last) else np.nan
        for _, last in _first_and_last(evidence, cell)
    ]
    return np.log(np.where(_diverged(cell), np.nan, gains))


def mixing_change(evidence: Evidence, cell: CellMembers) -> Floats:
    """Change of the distance of a sub-layer's mixing matrix from the identity, from the start to
    the last step, the largest of all sub-layers of each seed, (S,); NaN of a member that diverged.
    """
    column = "mixing_distance"
    changes = [
        float(np.nanmax(np.abs(last[column].to_numpy() - first[column].to_numpy())))
        if len(last)
        else np.nan
        for first, last in _first_and_last(evidence, cell)
    ]
    return np.where(_diverged(cell), np.nan, changes)


def _first_and_last(
    evidence: Evidence, cell: CellMembers
) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    """Layers of each seed before training and at its budget, in their order; the last is empty of a
    seed that did not get there.
    """
    budgets = cell.arrays["train.steps"][cell.rows]
    for layers, budget in zip(evidence.layers(cell), budgets, strict=True):
        by_layer = layers.sort_values("layer")
        yield by_layer[by_layer["step"] == 0], by_layer[by_layer["step"] == budget]


def _diverged(cell: CellMembers) -> Bools:
    """True for each seed whose scored member diverged, (S,)."""
    diverged_S: Bools = cell.arrays["outcome"][cell.rows] == "diverged"
    return diverged_S


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
    "best_lr": Quantity(best_lr, "log best learning rate", needs_rates),
    "final_loss": Quantity(final_loss, "final loss (nats per target)"),
    "share_of_blind": Quantity(share_of_blind, "final loss over the blind loss"),
    "lr_sensitivity": Quantity(sensitivity, "log sensitivity to the learning rate", needs_rates),
    "spikes": Quantity(spike_rate, "spikes per 10,000 steps"),
    "composite_gain": Quantity(
        composite_gain, "log composite gain of the mixing matrices", needs_mixing
    ),
    "composite_gain_backward": Quantity(
        composite_gain_backward, "log backward composite gain of the mixing matrices", needs_mixing
    ),
    "mixing_change": Quantity(
        mixing_change, "change of the mixing matrices' distance from the identity", needs_mixing
    ),
}
"""Quantities by name."""


def check_name(name: str) -> None:
    """Raise UserError unless there is a quantity of this name."""
    if name not in QUANTITIES:
        raise UserError(f"of={name}: must be one of {', '.join(QUANTITIES)}")
