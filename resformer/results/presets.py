"""Presets of the block by its settings: `model=modern` is the block whose settings are those of
`configs/model/modern.yaml`, however they were given.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import yaml

from resformer import plugins
from resformer.keys import OWN, Json

KEY = "model"
USUAL = "classic"
"""The preset that goes without saying."""
MODULE = "model.module"
"""The setting whose value, the path of a module of one's own, is a name like that of a preset."""
SETTINGS = (
    "model.norm_kind",
    "model.qk_norm",
    "model.bias",
    "model.position",
    "model.activation",
)
"""Settings to which a preset gives values, but for the placement of norms, an axis of its own."""


def preset(settings: Mapping[str, Any]) -> str:
    """Name of the block of these settings, by dotted key: the path of a module of one's own, or the
    preset that has them; `own` if none has.
    """
    if (path := settings.get(MODULE)) is not None:
        return str(path)
    own = {key: settings.get(key) for key in SETTINGS}
    return next((name for name, values in _presets().items() if values == own), OWN)


def named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the name of their block as the setting `model`."""
    return {KEY: preset(settings), **settings}


def unusual(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a block that has no preset, of these, that are not those of `USUAL`."""
    if KEY in settings:
        return {}
    usual = _presets()[USUAL]
    return {key: settings[key] for key in usual if key in settings and settings[key] != usual[key]}


def keys_of_blocks(presets: Iterable[str]) -> tuple[str, ...]:
    """The setting that tells blocks of these presets apart: `model`, or none if one of them is
    `own`, of which many are: their settings tell them apart.
    """
    return () if OWN in {*presets} else (KEY,)


def spelt_out(keys: Sequence[str], blocks: Sequence[Mapping[str, Any]]) -> list[str]:
    """These keys with `model` replaced, where it does not tell these blocks apart, by the settings
    in which they differ.
    """
    if keys_of_blocks(map(preset, blocks)):
        return [*keys]
    differing = [key for key in SETTINGS if len({block.get(key) for block in blocks}) > 1]
    spelt = [own for key in keys for own in (differing if key == KEY else [key])]
    return [*dict.fromkeys(spelt)]


@cache
def _presets() -> dict[str, Json]:
    """Values of SETTINGS by preset."""
    folder = plugins.config_folder() / KEY
    presets: dict[str, Json] = {}
    for name in plugins.presets(KEY):
        values = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        presets[name] = {key: values.get(key.partition(".")[2]) for key in SETTINGS}
    return presets
