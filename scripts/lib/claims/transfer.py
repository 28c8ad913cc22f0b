"""Claim 9: with CompleteP the best learning rate stays where it is while depth grows."""

from collections.abc import Mapping

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.claims import study
from lib.claims.claim import Claim, Interval, Verdict, inside, shown
from lib.claims.drawn import logarithmic_x, logarithmic_y
from lib.claims.slopes import by_seed, exponents, interval
from lib.claims.study import Arm
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.figures.style import RC
from resformer.stats import Floats

STUDIES = ("transfer",)
ARMS = {"standard": "standard", "depth-µP": "depth_mup", "CompleteP": "completep"}
_STAYS, _FALLS = 0.1, -0.2
"""Largest slope, up or down, of a best rate that stays; and least fall of one that does not."""


def run() -> Claim:
    """Try it."""
    swept = study.sweep(*STUDIES)
    arms = {label: swept.arm(parametrisation=kind) for label, kind in ARMS.items()}
    best = {label: best_rates(arm) for label, arm in arms.items()}
    depths = [*arms["standard"]]
    slopes = {label: slope(depths, best_SL) for label, best_SL in best.items()}
    rates = arms["standard"][depths[0]].rates
    inner = {
        label: int(((best_SL > rates[0]) & (best_SL < rates[-1])).sum())
        for label, best_SL in best.items()
    }
    return Claim(
        number=9,
        title="with CompleteP the best learning rate stays where it is while depth grows",
        source="Dey et al. 2025, arXiv 2505.01618, figure 1; Yang et al. 2023, arXiv 2310.02244",
        saw="minima of loss against rate that lie above each other from 2 to 128 layers with "
        "CompleteP, and wander with the standard parametrisation and with depth-µP",
        judged=f"slope of log best rate on log depth with CompleteP {shown(slopes['CompleteP'])}, "
        f"wanted within ±{_STAYS:g}, and standard {shown(slopes['standard'])}, wanted < {_FALLS:g}",
        verdict=verdict(slopes["CompleteP"], slopes["standard"]),
        reported=[
            f"slope with depth-µP {shown(slopes['depth-µP'])}",
            *(
                f"{label}: median best rates "
                + ", ".join(
                    f"{rate:.2g} at depth {depth}"
                    for depth, rate in zip(depths, np.median(best_SL, axis=0), strict=True)
                )
                + f"; inside the grid in {inner[label]} of {best_SL.size}"
                for label, best_SL in best.items()
            ),
            *(f"{label}: lowest median losses {lowest_losses(arm)}" for label, arm in arms.items()),
        ],
        differs=f"sort of 16 from 32, width 32, pre-norm, depth {depths[0]} to {depths[-1]} with "
        f"the base at {depths[0]}, {arms['standard'][depths[0]].budget} steps with 50 of warm-up "
        "and a linear decay to 0, "
        f"{len(best['standard'])} seeds, {len(rates)} rates by factors of two; the best rate of a "
        "seed is at the lowest point of a parabola through its lowest loss and the two beside it",
        earlier="Two, of which nothing was kept. On copy at a constant rate it was undecided, the "
        "best rates of seeds scattered. On copy with a decay to 0 it did not hold (CompleteP -0.28 "
        "to -0.13, standard -0.24 to -0.03): all had solved it long before the budget ended, "
        "and the best rate was that of losses of 1e-4. The condition was the same; the task was "
        "then chosen to be unsolved at depths 2 and 16 at one rate.",
        numbers=numbers(best, depths, arms),
        draw=lambda: figure(arms),
    )


def slope(depths: list[int], best_SL: Floats) -> Interval:
    """Slope of log best rate on log depth; unknown where a seed has no best rate at some depth."""
    if not np.isfinite(best_SL).all():
        return -np.inf, np.inf
    return interval(exponents(depths, best_SL))


def verdict(completep: Interval, standard: Interval) -> Verdict:
    """Both parts must hold; one that does not is enough against it."""
    parts = {inside(completep, -_STAYS, _STAYS), inside(standard, -np.inf, _FALLS)}
    if parts == {"holds"}:
        return "holds"
    return "does not hold here" if "does not hold here" in parts else "undecided"


def best_rates(arm: Arm) -> Floats:
    """Best rate of each seed at each depth, (S, depths)."""
    return np.stack(
        [
            [lowest(np.array(cell.rates), loss_R) for loss_R in losses(cell)]
            for cell in arm.values()
        ],
        axis=1,
    )


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


def losses(cell: CellMembers) -> Floats:
    """Final losses by seed and rate, (S, R), infinite where a member has none."""
    return np.where(np.isfinite(cell.loss_SR), cell.loss_SR, np.inf)


def lowest_losses(arm: Arm) -> str:
    """Lowest median loss by depth, in words."""
    return ", ".join(
        f"{np.median(losses(cell), axis=0).min():.2g} at depth {depth}"
        for depth, cell in arm.items()
    )


def numbers(best: Mapping[str, Floats], depths: list[int], arms: Mapping[str, Arm]) -> pd.DataFrame:
    """Best rate by arm, depth and seed."""
    seeds = arms["standard"][depths[0]].seeds
    return by_seed(best, depths, seeds, "parametrisation", "depth", "best_lr")


def figure(arms: Mapping[str, Arm]) -> Figure:
    """Median final loss against the rate, a line per depth, a panel per parametrisation."""
    with mpl.rc_context(RC):
        drawn = Figure(figsize=(7.2, 2.8), layout="constrained")
        panels = drawn.subplots(1, len(arms), sharey=True)
        colours = mpl.colormaps["viridis"](np.linspace(0.0, 0.9, len(arms["standard"])))
        for panel, (label, arm) in zip(panels, arms.items(), strict=True):
            for (depth, cell), colour in zip(arm.items(), colours, strict=True):
                median_R = np.median(losses(cell), axis=0)
                shown_R = np.where(np.isfinite(median_R), median_R, np.nan)
                panel.plot(cell.rates, shown_R, marker="o", markersize=3, color=colour, label=depth)
                best = int(median_R.argmin())
                panel.plot(cell.rates[best], median_R[best], marker="o", markersize=6, color=colour)
            logarithmic_x(panel, cell.rates, most=4)
            logarithmic_y(panel)
            panel.set_title(label)
            panel.set_xlabel("learning rate")
        panels[0].set_ylabel("final held-out loss")
        handles, labels = panels[0].get_legend_handles_labels()
        drawn.legend(handles, labels, title="depth", frameon=False, loc="outside right upper")
    return drawn
