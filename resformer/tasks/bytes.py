"""Bytes: the next byte of a text, of windows of a file."""

import dataclasses
import hashlib
import math
import os
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import ClassVar, Self, final

import torch
from torch import Tensor

from resformer.errors import UserError, require, require_between
from resformer.keys import in_message
from resformer.numerics import rng
from resformer.tasks.base import LONGEST, Task

_BYTES = 256
_TRAINED = 0.9
"""Share of a file that is for training; the rest, at its end, is held out."""
_LIBRARY_BYTES = 1 << 20
_MOST_BYTES = 1 << 27
_COUNTED = 1 << 20
"""Bytes that are counted at a time: eight times as much memory is taken."""


@final
@dataclass(frozen=True, kw_only=True)
class Bytes(Task):
    """The source is a window of a file, the target at each of its bytes the one that follows.

        inputs     d e f _ m a i n
        targets    e f _ m a i n (

    Windows begin anywhere in the first nine tenths of the file; the held-out set are windows spread
    evenly over the last tenth. Without a file it is the source of the standard library of this
    Python: its top-level modules without an underscore in front, in the order of their names, up to
    1 MiB: another content in another patch release of Python. The content's SHA-256 is a setting,
    filled in when a study is planned: another content is another job, and a worker that finds
    another one refuses it.

    Not solved but scored: by the loss at equal budgets (`resformer report --score final_loss`), or
    by the steps to `train.target_loss`. Chance is a loss of ln 256 = 5.55; the blind loss is the
    entropy of the frequencies of bytes, 3.08 for the source of Python 3.11, on which four blocks of
    width 32 reach 1.52 in 3,000 steps, of width 64 1.35. On Shakespeare's plays, 1.1 MB, six blocks
    of width 384 reach 1.47 with windows of 256 characters and dropout (README of Karpathy's
    nanoGPT, 2022). Causal only.
    """

    file: str | None
    """Path of the file; None: Python's own source."""
    length: int
    """Bytes of a window."""
    sha256: str | None
    """SHA-256 of the content in hex digits; None before it is read."""

    attention: ClassVar[str] = "causal"
    attentions: ClassVar[tuple[str, ...]] = ("causal",)
    always_in_place: ClassVar[bool] = True

    def __post_init__(self) -> None:
        require_between("task.length", self.length, low=1, high=LONGEST, unit=" bytes")

    def resolved(self) -> Self:
        """The task with an absolute path, and with the digest of what lies there now."""
        file = None if self.file is None else str(Path(self.file).expanduser().absolute())
        content = _read(file)
        least = math.ceil((self.length + 1) / (1 - _TRAINED)) + 1
        require(
            least <= len(content) <= _MOST_BYTES,
            "task.file",
            self.file,
            f"has {len(content):,} bytes; must have from {least:,}, for a window of "
            f"task.length={self.length} in its last tenth, to {_MOST_BYTES:,}",
        )
        _require_digest(self.file, content, self.sha256)
        return dataclasses.replace(self, file=file, sha256=_digest(content))

    @property
    def sequence_length(self) -> int:
        """The setting `length`."""
        return self.length

    @property
    def num_symbols(self) -> int:
        """Number of values of a byte."""
        return _BYTES

    @property
    def num_inputs(self) -> int:
        """Number of windows."""
        return self._num_trained + self.num_held_out

    @property
    def num_held_out(self) -> int:
        """Number of windows in the last tenth."""
        content = self._content()
        return len(content) - _trained(content) - self.length

    @property
    def _num_trained(self) -> int:
        return _trained(self._content()) - self.length

    def draw(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Draw windows that begin anywhere in what is for training."""
        return self._windows(rng.integers(key_P, sequences, self._num_trained))

    def draw_held_out(self, key_P: Tensor, sequences: int) -> tuple[Tensor, Tensor]:
        """Windows that begin at equal distances in what is held out, whatever the keys."""
        place = torch.arange(sequences, device=key_P.device) * self.num_held_out // sequences
        return self._windows((place + _trained(self._content())).expand(len(key_P), -1))

    def _windows(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Sources and targets of windows that begin at these bytes, (P, B)."""
        content = self._content(first.device)
        place = first.unsqueeze(-1) + torch.arange(self.length + 1, device=first.device)
        window = content[place].long()
        return window[..., :-1], window[..., 1:]

    def blind_loss(self) -> float:
        """Entropy of the frequencies of bytes in the whole content."""
        return _entropy(self.file, self.sha256)

    def _content(self, device: torch.device | None = None) -> Tensor:
        return _content(self.file, self.sha256, device or torch.device("cpu"))


def _trained(content: Tensor) -> int:
    """Number of the first bytes, which are for training."""
    return int(_TRAINED * len(content))


@cache
def _content(file: str | None, sha256: str | None, device: torch.device) -> Tensor:
    """Content of a file, uint8, read once per process; UserError if it has another digest."""
    content = _read(file)
    _require_digest(file, content, sha256)
    return torch.frombuffer(bytearray(content), dtype=torch.uint8).to(device)


@cache
def _entropy(file: str | None, sha256: str | None) -> float:
    """Entropy of the frequencies of bytes in a file, in nats."""
    content = _content(file, sha256, torch.device("cpu"))
    counts = sum(
        (part.bincount(minlength=_BYTES) for part in content.split(_COUNTED)),
        torch.zeros(_BYTES, dtype=torch.int64),
    )
    share = counts.double() / len(content)
    return float(-torch.special.xlogy(share, share).sum())


@cache
def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _require_digest(file: str | None, content: bytes, planned: str | None) -> None:
    if planned not in (None, digest := _digest(content)):
        raise UserError(
            f"task.file={in_message(file)}: has other content than planned, of SHA-256 "
            f"{digest[:12]}…, not task.sha256={str(planned)[:12]}…; a new sweep plans with what is "
            "there"
        )


def _read(file: str | None) -> bytes:
    if file is None:
        return _library()
    try:
        now = Path(file).stat()
        return _read_as_of(file, now.st_size, now.st_mtime_ns)
    except (OSError, ValueError) as error:  # a path may have a NUL
        reason = error.strerror if isinstance(error, OSError) else "is no path"
        raise UserError(f"task.file={file}: cannot be read: {reason}") from error


@cache
def _read_as_of(file: str, size: int, changed: int) -> bytes:
    """Content of a file of this size and time: a grid asks for it thousands of times."""
    return Path(file).read_bytes()


@cache
def _library() -> bytes:
    """Source of the public top-level modules of the standard library, in order, up to 1 MiB."""
    folder = Path(os.__file__).parent
    names = sorted(name for name in sys.stdlib_module_names if not name.startswith("_"))
    files = [file for name in names if (file := folder / f"{name}.py").is_file()]
    return b"".join(file.read_bytes() for file in files)[:_LIBRARY_BYTES]
