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
_DEPTH = "depth"
_SIZES = ("model.width", "model.heads", "model.hidden")
"""Settings that may be chosen for each depth, as by `model.parameters`."""


def varies(shapes: pd.DataFrame, key: str, within: Sequence[str]) -> bool:
    """True if a setting varies by itself: among shapes that are alike in these columns, and in the
    settings that it comes with as far as there are columns of them; no size that comes with the
    depth.
    """
    if key in _SIZES and comes_with_depth(shapes, key):
        return False
    owners = [owner for owner, own in _OWNERS.items() if key.startswith(own)]
    alike = [*within, *(owner for owner in owners if owner in shapes)]
    return int(shapes.groupby(alike, dropna=False)[key].nunique(dropna=False).max()) > 1


def comes_with_depth(shapes: pd.DataFrame, key: str) -> bool:
    """True if a size is another one at other depths and the same at each, among shapes that are
    alike in all settings but sizes and those that depend on the depth alone.
    """
    if shapes[_DEPTH].nunique() == 1:
        return False
    at_depth = shapes.groupby(_DEPTH).nunique(dropna=False).max()
    others = [name for name in shapes if at_depth.get(name, 1) > 1 and name not in _SIZES]
    others = [name for name in others if name != "shape"]
    of_arm = shapes.groupby([*others, _DEPTH], dropna=False)[key].nunique(dropna=False)
    over_depths = shapes.groupby(others or "study", dropna=False)[key].nunique(dropna=False)
    return bool(of_arm.max() == 1 and over_depths.max() > 1)
