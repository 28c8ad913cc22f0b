"""How far an attempt has come, so that the next one can go on from there.

`attempt-<k>/checkpoint-<step>.safetensors` holds arrays, the `.json` beside it everything else and
the hash of the arrays; it is written last, so a checkpoint without it is none.
"""

import contextlib
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from resformer.errors import DiskError
from resformer.store import files
from resformer.store.claims import Claim

_FOLDER = re.compile(r"attempt-[1-9]\d{0,8}")
_NAME = re.compile(r"checkpoint-(0|[1-9]\d{0,8})\.json")


@final
@dataclass(frozen=True)
class Checkpoint:
    """What an attempt had after so many steps."""

    step: int
    arrays: bytes
    """In the format of safetensors."""
    facts: dict[str, Any]


def save(claim: Claim, found: Checkpoint) -> None:
    """Write a checkpoint of this attempt, and then remove the ones before. Raises DiskError."""
    claim.open()
    path = claim.folder / f"checkpoint-{found.step}.json"
    facts = {
        "step": found.step,
        "facts": found.facts,
        "arrays": _hash(found.arrays),
        "job": claim.job.name,
    }
    files.write(path.with_suffix(".safetensors"), found.arrays)
    files.write(path, files.with_checksum(facts) + b"\n")
    _remove(claim.folder, except_for=found.step)


def best_first(claim: Claim) -> Iterator[Checkpoint]:
    """All that attempts left whole, this one too, the one furthest on first; a damaged one is as
    good as none.
    """
    steps = [(step, folder) for folder in _attempts(claim.job) for step in _steps(folder)]
    found = (_read(folder, step, claim.job.name) for step, folder in sorted(steps, reverse=True))
    return (checkpoint for checkpoint in found if checkpoint is not None)


def discard(job: Path) -> None:
    """Remove all checkpoints of a job, and what a kill left half-written beside them."""
    with contextlib.suppress(DiskError):
        for folder in _attempts(job):
            _remove(folder)


def _remove(folder: Path, except_for: int | None = None) -> None:
    with contextlib.suppress(DiskError):
        for name in files.names(folder):
            keep = name.startswith(f"checkpoint-{except_for}.")
            if not keep and name.lstrip(".").startswith("checkpoint-"):
                files.remove(folder / name)


def _attempts(job: Path) -> list[Path]:
    return [job / name for name in files.names(job) if _FOLDER.fullmatch(name)]


def _steps(folder: Path) -> Iterator[int]:
    return (int(match[1]) for name in files.names(folder) if (match := _NAME.fullmatch(name)))


def _read(folder: Path, step: int, job: str) -> Checkpoint | None:
    path = folder / f"checkpoint-{step}.json"
    try:
        told = files.verify_checksum(files.content(path))
        arrays = files.content(path.with_suffix(".safetensors"))
    except (FileNotFoundError, DiskError):
        return None
    if told is None or (told.get("job"), told.get("step"), told.get("arrays")) != (
        job,
        step,
        _hash(arrays),
    ):
        return None
    facts = told.get("facts")
    return Checkpoint(step, arrays, facts) if isinstance(facts, dict) else None


def _hash(arrays: bytes) -> str:
    return hashlib.sha256(arrays).hexdigest()
