"""Cost of members that leave: the capture of the step of those that stay."""

import math

import pandas as pd

from lib.bench.cases import Case
from lib.bench.tables import number, table
from lib.gpu.clock import seconds_per_call
from lib.gpu.record import Record, Row
from lib.gpu.steps import COPY, FULL, population, seconds_per_member_step, way

_STACKS = (FULL, 256, 16)
_SECONDS = 0.1


def measure(device: str, record: Record) -> None:
    """A row per number of members and repetition."""
    for members in _STACKS:
        for row in rows(device, COPY, members):
            record(row)


def rows(device: str, case: Case, members: int) -> list[Row]:
    """A row per repetition: seconds of dropping no member, which captures the step anew, and of a
    step.
    """
    trained = population(device, case, members)
    steps = [members * each for each in seconds_per_member_step(device, trained)]
    captures = seconds_per_call(lambda: trained.keep(range(members)), device, _SECONDS)
    return [
        {
            "members": members,
            "compiled": trained.shape.train.compile,
            "capture": capture,
            "step": step,
        }
        for capture, step in zip(captures, steps, strict=True)
    ]


def render(rows: pd.DataFrame) -> str:
    """A line per number of members."""
    lines = []
    for members, part in rows.groupby("members", sort=False):
        capture, step = part["capture"].median(), part["step"].median()
        most = 1 + int(math.log2(int(str(members))))
        cells = [number(1000 * capture), number(1000 * step), number(capture / step), str(most)]
        lines.append([f"{members:,}", *cells])
    head = ["members", "capture, ms", "step, ms", "capture, steps", "most captures of a job"]
    note = (
        "The step is captured anew when half of its rows have left: with P members at most "
        "1 + log2 P times."
    )
    return table(f"{COPY}: what a capture costs, {way(rows)}", head, lines, [note])
