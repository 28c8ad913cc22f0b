"""Cores, memory and open files that this process may use: those of the machine, or of its
container.
"""

import contextlib
import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

from resformer.errors import require

_ROOT = Path("/")
_LEAST_FILES, _MOST_FILES = 16, 1024
"""Fewest open files that a sweep of two workers needs, and those that are enough for hundreds."""


def cores(root: Path = _ROOT) -> int:
    """Number of CPU cores: those of its affinity, or as many as the quotas of its cgroups allow,
    rounded up; at least 1. `root` holds `proc` and `sys`.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [quota for folder in _cgroups(root) if (quota := _quota(folder)) is not None]
    return max(1, min([count or 1, *(math.ceil(quota) for quota in quotas)]))


def memory(root: Path = _ROOT) -> int | None:
    """Bytes of memory: the machine's, or as many as its cgroups allow; None if nothing says so."""
    limits = [
        int(text)
        for folder in _cgroups(root)
        for name in ("memory.max", "memory.limit_in_bytes")
        if (text := _content(folder / name)).isdecimal()
    ]
    with contextlib.suppress(ValueError, OSError):  # of a system that has no such figure
        limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return min(limits, default=None)


def require_open_files() -> None:
    """Raise the limit of open files as far as it may be raised; UserError if that is too low for
    any work.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < highest:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
    require(
        hard == resource.RLIM_INFINITY or hard >= _LEAST_FILES,
        "ulimit -n",
        hard,
        f"a sweep keeps more files open than that; {_MOST_FILES} would do",
    )


def _quota(folder: Path) -> float | None:
    """Cores of a cgroup by the quota of its time: `cpu.max` of version 2, or the two files of
    version 1; None if there is no quota.
    """
    words = _content(folder / "cpu.max").split() or [
        _content(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")
    ]
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):
        return None
    return int(words[0]) / int(words[1])


def _cgroups(root: Path) -> Iterator[Path]:
    """Folders of the cgroups of this process and of all above them, where a system may mount them.

    In a container the path that `proc` names may be the host's, and the mounted folder its own.
    """
    mounted = root / "sys" / "fs" / "cgroup"
    for line in _content(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        mounts = ("unified", ".") if controllers == "" else (controllers, *controllers.split(","))
        for mount in dict.fromkeys(mounts):
            inner = Path(path.lstrip("/"))
            for group in (inner, *inner.parents):
                yield mounted / mount / group


def _content(path: Path) -> str:
    """Text of a file; "" if it cannot be read."""
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
