"""The number of members that train together as one job."""

import torch

from resformer.errors import UserError
from resformer.model.shape import Shape

_CPU, _CPU_FLOPS = 16, 10**11
_GPU = 1024
_SHARE = 0.8
_WEIGHTS = 8
_ROWS_PER_BLOCK = 24
_DRAWN = 16


def members_per_job(shape: Shape, sharers: int) -> int:
    """A good number of members for this shape and device; UserError for a GPU that is not here.

    On the CPU 16, which spreads the cost of calling kernels thin; fewer where a step would take
    much more than a second, since a worker's heartbeat advances once a step. On a GPU as many as
    fit into four fifths of its memory, or of a sharer's part of it, at most 1,024; the number is
    part of the job, since bits on a GPU may depend on it.
    """
    if shape.device == "cpu":
        return max(
            1, min(_CPU, _CPU_FLOPS // shape.transformer().flops_per_step(shape.train.batch))
        )
    if shape.device == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "engine.stack=null: this machine has no GPU to size a stack by; engine.stack=64 would "
            "work"
        )
    memory = torch.cuda.get_device_properties(torch.device(shape.device)).total_memory
    return max(1, min(_GPU, int(_SHARE * memory / sharers / bytes_per_member(shape))))


def bytes_per_member(shape: Shape) -> int:
    """An upper estimate of the memory of a member while it trains, in bytes: weights, gradient,
    moments, data and activations in float32, for a training batch or an evaluation, whichever is
    larger.
    """
    model, transformer = shape.model, shape.transformer()
    weights = _WEIGHTS * transformer.num_parameters
    rows = (
        max(shape.train.batch, -(-shape.train.eval_sequences // model.depth)) * transformer.tokens
    )
    per_row = (
        _ROWS_PER_BLOCK * model.width
        + 3 * transformer.ffn_width
        + 3 * model.heads * transformer.tokens
    )
    scored = (
        4
        * max(shape.train.batch, shape.train.eval_sequences)
        * transformer.num_targets
        * transformer.vocabulary
    )
    drawn = 8 * _DRAWN * shape.train.batch * transformer.tokens
    return 4 * (weights + model.depth * rows * per_row + scored + drawn)
