"""Order at which attention alone loses rank before training."""

import dataclasses
from dataclasses import dataclass
from typing import final

import numpy as np
import pandas as pd
import torch

from resformer.claims.starts import Starts
from resformer.claims.statistics.base import Measured, Untrained, check_other, mean_interval, rows
from resformer.errors import UserError
from resformer.model.objective import draw_batch
from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.probes.measures.base import Trace
from resformer.probes.measures.rank import Rank
from resformer.stats import Floats

_FALLS, _FLOOR = 0.5, 1e-14
"""Relative residuals between which the order is taken: below the first the fall has begun, below
the second is round-off.
"""


@final
@dataclass(frozen=True, kw_only=True)
class AttentionRank(Untrained):
    """Order at which the relative residual (see `probes.measures.rank`) falls through the
    attention sub-layers of `arm`, the FFNs left out: slope of its logarithm after a layer on that
    before, 3 where it is cubed (Dong et al. 2021, arXiv 2103.03404, theorem 2.2), 1 where it loses
    a factor; mean over seeds. The order of `less`, of the same seed, is taken off.

    Every seed reads sequences of its own, in float64.
    """

    arm: str
    less: str

    def __post_init__(self) -> None:
        check_other("less", self.arm, self.less)

    @property
    def arms(self) -> tuple[str, str]:
        """Both arms."""
        return self.arm, self.less

    def measure(self, starts: Starts) -> Measured:
        """Measure both arms."""
        arms = [starts.one(arm) for arm in self.arms]
        seeds = arms[0].seeds
        if arms[1].seeds != seeds:
            raise UserError("less: has other seeds than the arm; give both the same member.seed")
        measured = [residuals(start.shape, seeds) for start in arms]
        value, low, high = mean_interval(orders(measured[0]) - orders(measured[1]))
        return Measured(
            value=value,
            low=low,
            high=high,
            quantity="order at which attention alone loses rank (slope of the residual's log after "
            f"a layer on that before), {self.arm} less {self.less}",
            place="layer",
            numbers=pd.concat(
                rows(arm, layer, seeds, residual=value_S)
                for arm, value_SX in zip(self.arms, measured, strict=True)
                for layer, value_S in enumerate(value_SX.T)
            ),
        )


@torch.no_grad()
def residuals(shape: Shape, seeds: list[int]) -> Floats:
    """Relative residual behind the embedding and every attention, (S, L + 1)."""
    transformer, seed_S = (
        dataclasses.replace(shape.transformer(), compile=False),
        torch.tensor(seeds),
    )
    inputs_PBT, _ = draw_batch(shape, rng.key(seed_S, "held-out"), shape.train.batch)
    flat_PN = transformer.initial_values(seed_S, torch.float64)
    ffns = range(2, 2 * shape.model.depth + 1, 2)
    forward = transformer.activations(flat_PN, inputs_PBT, without=ffns)
    trace = Trace(residual=shape.residual, sequences=shape.train.batch, streams=forward.streams)
    residual_XS: Floats = Rank().compute(trace)["relative_residual"].numpy()
    return residual_XS.T


def orders(residual_SX: Floats) -> Floats:
    """Order at which the residual of each seed falls, (S,), NaN where fewer than three layers tell
    it.
    """
    slopes = []
    for residual_X in residual_SX:
        logs = np.log(residual_X[(residual_X < _FALLS) & (residual_X > _FLOOR)])
        slopes.append(np.polyfit(logs[:-1], logs[1:], 1)[0] if len(logs) > 2 else np.nan)
    return np.array(slopes)
