"""Every residual scheme of our own with the values of its YAML."""

import dataclasses
from functools import cache
from typing import Any

from omegaconf import OmegaConf

from resformer import plugins
from resformer.plugins import config_folder
from resformer.residuals.base import Residual
from resformer.residuals.frac import Frac


def scheme(name: str, **settings: Any) -> Residual[Any]:
    """Load a scheme by its name, with other values for some of its settings."""
    return plugins.load("resformer.residuals", name, Residual)(**{**_values(name), **settings})


@cache
def _values(name: str) -> dict[str, Any]:
    """Settings of a scheme's YAML. A search for combinations asks thousands of times."""
    own = OmegaConf.to_container(
        OmegaConf.load(config_folder() / "model" / "residual" / f"{name}.yaml")
    )
    assert isinstance(own, dict)
    return {str(key): value for key, value in own.items() if key != "name"}


def schemes() -> list[Residual[Any]]:
    """Load every scheme."""
    return [scheme(name) for name in sorted(plugins.own_names("resformer.residuals"))]


def fitting_15(residual: Residual[Any]) -> Residual[Any]:
    """The scheme with settings that go with a width of 15."""
    return dataclasses.replace(residual, fractions=3) if isinstance(residual, Frac) else residual


def name_of(residual: Residual[Any]) -> str:
    """A scheme's name on the command line."""
    return plugins.name_of(residual)
