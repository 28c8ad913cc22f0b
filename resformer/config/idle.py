"""Settings that have an effect only beside others: off where they have none, so that equal
trainings are one, and noted where they were given.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import final

from resformer.keys import Value
from resformer.model.settings import ModelSettings
from resformer.model.shape import TrainSettings
from resformer.optimizers.base import Optimizer


@final
@dataclass(frozen=True)
class _Dependent:
    """A setting that needs another one."""

    needs: str
    """The other setting, in words."""
    off: Value
    """Value where it has no effect."""
    in_use: Callable[[ModelSettings, TrainSettings, Optimizer], bool]


def _parametrised(model: ModelSettings, train: TrainSettings, optimizer: Optimizer) -> bool:
    return model.parametrisation != "standard"


_DEPENDENT = {
    "model.rope_base": _Dependent(
        "model.position=rope", None, lambda model, train, optimizer: model.position == "rope"
    ),
    **dict.fromkeys(
        ("model.base_depth", "model.base_width", "model.base_heads"),
        _Dependent("model.parametrisation=depth_mup or completep", None, _parametrised),
    ),
    "train.final_lr": _Dependent(
        "a train.schedule that falls",
        None,
        lambda model, train, optimizer: train.schedule != "constant",
    ),
    "train.target_accuracy": _Dependent(
        "train.target_loss=null",
        None,
        lambda model, train, optimizer: train.target_loss is None,
    ),
    "train.stop_when_solved": _Dependent(
        "a train.target_accuracy or train.target_loss",
        False,
        lambda model, train, optimizer: train.has_target,
    ),
    "train.decay_all": _Dependent(
        "an optimizer.weight_decay over 0",
        False,
        lambda model, train, optimizer: optimizer.weight_decay != 0,
    ),
}


def idle(model: ModelSettings, train: TrainSettings, optimizer: Optimizer) -> dict[str, Value]:
    """Keys of the settings that have no effect, with their values where they have none."""
    return {
        key: dependent.off
        for key, dependent in _DEPENDENT.items()
        if not dependent.in_use(model, train, optimizer)
    }


def note(keys: Iterable[str]) -> list[str]:
    """A note for each of these settings, which were given and have no effect anywhere."""
    return [f"{key}: has no effect without {_DEPENDENT[key].needs}" for key in keys]
