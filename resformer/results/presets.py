"""Presets of the block by its settings: `model=modern` is the block whose settings are those of
`configs/model/modern.yaml`, however they were given.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

import yaml

from resformer import plugins
from resformer.keys import OWN, Json

KEY = "model"
SETTINGS = (
    "model.norm_kind",
    "model.qk_norm",
    "model.bias",
    "model.position",
    "model.activation",
)
"""Settings to which a preset gives values, but for the placement of norms, an axis of its own."""


def preset(settings: Mapping[str, Any]) -> str:
    """Name of the preset that has these settings of a block, by dotted key; `own` if none has."""
    own = {key: settings.get(key) for key in SETTINGS}
    return next((name for name, values in _presets().items() if values == own), OWN)


def named(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings, with the name of their preset as the setting `model`."""
    return {KEY: preset(settings), **settings}


@cache
def _presets() -> dict[str, Json]:
    """Values of SETTINGS by preset."""
    folder = plugins.config_folder() / KEY
    presets: dict[str, Json] = {}
    for name in plugins.presets(KEY):
        values = yaml.safe_load((folder / f"{name}.yaml").read_text(encoding="utf-8"))
        presets[name] = {key: values.get(key.partition(".")[2]) for key in SETTINGS}
    return presets
