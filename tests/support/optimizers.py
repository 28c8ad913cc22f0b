"""Every optimiser of our own with the values of its YAML."""

from typing import Any

from omegaconf import OmegaConf

from resformer import plugins
from resformer.optimizers.base import Optimizer


def optimizer(name: str, **settings: Any) -> Optimizer:
    """Load an optimiser by its name, with other values for some of its settings."""
    own = OmegaConf.to_container(
        OmegaConf.load(plugins.config_folder() / "optimizer" / f"{name}.yaml")
    )
    assert isinstance(own, dict)
    own = own.get("optimizer", own)  # a YAML of sections has the member's rate, too
    values = {str(key): value for key, value in own.items() if key != "name"}
    return plugins.load("resformer.optimizers", name, Optimizer)(**{**values, **settings})
