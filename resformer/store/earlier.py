"""Planned shapes of earlier versions in today's words."""

from resformer.keys import Json

_OF_ADAMW = ("beta1", "beta2", "eps", "weight_decay")
"""Settings of the section `train` that are the optimiser's now."""
_MODEL: Json = {
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
_LATER: Json = {"target_loss": None}
"""Settings of training that came after other blocks and optimisers."""


def in_todays_words(shape: Json) -> Json:
    """A planned shape with the settings that earlier versions did not have, or had elsewhere; one
    of this version as it is.

    Weight decay was that of all parameters.
    """
    if "optimizer" in shape:
        train = shape["train"]
        return shape if _LATER.keys() <= train.keys() else {**shape, "train": {**_LATER, **train}}
    train = {**_TRAIN, **_LATER, **shape["train"]}
    own = {key: train.pop(key) for key in _OF_ADAMW if key in train}
    train["decay_all"] = own.get("weight_decay", 0.0) != 0
    model = {**_MODEL, **shape["model"]}
    return {**shape, "model": model, "optimizer": {"name": "adamw", **own}, "train": train}
