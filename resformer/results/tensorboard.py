"""Curves as the event files of TensorBoard: a run per member."""

import importlib.util
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import pandas as pd

from resformer.errors import UserError
from resformer.results import frames, owners, presets
from resformer.results.members import selectable

MemberKey = tuple[str, int, float]
"""Job, seed and learning rate: a member's key within its study."""

_FILE = "events.out.tfevents.resformer"
_VERSION = "brain.Event:2"


def check() -> None:
    """Raise UserError if tensorboard is not installed."""
    if importlib.util.find_spec("tensorboard") is None:
        raise UserError(
            "--to tensorboard: tensorboard is not installed; pip install 'resformer[tensorboard]' "
            "does it"
        )


def run_names(runs: pd.DataFrame) -> dict[MemberKey, str]:
    """Names of the members: task, depth, scheme, norm, the other settings in which members alike in
    these differ, without those that come with another one (see `owners`) or that a member does not
    have, seed and learning rate.

    `copy-depth-4-add-post-seed-0-lr-0.003`, or with two widths
    `copy-depth-4-add-post-width-32-seed-0-lr-0.003`.
    """
    names = {}
    first = ["task", "depth", "residual", "norm"]
    others = [name for name in selectable(runs) if name not in (*first, "seed", "lr")]
    unnamed = {presets.KEY} - {*presets.keys_of_blocks(runs[presets.KEY].unique())}
    runs = runs.drop(columns=[*unnamed])
    for (task, depth, residual, norm), group in runs.groupby(first):
        differ = [name for name in others if name in group and owners.varies(group, name, first)]
        for row in group.to_dict("records"):
            words = [f"{task}-depth-{depth}-{residual}-{norm}"]
            words += [
                f"{name.rpartition('.')[2]}-{row[name]}" for name in differ if pd.notna(row[name])
            ]
            words += [f"seed-{row['seed']}", f"lr-{row['lr']}"]
            names[row["job"], row["seed"], row["lr"]] = "-".join(words)
    return names


def write(folder: Path, names: Mapping[MemberKey, str], curves: pd.DataFrame) -> None:
    """Write the curves of a job, a folder per member, as 32-bit scalars; values that are not finite
    are skipped.
    """
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    now = time.time()
    for member, curve in curves.groupby(["job", "seed", "lr"], sort=False):
        run = folder / names[cast("MemberKey", member)]
        run.mkdir()
        with open(run / _FILE, "wb") as file:
            records = RecordWriter(file)
            records.write(Event(wall_time=now, file_version=_VERSION).SerializeToString())
            for step, values in _scalars(curve):
                event = Event(wall_time=now, step=step)
                for name, value in values.items():
                    event.summary.value.add(tag=name, simple_value=value)
                records.write(event.SerializeToString())


def _scalars(curve: pd.DataFrame) -> Iterator[tuple[int, dict[str, float]]]:
    """Steps of a member with their finite values by name; steps that have none are skipped."""
    for step, *values in curve[["step", *frames.CURVE_VALUES]].itertuples(index=False):
        named = zip(frames.CURVE_VALUES, values, strict=True)
        finite = {name: value for name, value in named if math.isfinite(value)}
        if finite:
            yield step, finite
