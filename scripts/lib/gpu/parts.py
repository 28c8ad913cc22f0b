"""Parts of the measurement, each in a process of its own: `python -m lib.gpu.parts NAME FILE`."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import final

import pandas as pd

from lib.gpu import (
    answer,
    breakdown,
    captures,
    ceilings,
    contract,
    limited,
    peers,
    sharing,
    steps,
)
from lib.gpu.record import Record, to_csv


@final
@dataclass(frozen=True)
class Part:
    """Something to measure: the file of its rows, the seconds it may take besides those that parts
    before it have left over, and its table.
    """

    file: str
    seconds: int
    measure: Callable[[str, Record], None]
    """Takes the device."""
    render: Callable[[pd.DataFrame], str]


PARTS = {
    "contract": Part("contract.csv", 60, contract.measure, contract.render),
    "kernels": Part("kernels.csv", 45, partial(steps.measure, compiled=True), steps.render),
    "torch": Part("torch.csv", 30, partial(steps.measure, compiled=False), steps.render),
    "quick": Part("quick.csv", 55, answer.measure, answer.render),
    "ceilings": Part("ceilings.csv", 15, ceilings.measure, ceilings.render),
    "script": Part("script.csv", 15, peers.measure_script, peers.render),
    "jax": Part("jax.csv", 25, peers.measure_jax, peers.render),
    "captures": Part("captures.csv", 13, captures.measure, captures.render),
    "sharing": Part("sharing.csv", 30, sharing.measure, sharing.render),
    "breakdown": Part("breakdown.csv", 13, breakdown.measure, breakdown.render),
    "workers": Part("workers.csv", 49, answer.measure_workers, answer.render_workers),
}
"""The most important first. Together they take less than six minutes."""


def run(name: str, file: Path, seconds: float) -> str:
    """Measure a part on the GPU for so many seconds at most; returns the reason why it failed, ""
    if it did not.

    The file has the rows that were measured until then; there is none without a row.
    """
    file.unlink(missing_ok=True)
    words = [sys.executable, "-P", "-m", "lib.gpu.parts", name, str(file)]
    reason = limited.run(words, seconds)
    if file.exists() and not file.stat().st_size:
        file.unlink()
    return reason


if __name__ == "__main__":
    with open(sys.argv[2], "w", newline="") as opened:
        PARTS[sys.argv[1]].measure("cuda", to_csv(opened))
