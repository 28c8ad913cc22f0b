"""Cache folder of this user: what is computed once and kept, and trusted since nobody else can have
written it.
"""

import os
import stat
from pathlib import Path
from typing import final

from resformer.numerics.trusted import distrust, distrust_above


@final
class CacheUnavailable(Exception):
    """One line: why there is no cache folder that only this user, or root, can have written to."""


def cache_folder() -> Path:
    """`resformer` in `XDG_CACHE_HOME`, or in `~/.cache`, without links; made, as are those above
    it, for this user alone if missing.

    A relative `XDG_CACHE_HOME` is ignored, as its specification (XDG Base Directory 0.8) demands: a
    folder from elsewhere could bring its own. Raises CacheUnavailable if the folder cannot be made,
    is a link or no folder, is another user's, or if others may write to it or exchange it.
    """
    try:
        kept = Path(os.environ.get("XDG_CACHE_HOME", ""))
        above = kept if kept.is_absolute() else Path.home() / ".cache"
        if not above.is_absolute():
            raise CacheUnavailable(f"{above}: is no absolute path; set HOME to one")
        for place in (*reversed(above.parents), above):
            place.mkdir(mode=0o700, exist_ok=True)
        folder = above.resolve() / "resformer"
        if not folder.is_symlink():
            folder.mkdir(mode=0o700, exist_ok=True)
        if reason := distrust(folder, stat.S_ISDIR):
            raise CacheUnavailable(
                f"{folder}: {reason}; delete it, or set XDG_CACHE_HOME to a folder of yours"
            )
        if reason := distrust_above(folder):
            raise CacheUnavailable(f"{reason}; set XDG_CACHE_HOME to a folder below another one")
    except OSError as error:
        raise CacheUnavailable(f"{error.filename}: cannot be made: {error.strerror}") from error
    except RuntimeError as error:
        raise CacheUnavailable(f"there is no home folder: {error}") from error
    return folder
