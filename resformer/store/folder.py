"""The results folder: its mark, without which nothing is written among files of something else, and
the names it takes.
"""

import contextlib
import re
from pathlib import Path

from resformer.errors import DiskError, UserError
from resformer.store import files
from resformer.text import shortened

MARK = ".resformer"
PROBES = "probes"
"""The folder in a results folder for probes, which are no studies."""
TRAINED = "train"
"""The study of all that `resformer train` has trained."""
_TEXT = b"Results of resformer, one folder per study.\n"
_OF_THE_DISK = ("lost+found", ".DS_Store")
"""Names in a folder that nobody has used yet."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def make(results: Path) -> None:
    """Make the results folder if it does not exist, and mark it as resformer's. Raises UserError if
    that fails, and then what it made is gone.
    """
    made: list[Path] = []
    try:
        made += [path for path in (results, *results.parents) if not path.exists()]
        results.mkdir(parents=True, exist_ok=True)
        if not files.exists(results / MARK):
            files.sync(results.parent)
            files.create(results / MARK, _TEXT)
    except (OSError, DiskError) as error:
        for path in made:
            with contextlib.suppress(OSError):
                path.rmdir()
        trouble = f"cannot be made: {error.strerror}" if isinstance(error, OSError) else error
        raise UserError(f"--results {results}: {trouble}; name another folder") from error


def check(results: Path) -> None:
    """Raise UserError unless the results folder is marked, empty or can be made: for writers."""
    check_place(results)
    names = {name for name in files.names(results) if name not in _OF_THE_DISK}
    # A kill between its temporary file and the link leaves the mark's temporary file alone.
    if MARK not in names and any(files.final_name(name) != MARK for name in names):
        raise UserError(
            f"--results {results}: holds files of something else (there is no {MARK} in it); "
            f"use a new or empty one, or if it is a copy of results: touch {results / MARK}"
        )


def check_place(results: Path) -> None:
    """Raise UserError unless the results folder is a folder or can be made: for readers."""
    try:
        nearest = next((path for path in (results, *results.parents) if path.exists()), results)
        is_folder = nearest.is_dir() or not nearest.exists()
    except OSError as error:
        raise UserError(
            f"--results {shortened(str(results))}: {error.strerror}; name another folder"
        ) from error
    if not is_folder:
        raise UserError(f"--results {results}: {nearest} is a file; name a folder")


def is_name(name: str) -> bool:
    """Tell whether a name can be that of a study."""
    return _NAME.fullmatch(name) is not None and name != PROBES


def check_name(name: str) -> str:
    """Return the name of a study, or raise UserError: it becomes a folder, so it must not be a
    path.
    """
    if not _NAME.fullmatch(name):
        raise UserError(
            f"study {shortened(repr(name))}: a name of at most 100 letters, digits, '.', '_' and "
            "'-', starting with a "
            "letter or digit"
        )
    if name == PROBES:
        raise UserError(
            f"study {name}: is the folder of what resformer probe writes; choose another name"
        )
    return name


def probes(results: Path, name: str) -> Path:
    """Folder of the probe of this name in a results folder, which is made. Raises UserError."""
    check(results)
    path = results / PROBES / check_name(name)
    for place in (path.parent, path):
        if files.linked(place, parents=0):
            raise UserError(
                f"--results {results}: {place} is a link, and what lies behind may be somebody "
                "else's; move it away, or name its folder: --to"
            )
    make(results)
    return path
