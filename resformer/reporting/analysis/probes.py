"""Stacks that were probed: medians over seeds by layer, the health of each, and the numbers behind
its last layer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from resformer.keys import NAMES
from resformer.reporting.measures import ENDS
from resformer.reporting.text.words import named
from resformer.stats.health import Health, health

_SHORT = {**NAMES, "task": "task", "model.residual": "residual", "model.norm": "norm"}


@final
@dataclass(frozen=True)
class Probed:
    """Medians over seeds of every measure, by stack."""

    axes: list[str]
    """What tells stacks apart besides their depth."""
    stacks: dict[tuple[Any, ...], dict[int, pd.DataFrame]]
    """By what the axes are and by depth: a row per layer, a column per measure."""

    def name(self, key: tuple[Any, ...]) -> str:
        """A stack's, but for its depth."""
        return " ".join(
            named(axis, value)
            for axis, value in zip(self.axes, key, strict=True)
            if value is not None
        )

    @property
    def depths(self) -> list[int]:
        """All there are."""
        return sorted({depth for stacks in self.stacks.values() for depth in stacks})


def probed(table: pd.DataFrame, swept: Sequence[str], measures: Sequence[str]) -> Probed:
    """The medians of a probe's table; `swept` are the keys that vary."""
    table = table.rename(columns=NAMES)
    keys = [_SHORT.get(key, key) for key in swept if key in _SHORT or key in table]
    axes = list(
        dict.fromkeys(["residual", "norm", *(key for key in keys if key not in ("depth", "seed"))])
    )
    stacks: dict[tuple[Any, ...], dict[int, pd.DataFrame]] = {}
    table[axes] = table[axes].astype(object).where(table[axes].notna(), None)
    place: Any
    for place, part in table.groupby([*axes, "depth"], sort=False, dropna=False):
        key, depth = [None if pd.isna(value) else value for value in place[:-1]], int(place[-1])
        stacks.setdefault(tuple(key), {})[depth] = medians(part, measures)
    return Probed(axes, stacks)


def medians(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """By layer; NaN where at least half of the seeds have none, since a seed that broke is no
    reason to hide it.
    """
    by_layer = rows.groupby("layer")[list(measures)]
    return by_layer.median().where(by_layer.count().mul(2).gt(by_layer.size(), axis=0))


def stack_health(stack: pd.DataFrame) -> Health:
    """On one stack."""
    gradients = stack.filter(regex="^gradient_").to_numpy()[1:]
    by_sublayer = np.sqrt(np.nansum(gradients**2, axis=1))
    by_block = np.hypot(by_sublayer[0::2], by_sublayer[1::2])
    return health(stack["rms"].to_numpy(), stack["relative_residual"].to_numpy(), by_block)


def ends(stack: pd.DataFrame) -> dict[str, float]:
    """The numbers of a stack that tables show, by name."""
    return {end.name: float(stack[end.measure].iloc[end.layer]) for end in ENDS}
