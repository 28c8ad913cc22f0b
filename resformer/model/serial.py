"""Shapes as plain JSON, and back; digests of JSON."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import Any, TypeVar

from resformer import plugins
from resformer.keys import Json
from resformer.model.settings import ModelSettings
from resformer.model.shape import RESULTS_ONLY, Recording, Shape, TrainSettings
from resformer.optimizers.base import Optimizer
from resformer.residuals.base import Residual
from resformer.tasks.base import Task

Base = TypeVar("Base")

ID_DIGITS = 16
"""Hexadecimal digits of a job's id."""


def shape_to_json(shape: Shape, recording: Recording = RESULTS_ONLY) -> Json:
    """Tree of plain values of a shape; variants carry their name.

    The recording of a job is among the settings of its shape, as the command line has it.
    """
    return {
        "task": _variant_to_json(shape.task),
        "model": {**dataclasses.asdict(shape.model), "residual": _variant_to_json(shape.residual)},
        "optimizer": _variant_to_json(shape.optimizer),
        "train": {**dataclasses.asdict(shape.train), "keep_weights": recording.keep_weights},
        "probe": {"every": recording.probe_every},
        "device": shape.device,
    }


def shape_from_json(tree: Json) -> Shape:
    """Shape that `shape_to_json` was called with."""
    model, train = dict(tree["model"]), dict(tree["train"])
    del train["keep_weights"]
    residual = _variant_from_json("resformer.residuals", model.pop("residual"), Residual)
    task = _variant_from_json("resformer.tasks", tree["task"], Task)
    optimizer = _variant_from_json("resformer.optimizers", tree["optimizer"], Optimizer)
    return Shape(
        task=task,
        model=ModelSettings(**model),
        residual=residual,
        optimizer=optimizer,
        train=TrainSettings(**train),
        device=tree["device"],
    )


def recording_from_json(tree: Json) -> Recording:
    """Recording that `shape_to_json` was called with."""
    return Recording(keep_weights=tree["train"]["keep_weights"], probe_every=tree["probe"]["every"])


def without_recording(tree: Json) -> Json:
    """Tree of the same shape that records results only."""
    train = {**tree["train"], "keep_weights": RESULTS_ONLY.keep_weights}
    return {**tree, "train": train, "probe": {"every": RESULTS_ONLY.probe_every}}


def _variant_from_json(package: str, settings: Mapping[str, Any], base: type[Base]) -> Base:
    """Variant that the setting `name` names, with the other settings as its own."""
    own = {key: value for key, value in settings.items() if key != "name"}
    return plugins.load(package, settings["name"], base)(**own)


def _variant_to_json(instance: Any) -> Json:
    return {"name": plugins.name_of(instance), **dataclasses.asdict(instance)}


def digest(tree: object, digits: int = ID_DIGITS) -> str:
    """First hex digits of the SHA-256 of a tree's canonical JSON."""
    return hashlib.sha256(canonical(tree)).hexdigest()[:digits]


def canonical(tree: object) -> bytes:
    """Canonical JSON of a tree: sorted keys, no spaces, and no NaN."""
    return json.dumps(tree, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()
