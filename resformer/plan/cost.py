"""Time that members are expected to train, by their shape and the number that trains together."""

from resformer.model.shape import Shape
from resformer.plan.division import Load

_FLOPS = 6e10
"""Floating-point operations of a core in a second of training, in matrix products."""
_PER_BLOCK = 5e-4
"""Seconds of a block in a step that do not depend on the number of members."""
_PER_JOB = 0.1
"""Seconds of a job, besides its training: its claim, its initial weights, its commit."""


def seconds(*, flops: int, steps: int, depth: int) -> float:
    """Seconds of a job of so many floating-point operations in matrix products, evaluations left
    out.
    """
    return _PER_JOB + steps * depth * _PER_BLOCK + flops / _FLOPS


def load(shape: Shape, members: int, *, most: int) -> Load:
    """Work of these members on a core, if none leaves before the budget is used up."""
    train = shape.train
    # A step is a forward pass and a backward pass of twice its cost.
    evaluations = train.num_evaluations * train.eval_sequences / (3 * train.batch)
    flops_per_step = shape.transformer().flops_per_step(train.batch)
    return Load(
        members=members,
        most=most,
        divisible=shape.device == "cpu" and shape.model.module is None,
        seconds_per_job=seconds(flops=0, steps=train.steps, depth=shape.model.depth),
        seconds_per_member=(train.steps + evaluations) * flops_per_step / _FLOPS,
    )
