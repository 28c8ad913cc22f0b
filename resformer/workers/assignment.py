"""The assignment of a worker, and the launch that it belongs to."""

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import final

from resformer.errors import Stuck
from resformer.keys import Json
from resformer.plan import provenance
from resformer.store.study import Study


@final
@dataclass(frozen=True, kw_only=True)
class Assignment:
    """The work of a launch: its study, its jobs longest first, and the rules for running them."""

    study: Path
    launch: int
    jobs: tuple[str, ...]
    retries: int
    lease_seconds: float
    checkpoint_seconds: float
    """Least time between two checkpoints of a job; 0: one before every step."""
    keep_checkpoint: bool
    """True to keep the last checkpoint of a job whose unsolved members a longer budget could train
    on.
    """
    recompute: bool = False
    """True to compute the activations of each block again in the backward pass, for memory."""


def own_launch(path: Path, number: int) -> Json:
    """The record of a launch of the study in this folder, made with this process's code.

    Raises Stuck where the launch is not there, or was planned with other code or versions.
    """
    study = Study(path)
    launch = next((launch for launch in study.launches() if launch["launch"] == number), None)
    if launch is None:
        raise Stuck(f"{study.path}: there is no launch {number} here; is the folder shared?")
    if difference := provenance.unlike(launch):
        raise Stuck(
            f"{platform.node()}: study {study.name} {difference}; code or compiler changed since "
            "the launch, or differ here: run the command again, with the same on every node"
        )
    return launch
