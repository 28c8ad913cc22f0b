"""Files and folders that nobody but this user, or root, can have written."""

import os
import stat
from collections.abc import Callable
from pathlib import Path

_WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def distrust(path: Path, is_kind: Callable[[int], bool]) -> str:
    """Reason, in words behind a path, why others could have written or replaced what is there; ""
    if it is of this kind (such as `stat.S_ISREG`), of this user or root, and others cannot write to
    it. Raises OSError if there is nothing.
    """
    status = path.lstat()
    if stat.S_ISLNK(status.st_mode):
        return "is a link, and what lies behind may be another user's"
    if not is_kind(status.st_mode):
        return "is of another kind"
    if status.st_uid not in (os.geteuid(), 0):
        return "is another user's"
    return "others may write to it (chmod go-w ends that)" if status.st_mode & _WRITABLE else ""


def distrust_above(path: Path) -> str:
    """The nearest folder above a path, which is absolute and without links, whose owner or whose
    writers could exchange what is in it, and the reason; "" if there is none.

    In a sticky folder, such as /tmp, only root and the owners of folder and entry can. The owner of
    `/` is root, also where a container shows another number.
    """
    trusted = (os.geteuid(), 0, Path("/").lstat().st_uid)
    for folder in path.parents:
        status = folder.lstat()
        if status.st_uid not in trusted:
            return f"{folder}: is another user's"
        if status.st_mode & _WRITABLE and not status.st_mode & stat.S_ISVTX:
            return f"{folder}: others may write to it (chmod go-w ends that)"
    return ""
