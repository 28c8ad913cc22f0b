"""Shell completion of KEY=VALUE, from the YAML files alone: torch takes seconds to import."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from resformer import plugins
from resformer.keys import CHOICES, flatten
from resformer.plugins import GROUPS, PACKAGES, PRESETS, config_folder

_ZIP = re.compile(r"(?P<before>zip\((?:.*\s)?)(?P<last>\S*)")


def complete(words: Sequence[str], incomplete: str) -> Iterator[str]:
    """Completions of the last word, given the words before it.

    bash takes `=` for a word of its own, so that KEY=VALUE arrives as up to three words and only
    VALUE is replaced (of KEY=, Typer leaves KEY and nothing); zsh and fish keep it whole. The last
    word of a key stands for the key, if it is of one only. In a zip the last KEY=VALUE is
    completed.
    """
    if zipped := _ZIP.fullmatch(incomplete):
        yield from (f"{zipped['before']}{each}" for each in complete([], zipped["last"]))
        return
    if incomplete in ("", "=") and words and words[-1] in default_settings():
        yield from _values(words[-1], "")
    elif len(words) > 1 and words[-1] == "=":
        yield from _values(words[-2], incomplete)
    elif "=" in incomplete:
        key, _, start = incomplete.partition("=")
        yield from (f"{key}={value}" for value in _values(key, start))
    else:
        keys = default_settings()
        begun = [key for key in keys if key.startswith(incomplete)]
        ends = [key for key in keys if key.rpartition(".")[2] == incomplete]
        yield from (f"{key}=" for key in begun or (ends if len(ends) == 1 else []))


def studies_in(results: Path, incomplete: str) -> list[str]:
    """Names of the studies in a results folder that begin so."""
    names = (path.parent.name for path in results.glob("*/launches"))
    return sorted(name for name in names if name.startswith(incomplete))


def study_files(incomplete: str) -> list[str]:
    """Names of the study files that begin so."""
    return sorted(name for name in plugins.studies() if name.startswith(incomplete))


def claims(incomplete: str) -> list[str]:
    """Names of the claims that begin so, and YAML files and folders."""
    names = [name for name in plugins.claims() if name.startswith(incomplete)]
    begun = Path(incomplete)
    folder = begun if incomplete.endswith("/") else begun.parent
    paths = [
        f"{path}/" if path.is_dir() else str(path)
        for path in sorted(folder.glob("*"))
        if path.suffix == ".yaml" or path.is_dir()
    ]
    return names + [path for path in paths if incomplete and path.startswith(incomplete)]


def keys(incomplete: str) -> list[str]:
    """Keys that begin so, for options that take one."""
    return [key for key in default_settings() if key.startswith(incomplete)]


def _values(key: str, start: str) -> list[str]:
    """Values of a key that begin with `start`; of a list a,b,c the last one is completed."""
    done, comma, last = start.rpartition(",")
    if key == "model.residual" or isinstance(default_settings().get(key), bool):
        values: Sequence[str] = ("true", "false")
    else:
        package = PACKAGES.get(plugins.canonical(key))
        choices = plugins.presets(key) if key in PRESETS else CHOICES.get(key, ())
        values = plugins.names(package) if package else choices
    return [f"{done}{comma}{value}" for value in values if value.startswith(last)]


def default_settings() -> dict[str, Any]:
    """Every key that can be set with the default variants, and its default."""
    tree = yaml.safe_load((config_folder() / "config.yaml").read_text(encoding="utf-8"))
    settings: dict[str, Any] = {"model/residual": None, **dict.fromkeys((*GROUPS, *PRESETS))}
    for default in tree.pop("defaults"):
        for group, name in default.items() if isinstance(default, dict) else ():
            own = _group(group, name)
            # A file with sections of its own is `@package _global_`.
            anywhere = any(isinstance(value, dict) for value in own.values())
            settings |= flatten(own, "" if anywhere else f"{group.replace('/', '.')}.")
    settings |= flatten(tree)
    return {key: value for key, value in settings.items() if not key.endswith(".name")}


def _group(group: str, name: str) -> dict[str, Any]:
    """The settings in the file of a group, after those of the files in its defaults list."""
    own: dict[str, Any] = yaml.safe_load(
        (config_folder() / group / f"{name}.yaml").read_text(encoding="utf-8")
    )
    bases = [_group(group, base) for base in own.pop("defaults", ()) if base != "_self_"]
    return {key: value for settings in (*bases, own) for key, value in settings.items()}
