"""Final losses of cells, and the stability of their training, from the curves of their members."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from resformer.errors import UserError
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.schema import Estimate, Stability
from resformer.results.members import Findings
from resformer.stats import Floats
from resformer.stats.stability import (
    PER_STEPS,
    capped,
    learning_share,
    lr_sensitivity,
    spikes,
)
from resformer.stats.steps import student_interval
from resformer.store.checks import Damaged

_STOPPED = "train.stop_when_solved"


def by_final_loss(
    findings: Findings, cells: Sequence[CellMembers]
) -> tuple[list[CellMembers], list[Stability]]:
    """The cells with rates chosen by final loss, and the stability of each.

    A final loss is at most the loss at initialisation: a member that diverged counts as one that
    was not trained. UserError if members stopped when they solved, or if a curve is damaged.
    """
    if findings.members[_STOPPED].any():
        raise UserError(
            "--score final_loss: members stopped when they solved, so their last losses are of "
            f"different steps; a study with {_STOPPED}=false trains all of them to the budget"
        )
    judged = [_judged(findings, cell) for cell in cells]
    return [cell for cell, _ in judged], [stability for _, stability in judged]


def _judged(findings: Findings, cell: CellMembers) -> tuple[CellMembers, Stability]:
    curves = _curves(findings, cell)
    blind_loss = float(cell.arrays["blind_loss"][cell.row_SR[cell.ran_SR][0]])
    initial_SR = np.full(cell.loss_SR.shape, blind_loss)
    for (seed, lr), member in curves.items():
        place = cell.seeds.index(seed), cell.rates.index(lr)
        first = float(member["held_out_loss"].iloc[0])
        initial_SR[place] = first if math.isfinite(first) else blind_loss
    loss_SR = np.where(cell.ran_SR, capped(cell.loss_SR, initial_SR), np.nan)
    judged = replace(cell, loss_SR=loss_SR, score="final_loss")
    scored = zip(cell.seeds, (cell.rates[rate] for rate in judged.chosen), strict=True)
    counts = [spikes(curves[member]["loss"].to_numpy(np.float64)[1:]) for member in scored]
    number, steps = map(sum, zip(*counts, strict=True))
    sensitivity_S = lr_sensitivity(loss_SR, initial_SR, cell.ran_SR)
    return judged, Stability(
        key=cell.key,
        mean_loss=_mean(loss_SR[np.arange(len(cell.seeds)), judged.chosen]),
        learning=learning_share(loss_SR, cell.ran_SR, blind_loss),
        lr_sensitivity=_mean(sensitivity_S) if len(cell.rates) > 1 else None,
        spikes=PER_STEPS * number / steps if steps else None,
    )


def _curves(findings: Findings, cell: CellMembers) -> dict[tuple[int, float], pd.DataFrame]:
    """Curves of a cell's members by seed and rate, from step 0 on."""
    rows = cell.row_SR[cell.ran_SR]
    names = ("job", "seed", "lr")
    members = pd.DataFrame({name: cell.arrays[name][rows] for name in names})
    try:
        table = findings.read_curves(
            members.assign(study=cell.key.arm.study), ["loss", "held_out_loss"]
        )
    except Damaged as damage:
        raise UserError(f"--score final_loss: {damage}; the sweep trains its job again") from damage
    by_member = table.sort_values("step").groupby(["seed", "lr"])
    each = zip(members["seed"].tolist(), members["lr"].tolist(), strict=True)
    return {member: by_member.get_group(member) for member in each}


def _mean(values_S: Floats) -> Estimate:
    """Mean of values that are never negative, with Student's t."""
    low, high = student_interval(values_S)
    least = None if low is None else max(0.0, low)
    return Estimate(value=float(values_S.mean()), low=least, high=high)
