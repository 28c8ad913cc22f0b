"""Settings that are each in range and cannot work together: refused, or noted, at planning."""

import math
from collections.abc import Iterable

from resformer.errors import require
from resformer.model.shape import Member, Shape, TrainSettings
from resformer.optimizers.base import Adaptive, Optimizer

_LEAST_NORMAL = 2.0**-126
"""Smallest normal number of float32; training flushes those below it to zero."""
_LEAST_RATE = 1e-30


def check(shape: Shape, *, warmup_given: bool) -> list[str]:
    """Notes on settings of training that hardly work; UserError for those that cannot."""
    train, optimizer = shape.train, shape.optimizer
    notes = _check_solvable(train)
    if isinstance(optimizer, Adaptive):
        specs = shape.transformer().parameter_specs
        notes += _check_eps(optimizer, min(spec.factors.eps for spec in specs), train.clip)
    if train.warmup_steps > train.steps:
        require(
            not warmup_given,
            "train.warmup_steps",
            train.warmup_steps,
            f"must be at most train.steps={train.steps}",
        )
        notes.append(
            f"train.steps={train.steps}: ends within the warm-up of {train.warmup_steps} steps, "
            "before member.lr is reached; a shorter one: train.warmup_steps=0"
        )
    return notes


def _check_eps(optimizer: Adaptive, factor: float, clip: float | None) -> list[str]:
    """Notes on an eps that is too large for clipped gradients; UserError for one that is too small,
    with the smallest factor that the parametrisation has on it.
    """
    eps, least = optimizer.eps, least_eps(optimizer.beta2) / factor
    digit = 10.0 ** math.floor(math.log10(least))
    require(
        eps >= least,
        "optimizer.eps",
        eps,
        f"must be at least {math.ceil(least / digit) * digit:.0e} with "
        f"optimizer.beta2={optimizer.beta2}: float32 cannot hold the squares of smaller gradients, "
        "whose steps would have no bound",
    )
    if clip is None or clip >= eps:
        return []
    return [
        f"train.clip={clip:g}: is under optimizer.eps={eps:g}, so steps are at most "
        f"{clip / eps:.2g} times member.lr"
    ]


def check_rates(members: Iterable[Member], optimizer: Optimizer) -> list[str]:
    """Notes on learning rates that hardly work; UserError for those that float32 cannot hold."""
    rates = {member.lr for member in members}
    for rate in rates:
        require(
            rate == 0 or rate >= _LEAST_RATE,
            "member.lr",
            rate,
            f"must be 0, or from {_LEAST_RATE:g} to 1e30",
        )
    nothing = ["member.lr=0: nothing is learnt at a rate of 0; decimals have a point, as 0.01"]
    notes = nothing if 0 in rates else []
    largest = max(rates)
    decay = optimizer.weight_decay
    if not optimizer.decoupled or largest * decay <= 2:
        return notes
    return [
        *notes,
        f"member.lr={largest:g}: with optimizer.weight_decay={decay:g} each step multiplies the "
        f"weights by {1 - largest * decay:.3g} before it moves them",
    ]


def least_eps(beta2: float) -> float:
    """Smallest eps with which AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2) in
    float32 makes no step that it would not make in exact arithmetic.

    While (1 - β₂) g² is under the smallest normal number, the second moment stays zero, and a step
    is lr · m̂ / eps with |m̂| ≤ max |g|: so eps has to be the largest such g.
    """
    return math.sqrt(_LEAST_NORMAL / (1.0 - beta2))


def _check_solvable(train: TrainSettings) -> list[str]:
    """A note on a budget in which no member can solve the task, if all members train to its end;
    UserError otherwise. Without a target there is nothing to solve.
    """
    last = "a first crossing of the target at the last evaluation is not counted as solved"
    if train.eval_every is None:
        first = train.eval_interval(1)
        setting, value = "train.steps", train.steps
        would_work = f"must be over {first}, where members are evaluated first: {last}"
    else:
        first = train.eval_every
        setting, value = "train.eval_every", train.eval_every
        would_work = f"must be under train.steps={train.steps}: {last}"
    if first < train.steps or not train.has_target:
        return []
    require(not train.stop_when_solved, setting, value, would_work)
    return [f"{setting}={value}: no member can be solved, their last losses count: {last}"]
