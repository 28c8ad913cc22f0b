"""Time that members are expected to train, by their shape and the number that trains together."""

from resformer.model.program import has_program
from resformer.model.shape import Shape
from resformer.plan.division import Load

_WHOLE, _BY_PARTS = 1.3e11, 4e10
"""Floating-point operations of a core in a second of training, in matrix products: where kernels
take whole steps, and where torch calls one for each sub-layer, or computes itself.
"""
_PER_BLOCK = 1e-3
"""Seconds of a block in a step by parts that do not depend on the number of members."""
_PER_JOB = 0.03
"""Seconds of a job, besides its training: its claim, its initial weights, its commit. By so much
the study quick takes longer for each job more into which its members are divided.
"""


def load(shape: Shape, members: int, *, most: int) -> Load:
    """Work of these members on a core, if none leaves before the budget is used up."""
    train, transformer = shape.train, shape.transformer()
    whole = has_program(transformer, shape.device)
    # A step is a forward pass and a backward pass of twice its cost.
    evaluations = train.num_evaluations * train.eval_sequences / (3 * train.batch)
    flops = (train.steps + evaluations) * transformer.flops_per_step(train.batch)
    calls = 0 if whole else train.steps * shape.model.depth
    return Load(
        members=members,
        most=most,
        divisible=shape.device == "cpu" and shape.model.module is None,
        seconds_per_job=_PER_JOB + calls * _PER_BLOCK,
        seconds_per_member=flops / (_WHOLE if whole else _BY_PARTS),
    )


def seconds_of_flops(flops: int) -> float:
    """Seconds of so many floating-point operations, where nothing more is known of a job."""
    return flops / _BY_PARTS
