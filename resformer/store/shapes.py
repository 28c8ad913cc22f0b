"""Planned shapes by their settings, whatever version planned them."""

from typing import Any

from resformer.keys import NAMES, Json, flatten
from resformer.store.earlier import in_todays_words


def shape_settings(job: Json) -> dict[str, Any]:
    """The settings of a job's shape by dotted key; those of `NAMES` by their short names."""
    shape = in_todays_words(job["shape"])
    return {NAMES.get(key, key): value for key, value in flatten(shape).items()}


def job_label(job: Json) -> str:
    """A job's task, depth, scheme and norm placement, as one line."""
    shape = shape_settings(job)
    return f"{shape['task']} depth {shape['depth']} {shape['residual']} {shape['norm']}"
