"""How settings and jobs are called, ordered and typed wherever they are read."""

from typing import Any

import numpy as np

from resformer.trees import flat

Json = dict[str, Any]

NAMES = {"task.name": "task", "model.depth": "depth", "model.residual.name": "residual", "model.norm": "norm"}
"""Settings that every report names, by the short name they go by."""
_LONG = {
    **NAMES,
    "model.residual": "residual",
    "model/residual": "residual",
    "member.seed": "seed",
    "member.lr": "lr",
}
NO_RESULT_DEPENDS_ON = ("train.keep_weights", "probe.every")


def short(key: str) -> str:
    """The name by which reports know a setting."""
    return _LONG.get(key, key)


def as_typed(value: object) -> str:
    """A setting's value as it is typed on the command line."""
    if value is None or value != value:  # noqa: PLR0124  (a missing value, NaN in pandas)
        return "null"
    if isinstance(value, list):
        return " ".join(map(as_typed, value))
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def by_value(value: Any) -> tuple[bool, float, str]:
    """A key for sorting: numbers by size, then words."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return (False, float(value), "") if number else (True, 0.0, str(value))


def shape_settings(job: Json) -> dict[str, Any]:
    """The settings of a job's shape by dotted key; the four that every report names go by their short names."""
    return {NAMES.get(key, key): value for key, value in flat(job["shape"]).items()}


def job_label(job: Json) -> str:
    """What a job trains, in a few words."""
    shape = shape_settings(job)
    return f"{shape['task']} depth {shape['depth']} {shape['residual']} {shape['norm']}"
