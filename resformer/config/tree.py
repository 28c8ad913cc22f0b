"""The tree of all settings, composed by Hydra from `configs/`, and what an override may change in
it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from resformer import plugins
from resformer.config import hints
from resformer.errors import Incompatible, UserError
from resformer.keys import Json, Value, flatten, in_message
from resformer.plugins import GROUPS, PACKAGES, config_folder
from resformer.text import error_line, shortened


def keys() -> list[str]:
    """Every key that can be set with the default variants."""
    return [*GROUPS, *(key for key in flatten(composed(())) if not key.endswith(".name"))]


def settings(point: Mapping[str, Value]) -> Json:
    """All settings by section, these values in the places of the defaults.

    Keys are as `check_key` lets through: Incompatible for one that only other variants have.
    """
    tree = _copied(
        composed(tuple((key, str(value)) for key, value in point.items() if key in GROUPS))
    )
    for key, value in point.items():
        if key not in GROUPS:
            _set(tree, key, value)
    return tree


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
    brought = [(key, name) for key, name in groups if name in plugins.external_names(PACKAGES[key])]
    own = [f"{GROUPS[key]}={name}" for key, name in groups if (key, name) not in brought]
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder().resolve())):
        tree = OmegaConf.to_container(compose("config", overrides=own), resolve=False)
    assert isinstance(tree, dict)
    sections = {str(key): value for key, value in tree.items()}
    for key, name in brought:
        _put(sections, key, name)
    return sections


def _put(tree: Json, key: str, name: str) -> None:
    """Put the settings of a variant from another package in their place, and what it says of other
    sections.
    """
    where, (*path, last) = f"{GROUPS[key]}={name}", key.split(".")
    try:
        loaded = OmegaConf.to_container(
            OmegaConf.load(plugins.external_settings(PACKAGES[key], name)), resolve=False
        )
    except (
        plugins.PluginError,
        OmegaConfBaseException,
        yaml.YAMLError,
        UnicodeDecodeError,
        OSError,
    ) as error:
        raise UserError(f"{where}: {error_line(error)}") from error
    # As in our own files: a variant's settings alone, or sections, of which one is the variant's.
    sections: Any = loaded if isinstance(loaded, dict) and last in loaded else {last: loaded}
    own = sections.pop(last)
    if not isinstance(own, dict) or own.get("name") != name:
        raise UserError(f"{where}: its {name}.yaml must say name: {name}")
    for section, values in sections.items():
        known = tree.get(section)
        if (
            not isinstance(known, dict)
            or not isinstance(values, dict)
            or not set(values) <= set(known)
        ):
            raise UserError(
                f"{where}: its {name}.yaml says {section}: {in_message(str(values))}, which are "
                "no settings"
            )
        known.update(values)
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
