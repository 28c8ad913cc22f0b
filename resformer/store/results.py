"""The results folder: which studies it holds, by name."""

import re
from pathlib import Path

from resformer.errors import UserError
from resformer.store import files, mark
from resformer.store.study import Study
from resformer.text import shortened

PROBES = "probes"
"""The folder in a results folder for what is no study."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def check_name(name: str) -> str:
    """The name of a study, or UserError: it becomes a folder, so it must not be a path."""
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


def find(results: Path, name: str) -> Study:
    """The study of that name, there or not yet;
    UserError if its place is taken by something else.
    """
    study = Study(results / check_name(name))
    _check_results(results)
    there = files.names(study.path)
    # In this order, for another sweep may be making the folder at this moment.
    taken = (
        "launches" not in there if there else files.exists(study.path) and not study.path.is_dir()
    )
    if taken:
        raise UserError(
            f"study {name}: {study.path} is there and is no study of resformer; choose another name"
        )
    return study


def existing(results: Path) -> list[Study]:
    """The studies in a results folder, the one launched last first."""
    _check_results(results)
    there = [
        study for path in results.glob("*/launches") if (study := Study(path.parent)).launched()
    ]
    started = {
        study: max((str(launch["started"]) for launch in study.launches()), default="")
        for study in there
    }
    return sorted(there, key=lambda study: started[study], reverse=True)


def named(results: Path, name: str) -> Study:
    """The study of that name; UserError, with the names of those there are, if it is not there."""
    study = find(results, name)
    if not study.launched():
        names = (
            ", ".join(study.name for study in existing(results))
            or "none; resformer sweep makes one"
        )
        raise UserError(f"study {name}: is not in {results}; there are {names}")
    return study


def probes(results: Path, name: str) -> Path:
    """The folder for a probe of that name, in a results folder, which is made; UserError if it
    cannot be one.
    """
    _check_results(results)
    folder = results / PROBES / check_name(name)
    mark.make(results)
    return folder


def _check_results(results: Path) -> None:
    try:
        nearest = next((path for path in (results, *results.parents) if path.exists()), results)
        is_folder = nearest.is_dir() or not nearest.exists()
    except OSError as error:
        raise UserError(
            f"--results {shortened(str(results))}: {error.strerror}; name another folder"
        ) from error
    if not is_folder:
        raise UserError(f"--results {results}: {nearest} is a file; name a folder")
    if mark.missing(results):
        raise UserError(
            f"--results {results}: holds files of something else (there is no {mark.NAME} in it); "
            "use a new or empty one"
        )
