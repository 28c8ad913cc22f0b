"""Saved studies and claims: YAML, of which nothing but texts, lists and mappings is read."""

from pathlib import Path
from typing import TypeGuard

import yaml

from resformer.errors import UserError
from resformer.text import error_line

_MOST_BYTES = 32_768
"""Reading twice as many would take a second."""
_DEEPEST = 6
"""Levels of lists and mappings inside each other."""
_MUST = "must be a list of overrides (KEY=VALUE), or a list of such lists"


def grids(path: Path) -> list[list[str]]:
    """The lists of overrides in a study file, which is one or a list of several; UserError for
    anything else.
    """
    lists = as_grids(plain(path))
    if lists is None:
        raise UserError(f"{path}: {_MUST}")
    return lists


def as_grids(tree: object) -> list[list[str]] | None:
    """A list of texts, or a list of such lists, as the latter; None if it is neither."""
    lists = [tree] if _is_texts(tree) else tree
    return lists if isinstance(lists, list) and lists and all(map(_is_texts, lists)) else None


def _is_texts(tree: object) -> TypeGuard[list[str]]:
    return isinstance(tree, list) and all(isinstance(item, str) for item in tree)


def plain(path: Path) -> object:
    """The one document of a YAML file: texts, lists and mappings, whatever else YAML makes of a
    text. Anything else that it knows is refused before it is built.
    """
    if not path.is_file():
        raise UserError(f"{path}: is no file")
    try:
        with open(path, "rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise UserError(f"{path}: is larger than such a file can be, {_MOST_BYTES:,} bytes")
        _check_events(path, data.decode())
        _check_keys(path, yaml.compose(data.decode(), Loader=yaml.BaseLoader))
        return yaml.load(data.decode(), Loader=yaml.BaseLoader)
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read as YAML: {error_line(error)}") from error


def _check_events(path: Path, text: str) -> None:
    """Raise UserError for aliases, tags, deep nesting and keys that are no texts."""
    level = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        if isinstance(event, yaml.NodeEvent) and event.anchor is not None:
            raise UserError(f"{path}: has anchors or aliases (& and *); write them out")
        tag = getattr(event, "tag", None)
        if tag is not None:
            raise UserError(f"{path}: has a tag, {tag}; write texts, lists and mappings only")
        level += isinstance(event, yaml.CollectionStartEvent)
        level -= isinstance(event, yaml.CollectionEndEvent)
        if level > _DEEPEST:
            raise UserError(f"{path}: is nested deeper than {_DEEPEST} levels")


def _check_keys(path: Path, node: yaml.Node | None) -> None:
    """Raise UserError for a mapping that has a key twice, of which YAML would take the last."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(path, item)
    if isinstance(node, yaml.MappingNode):
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if twice := [key for number, key in enumerate(keys) if key in keys[:number]]:
            raise UserError(f"{path}: has {twice[0]} twice in one mapping; write it once")
        for _, value in node.value:
            _check_keys(path, value)
