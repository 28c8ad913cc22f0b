"""Probed models: medians over seeds by layer, their health, and the numbers of the last layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import pandas as pd

from resformer.keys import NAMES, short
from resformer.reporting.measures import ENDS
from resformer.results import presets
from resformer.stats.health import Health, health


@final
@dataclass(frozen=True)
class Probed:
    """Medians over seeds of every measure, by kind of model and depth."""

    axes: list[str]
    """Settings that tell kinds of models apart, without depth."""
    models: dict[tuple[Any, ...], dict[int, pd.DataFrame]]
    """By values of the axes and by depth: a row per layer, a column per measure."""

    @property
    def depths(self) -> list[int]:
        """Depths of all models, ascending."""
        return sorted({depth for models in self.models.values() for depth in models})


def probed(table: pd.DataFrame, swept: Sequence[str], measures: Sequence[str]) -> Probed:
    """Medians of a probe's table; `swept` are the keys that vary."""
    settings = zip(*(table[key] for key in presets.SETTINGS), strict=True)
    blocks = [dict(zip(presets.SETTINGS, row, strict=True)) for row in settings]
    table = table.rename(columns=NAMES).assign(model=[*map(presets.preset, blocks)])
    keys = ["residual", "norm", *presets.spelt_out([*map(short, swept)], blocks)]
    axes = [key for key in dict.fromkeys(keys) if key in table and key not in ("depth", "seed")]
    models: dict[tuple[Any, ...], dict[int, pd.DataFrame]] = {}
    place: Any
    for place, part in table.groupby([*axes, "depth"], sort=False, dropna=False):
        *key, depth = place
        kind = tuple(None if pd.isna(value) else value for value in key)
        models.setdefault(kind, {})[depth] = medians(part, measures)
    return Probed(axes, models)


def medians(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Medians over seeds by layer; NaN where at least half of the seeds have no value."""
    by_layer = rows.groupby("layer")[list(measures)]
    return by_layer.median().where(by_layer.count().mul(2).gt(by_layer.size(), axis=0))


def model_health(by_layer: pd.DataFrame) -> Health:
    """Health of a model, from its medians by layer."""
    gradients = by_layer.filter(regex="^gradient_").to_numpy()[1:]
    by_sublayer = np.sqrt(np.nansum(gradients**2, axis=1))
    by_block = np.hypot(by_sublayer[0::2], by_sublayer[1::2])
    return health(by_layer["rms"].to_numpy(), by_layer["relative_residual"].to_numpy(), by_block)


def ends(by_layer: pd.DataFrame) -> dict[str, float]:
    """Numbers of `ENDS` of a model, by name."""
    return {end.name: float(by_layer[end.measure].iloc[end.layer]) for end in ENDS}
