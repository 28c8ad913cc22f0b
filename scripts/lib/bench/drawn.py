"""The same beginning for everyone: resformer's own tokens and initial weights, drawn in advance."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from lib.bench.cases import Case
from resformer.model.shape import Member
from resformer.numerics import parameters, rng


def tokens(case: Case, members: Sequence[Member], steps: int) -> tuple[Tensor, Tensor]:
    """Draw what each step reads, (steps, P, B, T), and the answers, (steps, P, B, scored), int64.

    Peers have them before the clock starts, which favours them: resformer draws its own while it is
    timed.
    """
    shape = case.shape(steps)
    seed_P = torch.tensor([member.seed for member in members])
    inputs, targets = [], []
    for step in range(steps):
        source, target = shape.task.draw(rng.key(seed_P, "batch", step), shape.train.batch)
        inputs.append(shape.task.inputs(source, target, shape.model.attention))
        targets.append(target)
    return torch.stack(inputs), torch.stack(targets)


def initial(case: Case, members: Sequence[Member]) -> Mapping[str, Tensor]:
    """Each weight by resformer's name, (P, *shape); a matrix is (in, out)."""
    layout = case.shape(1).transformer().parameter_specs
    seed_P = torch.tensor([member.seed for member in members])
    return parameters.unpack(layout, parameters.initial_values(layout, seed_P, torch.float32))
