"""Cache folder of this user: what is computed once and kept, and trusted since nobody else can have
written it.
"""

import os
import stat
from pathlib import Path
from typing import final


@final
class CacheUnavailable(Exception):
    """One line: why there is no cache folder that only this user, or root, can have written to."""


def cache_folder() -> Path:
    """`resformer` in `XDG_CACHE_HOME`, or in `~/.cache`; made, for this user alone, if missing.

    A relative `XDG_CACHE_HOME` is ignored, as its specification (XDG Base Directory 0.8) demands: a
    folder from elsewhere could bring its own. Raises CacheUnavailable if the folder cannot be made,
    is a link or no folder, is another user's, or is one that others may write to.
    """
    try:
        kept = Path(os.environ.get("XDG_CACHE_HOME", ""))
        folder = (kept if kept.is_absolute() else Path.home() / ".cache") / "resformer"
        if not folder.is_absolute():
            raise CacheUnavailable(f"{folder}: is no absolute path; set HOME to one")
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not folder.is_symlink():
            folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError as error:
        raise CacheUnavailable(f"{error.filename}: cannot be made: {error.strerror}") from error
    except RuntimeError as error:
        raise CacheUnavailable(f"there is no home folder: {error}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise CacheUnavailable(f"{folder}: is a link, and what lies behind may be another user's")
    if status.st_uid not in (os.geteuid(), 0):
        raise CacheUnavailable(
            f"{folder}: is another user's; set XDG_CACHE_HOME to a folder of yours"
        )
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise CacheUnavailable(
            f"{folder}: others may write to it; delete it, or empty it and make it mode 700"
        )
    return folder
