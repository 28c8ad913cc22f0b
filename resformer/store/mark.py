"""The mark of a results folder: nothing is written among files of something else."""

from pathlib import Path

from resformer.errors import DiskError, UserError
from resformer.store import files

NAME = ".resformer"
_TEXT = b"Results of resformer, one folder per study.\n"


def make(results: Path) -> None:
    """Make the results folder if it is not there, and mark it as resformer's; UserError if that
    cannot be done.
    """
    try:
        results.mkdir(parents=True, exist_ok=True)
        files.sync(results.parent)
        files.create(results / NAME, _TEXT)
    except OSError as error:
        raise UserError(
            f"--results {results}: cannot be made: {error.strerror}; name another folder"
        ) from error
    except DiskError as error:
        raise UserError(f"--results {results}: {error}; name another folder") from error


def missing(results: Path) -> bool:
    """Whether the folder holds something and is not marked."""
    names = files.names(results)
    # A kill between its temporary file and the link leaves the mark's temporary file alone.
    return NAME not in names and any(not name.startswith(f".{NAME}.") for name in names)
