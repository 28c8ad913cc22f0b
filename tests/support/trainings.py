"""Trainings of an easy task, their snapshots, and what they end with."""

import dataclasses
import json
from typing import Any

from safetensors.numpy import load, save

from resformer.model.shape import Shape
from resformer.training.loop import Snapshot, Trained


def easy(shape: Shape, *, compiled: bool = False, **train: Any) -> Shape:
    settings = dataclasses.replace(
        shape.train, steps=120, batch=32, eval_every=10, compile=compiled
    )
    return dataclasses.replace(shape, train=dataclasses.replace(settings, **train))


def through_the_disk(snapshot: Snapshot) -> Snapshot:
    """The snapshot as it comes back from a checkpoint."""
    facts = json.loads(json.dumps(snapshot.facts, allow_nan=False))
    return Snapshot(step=snapshot.step, arrays=load(save(dict(snapshot.arrays))), facts=facts)


def assert_same_bits(one: Trained, other: Trained) -> None:
    assert repr(one.runs) == repr(other.runs)  # NaN is not equal to NaN
    for left, right in (
        (one.curves, other.curves),
        (one.weights, other.weights),
        (one.layers, other.layers),
    ):
        assert left.keys() == right.keys()
        for name in left:
            assert left[name].dtype == right[name].dtype
            assert left[name].tobytes() == right[name].tobytes()
    for key in ("members", "steps"):
        stretches = one.timing["stretches"], other.timing["stretches"]
        assert [part[key] for part in stretches[0]] == [part[key] for part in stretches[1]]
