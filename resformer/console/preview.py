"""A sweep before it runs: its settings, and its grid with parameters, FLOPs and memory."""

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.keys import Json, flatten, in_message, short
from resformer.plugins import GROUPS
from resformer.results import presets
from resformer.store.shapes import shape_settings
from resformer.sweep.memory import tensors_kept
from resformer.text import counted

_BYTES = 4
"""Bytes of a number."""


def grid(jobs: Sequence[Json], swept: Sequence[str]) -> RenderableType:
    """A row per shape, by the usual four settings and the swept ones; and the totals of all
    members.

    `MB` is what a member's weights, gradient and the optimiser's tensors take; activations come on
    top.
    """
    shown = [short(key) for key in swept if not key.startswith("member.")]
    settings = [presets.named(shape_settings(job)) for job in jobs]
    usual = ["task", "depth", "residual", "norm"]
    solved = ["model.width"] if len({own["model.width"] for own in settings}) > 1 else []
    axes = list(dict.fromkeys([*usual, *presets.spelt_out([*shown, *solved], settings)]))
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for axis in axes:
        table.add_column(axis, overflow="fold")
    for heading in ("members", "parameters", "MB", "MFLOPs/\nstep", "TFLOPs"):
        table.add_column(heading, justify="right", overflow="fold")
    shapes: dict[tuple[str, ...], list[Json]] = {}
    for job, own in zip(jobs, settings, strict=True):
        shapes.setdefault(tuple(str(own.get(axis, "")) for axis in axes), []).append(job)
    for key, group in shapes.items():
        first = group[0]
        table.add_row(
            *key,
            str(sum(len(job["members"]) for job in group)),
            f"{first['parameters']:,}",
            f"{first['parameters'] * tensors_kept(first) * _BYTES / 1e6:.1f}",
            f"{first['flops_per_step'] / 1e6:,.1f}",
            f"{sum(job['flops'] for job in group) / 1e12:,.2f}",
        )
    members = sum(len(job["members"]) for job in jobs)
    flops = sum(job["flops"] for job in jobs) / 1e12
    totals = (
        f"{counted(members, 'member')} in {counted(len(jobs), 'job')}; {flops:,.1f} TFLOPs in "
        "matrix products if every member uses up its budget"
    )
    return Group(table, *(Text(line) for line in (*_gated_widths(jobs), totals)))


def _gated_widths(jobs: Sequence[Json]) -> list[str]:
    """A line per width of an FFN with a gate."""
    widths = {
        (model["activation"], model["hidden"], job["ffn_width"])
        for job in jobs
        for model in [job["shape"]["model"]]
        if job["ffn_width"] != model["hidden"]
    }
    return [
        f"the FFN with model.activation={activation} is {width} wide, two thirds of "
        f"model.hidden={hidden}, as its gate is a third matrix"
        for activation, hidden, width in sorted(widths)
    ]


def shared_settings(jobs: Sequence[Json]) -> list[str]:
    """KEY=VALUE of each resolved setting that all jobs share."""
    first, *others = (flatten(job["shape"]) for job in jobs)
    names = {f"{key}.name": group for key, group in GROUPS.items()}
    return [
        f"{names.get(key, key)}={in_message(value)}"
        for key, value in first.items()
        if all(key in settings and settings[key] == value for settings in others)
    ]
