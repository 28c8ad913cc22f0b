"""Errors that a user can cause, as one line.

    UserError           the request is wrong: a line on stderr, exit code 2, nothing on disk changes
    └── Incompatible    settings that are each fine but exclude each other: a sweep leaves them out
    Stuck               the request is valid but cannot proceed: a node runs other code, a cluster
                        accepts no workers; one line on stderr, exit code 1, no result is lost
    └── DiskError       the disk is full, read-only, broken or gone

Everything else that is raised is a bug and keeps its traceback.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import final

from resformer.text import shortened

EXHAUSTED = {
    errno.EMFILE: "ulimit -n, or fewer workers",
    errno.ENFILE: "the whole system's limit",
    errno.EAGAIN: "no process or thread can be started; see ulimit -u, or use fewer workers",
    errno.ENOMEM: "the machine's memory, or that of its container; use fewer workers",
}
"""Numbers of an OSError of a system that gives no more, and the limit that was reached."""


class UserError(Exception):
    """One line: the setting, its value, and what would work."""


@final
class Incompatible(UserError):
    """A combination of settings that makes no sense, each of which is fine elsewhere."""


class Stuck(Exception):
    """One line: why work cannot proceed."""


@final
class DiskError(Stuck):
    """One line: the path, the bytes needed, and the reason of the system."""


@contextmanager
def writing(option: str, path: Path, kind: str = "folder") -> Iterator[None]:
    """Turn the errors of writing the file or folder that an option names into UserError."""
    try:
        yield
    except DiskError as error:
        raise UserError(f"{option} {error}; name another {kind}") from error
    except OSError as error:
        raise UserError(
            f"{option} {path}: cannot be written: {error.strerror}; name another {kind}"
        ) from error


def require(condition: bool, setting: str, value: object, requirement: str) -> None:
    """Raise `UserError("setting=value: requirement")` unless the condition holds."""
    if not condition:
        raise UserError(f"{setting}={shortened(str(value))}: {requirement}")


def require_between(setting: str, value: float, *, low: float, high: float, unit: str = "") -> None:
    """Raise UserError unless the value is a number from `low` to `high`."""
    require(low <= value <= high, setting, value, f"must be from {low} to {high}{unit}")
