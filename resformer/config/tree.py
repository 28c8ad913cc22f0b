"""The tree of all settings, composed by Hydra from `configs/`, and what an override may change in
it.
"""

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resformer import plugins
from resformer.config import hints
from resformer.errors import Incompatible, UserError
from resformer.keys import Json, Value, flatten, in_message
from resformer.plugins import GROUPS, PACKAGES, PRESETS, config_folder
from resformer.text import error_line, short_path, shortened

_CHOOSING = (*GROUPS, *PRESETS)
"""Keys that choose files of settings."""
_GLOBAL = re.compile(r"\s*# *@package +_global_ *$", re.MULTILINE)
"""First line of a YAML whose keys are sections, as Hydra has it."""
_PACKAGE = re.compile(r"^\s*(#\s*@package\b.*?)\s*$", re.MULTILINE)
"""Line that Hydra reads, or would at the top, as the place of a YAML's keys in the tree."""


def keys() -> list[str]:
    """Every key that can be set with the default variants."""
    return [*GROUPS, *PRESETS, *(key for key in flatten(composed(())) if not key.endswith(".name"))]


def settings(point: Mapping[str, Value]) -> Json:
    """All settings by section, these values in the places of the defaults.

    Keys are as `check_key` lets through: Incompatible for one that only other variants have.
    """
    tree = _copied(composed(_choices(point)))
    for key, value in point.items():
        if key not in _CHOOSING:
            _set(tree, key, value)
    return tree


def member_defaults(point: Mapping[str, Value]) -> dict[str, Value]:
    """Settings of the section `member` with the variants of a point."""
    return dict(composed(_choices(point))["member"])


def _choices(point: Mapping[str, Value]) -> tuple[tuple[str, str], ...]:
    """Files of settings that a point chooses."""
    return tuple((key, str(value)) for key, value in point.items() if key in _CHOOSING)


def preset_of(key: str, point: Mapping[str, Value]) -> str:
    """The preset, as typed, that gives a setting its value in this combination; "" if the setting
    was given itself, or by no preset that was chosen.
    """
    section, _, name = key.partition(".")
    if key in point or section not in PRESETS or section not in point:
        return ""
    path = config_folder() / section / f"{point[section]}.yaml"
    given = yaml.safe_load(path.read_text(encoding="utf-8"))
    return f"{section}={point[section]}" if name in given else ""


def check_key(key: str, values: Sequence[Value]) -> None:
    """Raise UserError if there is no such setting, whatever the variants; `values` are those that
    it was given.
    """
    known = keys()
    of_variant = any(key.startswith(f"{group}.") for group in GROUPS)
    is_section = any(name.startswith(f"{key}.") for name in known)
    if key not in known and not of_variant and not is_section:
        raise UserError(_unknown(key, values))


def _unknown(key: str, values: Sequence[Value]) -> str:
    text = shortened(",".join(map(in_message, values)))
    return f"{shortened(key)}={text}: there is no such setting; {hints.key(key, values, keys())}"


def _unknown_of_variant(key: str, value: Value, tree: Json) -> str:
    """A key that the variant of its group in this tree does not have."""
    group = next((group for group in GROUPS if key.startswith(f"{group}.")), "")
    if not group:
        return _unknown(key, [value])
    own: Any = tree
    for part in group.split("."):
        own = own[part]
    names = [name for name in own if name != "name"]
    hint = hints.of_variant(key, group, own["name"], names, keys())
    return f"{shortened(key)}={shortened(in_message(value))}: {hint}"


@cache
def composed(groups: tuple[tuple[str, str], ...]) -> Json:
    """The tree of these variants, as plain values. Composing takes 50 ms, so it is done once per
    choice.
    """
    chosen = [(key, name) for key, name in groups if key in GROUPS]
    variants = {key: _read(key, name) for key, name in chosen if key != "engine"}
    brought = [(key, name) for key, name in chosen if name in plugins.external_names(PACKAGES[key])]
    own = [f"{GROUPS.get(key, key)}={name}" for key, name in groups if (key, name) not in brought]
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(config_folder().resolve())):
            tree = OmegaConf.to_container(compose("config", overrides=own), resolve=False)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # a line # @... amiss
        raise UserError(f"{' '.join(own)}: {error_line(error)}") from error
    assert isinstance(tree, dict)
    sections = {str(key): value for key, value in tree.items()}
    for key, _ in brought:
        _put(sections, key, *variants[key])
    return sections


def _read(key: str, name: str) -> tuple[Json, Json]:
    """A variant's own settings, and those of other sections, as its YAML says them; UserError if it
    is no YAML or not that of the variant.
    """
    external = name in plugins.external_names(PACKAGES[key])
    path, where = plugins.settings_file(PACKAGES[key], name), f"{GROUPS[key]}={name}"
    try:
        text = path.read_text(encoding="utf-8")
        bare = isinstance(yaml.compose(text), yaml.ScalarNode)  # OmegaConf asserts that it is not
        loaded: Any = None if bare else OmegaConf.to_container(OmegaConf.create(text))
    except (OmegaConfBaseException, yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        file = short_path(str(path)) if external else path.relative_to(config_folder().parent)
        raise UserError(f"{where}: {file}: {_yaml_line(error)}") from error
    says, (*above, last) = f"{where}: its {name}.yaml", key.split(".")
    if not isinstance(loaded, dict):
        raise UserError(f"{says} must have a setting per line, KEY: VALUE")
    # A variant's settings alone, or sections, of which one is the variant's.
    top = _GLOBAL.match(text)
    in_sections = last in loaded if external else top is not None
    if not external and (line := _PACKAGE.search(text, top.end() if top else 0)):
        raise UserError(
            f"{says} says {line[1]}; such a line must be # @package _global_, at its top"
        )
    if last in loaded and not in_sections:
        raise UserError(f"{says} lacks the line # @package _global_ at its top")
    node: Any = loaded
    for part in above if in_sections and not external else []:
        node = node.get(part) if isinstance(node, dict) else None
    own = node.pop(last, None) if in_sections and isinstance(node, dict) else node
    called = own.get("name") if isinstance(own, dict) else None
    if called != name:
        under = f" under {last}:" if in_sections else ""
        must = f"must say name: {name}{under}"
        wrong = f"says name: {in_message(str(called))}; it must be name: {name}"
        raise UserError(f"{says} {must if called is None else wrong}")
    sections = loaded if in_sections else {}
    _check_sections(key, name, sections)
    return own, sections


def _yaml_line(error: Exception) -> str:
    """The line of a YAML that is wrong, and why, in a line."""
    if not isinstance(error, yaml.MarkedYAMLError):
        return error_line(error)
    # That a key lacks its colon is noticed on a line further down.
    of_key = error.context == "while scanning a simple key"
    mark = error.context_mark if of_key else error.problem_mark
    return f"line {mark.line + 1}: {error.problem}" if mark else error_line(error)


def _check_sections(key: str, name: str, sections: Json) -> None:
    """Raise UserError if a variant's YAML says what are no settings of other sections."""
    for section, values in sections.items():
        known = composed(()).get(section)
        if known is not None and not isinstance(known, dict):
            raise UserError(
                f"{GROUPS[key]}={name}: its {name}.yaml says {section}: "
                f"{in_message(str(values))}; it may have sections of settings only"
            )
        if (
            not isinstance(known, dict)
            or not isinstance(values, dict)
            or not set(values) <= set(known)
        ):
            raise UserError(
                f"{GROUPS[key]}={name}: its {name}.yaml says {section}: "
                f"{in_message(str(values))}, which are no settings"
            )


def _put(tree: Json, key: str, own: Json, sections: Json) -> None:
    """Put the settings of a variant from another package in their place, and what it says of other
    sections.
    """
    for section, values in sections.items():
        tree[section].update(values)
    *path, last = key.split(".")
    node = tree
    for part in path:
        node = node[part]
    node[last] = own


def _copied(tree: Json) -> Json:
    return {
        key: _copied(value) if isinstance(value, dict) else value for key, value in tree.items()
    }


def _set(tree: Json, key: str, value: Value) -> None:
    """Replace one leaf of the tree."""
    *path, last = key.split(".")
    node: Any = tree
    for part in path:
        node = node.get(part) if isinstance(node, dict) else None
    if not isinstance(node, dict) or last not in node:
        raise Incompatible(_unknown_of_variant(key, value, tree))
    if isinstance(node[last], dict):
        raise UserError(
            f"{key}={in_message(value)}: is a group of settings; set one of "
            f"{', '.join(f'{key}.{k}' for k in node[last])}"
        )
    if last == "name":
        text = in_message(value)
        raise UserError(f"{key}={text}: choose it with {GROUPS['.'.join(path)]}={text}")
    node[last] = value
