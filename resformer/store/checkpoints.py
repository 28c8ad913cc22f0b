"""Checkpoints of attempts, from which the next attempt resumes, and jobs of longer budgets.

`attempt-<k>/checkpoint-<step>.safetensors` holds arrays; the `.json` beside it holds all else and
the hash of the arrays. It is written last, so a checkpoint without it is incomplete.
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
_FILE = re.compile(r"checkpoint-(0|[1-9]\d{0,8})\.(json|safetensors)")


@final
@dataclass(frozen=True)
class Checkpoint:
    """State of a training after some steps."""

    step: int
    arrays: bytes
    """In the format of safetensors."""
    facts: dict[str, Any]


def save(claim: Claim, checkpoint: Checkpoint) -> None:
    """Write a checkpoint of this attempt, then remove earlier ones. Raises DiskError."""
    claim.open()
    path = claim.folder / f"checkpoint-{checkpoint.step}.json"
    facts = {
        "step": checkpoint.step,
        "facts": checkpoint.facts,
        "arrays": _hash(checkpoint.arrays),
        "job": claim.job.name,
    }
    files.write(path.with_suffix(".safetensors"), checkpoint.arrays)
    files.write(path, files.with_checksum(facts) + b"\n")
    _remove(claim.folder, except_for=checkpoint.step)


def best_first(job: Path) -> Iterator[Checkpoint]:
    """Intact checkpoints of all attempts at a job, the furthest first. Raises DiskError."""
    steps = [(step, folder) for folder in _attempts(job) for step in _steps(folder)]
    read = (_read(folder, step, job.name) for step, folder in sorted(steps, reverse=True))
    return (checkpoint for checkpoint in read if checkpoint is not None)


def exist(job: Path) -> bool:
    """Tell whether a job has checkpoints, whole or damaged. Raises DiskError."""
    return any(True for folder in _attempts(job) for _ in _steps(folder))


def discard(claim: Claim, except_for: int | None = None) -> None:
    """Remove all checkpoints of a job, and temporary files of interrupted writes; except for the
    checkpoint that this attempt wrote after so many steps.
    """
    with contextlib.suppress(DiskError):
        for folder in _attempts(claim.job):
            _remove(folder, except_for if folder == claim.folder else None)


def _remove(folder: Path, except_for: int | None = None) -> None:
    with contextlib.suppress(DiskError):
        for name in files.names(folder):
            keep = name.startswith(f"checkpoint-{except_for}.")
            if not keep and _FILE.fullmatch(files.final_name(name)):
                files.remove(folder / name)


def _attempts(job: Path) -> list[Path]:
    """Folders of attempts; a link is none, since no attempt makes one."""
    folders = [job / name for name in files.names(job) if _FOLDER.fullmatch(name)]
    return [folder for folder in folders if not files.linked(folder, parents=0)]


def _steps(folder: Path) -> Iterator[int]:
    return (int(match[1]) for name in files.names(folder) if (match := _NAME.fullmatch(name)))


def _read(folder: Path, step: int, job: str) -> Checkpoint | None:
    path = folder / f"checkpoint-{step}.json"
    try:
        record = files.verify_checksum(files.content(path))
        arrays = files.content(path.with_suffix(".safetensors"))
    except (FileNotFoundError, DiskError):
        return None
    expected = {"job": job, "step": step, "arrays": _hash(arrays)}
    if record is None or any(record.get(key) != value for key, value in expected.items()):
        return None
    facts = record.get("facts")
    return Checkpoint(step=step, arrays=arrays, facts=facts) if isinstance(facts, dict) else None


def _hash(arrays: bytes) -> str:
    return hashlib.sha256(arrays).hexdigest()
