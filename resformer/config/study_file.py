"""A saved study: overrides in YAML, of which nothing but lists of texts is read."""

from pathlib import Path
from typing import Any

import yaml

from resformer.errors import UserError
from resformer.text import error_line

_MOST_BYTES = 32_768
"""Reading twice as many would take a second."""


def grids(path: Path) -> list[list[str]]:
    """The lists of overrides in a study file, which is one or a list of several; UserError for
    anything else.
    """
    try:
        documents = _documents(path)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error_line(error)}") from error
    tree = documents[0] if len(documents) == 1 else None
    lists = (
        [tree] if isinstance(tree, list) and all(isinstance(item, str) for item in tree) else tree
    )
    if (
        not isinstance(lists, list)
        or not lists
        or not all(isinstance(grid, list) for grid in lists)
    ):
        raise UserError(f"{path}: must be a list of overrides (KEY=VALUE), or a list of such lists")
    return lists


def _documents(path: Path) -> list[Any]:
    """Lists of texts, of at most two levels. Anything else that YAML knows is refused before it is
    built.
    """
    if not path.is_file():
        raise UserError(f"{path}: is no file")
    with open(path, "rb") as file:
        data = file.read(_MOST_BYTES + 1)
    if len(data) > _MOST_BYTES:
        raise UserError(f"{path}: is larger than a study file can be, {_MOST_BYTES:,} bytes")
    lists: list[Any] = []
    inside = [lists]
    for event in yaml.parse(data.decode(), Loader=yaml.BaseLoader):
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise UserError(f"{path}: has anchors or aliases (& and *); write the overrides out")
        if (
            getattr(event, "tag", None) is not None
            or isinstance(event, yaml.MappingStartEvent)
            or len(inside) > 3
        ):
            raise UserError(
                f"{path}: must be a list of overrides (KEY=VALUE), or a list of such lists"
            )
        if isinstance(event, yaml.SequenceEndEvent):
            inside.pop()
        elif isinstance(event, yaml.SequenceStartEvent):
            inside[-1].append([])
            inside.append(inside[-1][-1])
        elif isinstance(event, yaml.ScalarEvent):
            inside[-1].append(event.value)
    return lists
