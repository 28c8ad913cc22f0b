"""Plans as versions wrote them that had one block and one optimiser."""

from resformer.keys import Json

_NEW_IN_MODEL = (
    *("loops", "norm_kind", "qk_norm", "bias", "position", "rope_base", "tied"),
    *("parametrisation", "base_depth", "base_width", "base_heads", "module"),
)
_NEW_IN_TRAINING = ("schedule", "final_lr", "dropout", "decay_all", "target_loss")


def in_earlier_words(job: Json) -> Json:
    """The JSON of a job of the classic block with AdamW, as an earlier version planned it."""
    shape = dict(job["shape"])
    optimizer = shape.pop("optimizer")
    model = {key: value for key, value in shape["model"].items() if key not in _NEW_IN_MODEL}
    train = {key: value for key, value in shape["train"].items() if key not in _NEW_IN_TRAINING}
    own = {key: value for key, value in optimizer.items() if key != "name"}
    return {**job, "shape": {**shape, "model": model, "train": {**train, **own}}}
