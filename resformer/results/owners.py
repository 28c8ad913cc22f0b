"""Settings that come with another one, as an optimiser's own do: they tell shapes apart only where
they vary while it stays the same.
"""

from collections.abc import Sequence

import pandas as pd

from resformer.results import presets

_OWNERS = {
    "task": (
        "task.",
        "train.batch",
        "train.eval_every",
        "train.target_accuracy",
        "train.target_loss",
        "train.stop_when_solved",
        "optimizer.weight_decay",
        "model.attention",
    ),
    "residual": ("model.residual.",),
    "model.width": ("model.hidden",),
    presets.KEY: (*presets.SETTINGS, presets.MODULE),
    "model.position": ("model.rope_base",),
    "optimizer": ("optimizer.",),
    "train.schedule": ("train.final_lr",),
    "model.parametrisation": ("model.base_depth", "model.base_width", "model.base_heads"),
}
"""Settings, or the beginnings of their keys, by one that they come with."""


def varies(shapes: pd.DataFrame, key: str, within: Sequence[str]) -> bool:
    """True if a setting varies by itself: among shapes that are alike in these columns, and in the
    settings that it comes with as far as there are columns of them.
    """
    owners = [owner for owner, own in _OWNERS.items() if key.startswith(own)]
    alike = [*within, *(owner for owner in owners if owner in shapes)]
    return int(shapes.groupby(alike, dropna=False)[key].nunique(dropna=False).max()) > 1
