"""Planned shapes of earlier versions in today's words."""

from resformer.keys import Json

_OF_ADAMW = ("beta1", "beta2", "eps", "weight_decay")
"""Settings of the section `train` that are the optimiser's now."""
_MODEL: Json = {
    "loops": 1,
    "norm_kind": "layer",
    "qk_norm": False,
    "bias": True,
    "position": "learned",
    "rope_base": None,
    "tied": False,
    "parametrisation": "standard",
    "base_depth": None,
    "base_width": None,
    "base_heads": None,
    "module": None,
}
"""Settings of the only block that there was."""
_TRAIN: Json = {"schedule": "constant", "final_lr": None, "dropout": 0.0}
"""Settings of the only training that there was."""
_RESIDUALS: dict[str, Json] = {"mhc": {"start": "apart"}}
"""Settings of schemes that had no choice, by the scheme's name."""
_LATER: Json = {"target_loss": None}
"""Settings of training that came after other blocks and optimisers."""


def in_todays_words(shape: Json) -> Json:
    """A planned shape with the settings that earlier versions did not have, or had elsewhere; one
    of this version as it is.
    """
    shape = shape if "optimizer" in shape else _with_optimizer(shape)
    model = {**_MODEL, **shape["model"]}
    residual = model["residual"]
    model["residual"] = {**_RESIDUALS.get(residual["name"], {}), **residual}
    return {**shape, "model": model, "train": {**_LATER, **shape["train"]}}


def _with_optimizer(shape: Json) -> Json:
    """A shape of the only block and training that there was, whose weight decay was that of all
    parameters.
    """
    train = {**_TRAIN, **shape["train"]}
    own = {key: train.pop(key) for key in _OF_ADAMW if key in train}
    train["decay_all"] = own.get("weight_decay", 0.0) != 0
    return {**shape, "optimizer": {"name": "adamw", **own}, "train": train}
