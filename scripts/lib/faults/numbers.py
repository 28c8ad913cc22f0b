"""A loss, gradient or weight that becomes NaN or infinite at a step, and learning rates up to 1e30.

The member it happens to is `diverged`, with that step; its batch mates end with the bits that they
have without it.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, final
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from lib.faults import session
from lib.faults.lanes import judged
from lib.faults.outcome import Outcome, Verdict, outcome, sampled
from lib.faults.resume import SCHEMES
from lib.faults.shown import shown
from resformer.model.shape import Member, Shape
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.kernels import build
from resformer.training import population
from resformer.training.loop import Trained, train
from resformer.training.population import Population

_STEPS, _EVERY = 24, 4
_AT = (1, 2, 4, 7, 12, 23, 24)
"""Steps of a fault: the first, the last, at an evaluation and between two."""
_MEMBERS = (Member(0, 3e-3), Member(1, 1e-2), Member(2, 1e-3), Member(3, 0.0), Member(4, 1e30))
"""The last one diverges at once in any case, so that the stack is compacted before most faults."""
_VICTIMS = (0, 1, 2, 3)
_VALUES = (math.nan, math.inf, -math.inf)
_RATES = tuple(10.0**power for power in range(3, 31))
_WILD = 1
"""The member whose learning rate is wild."""

What = Literal["weight", "gradient", "loss", "held-out loss"]


@final
@dataclass(frozen=True)
class Kind:
    """What is trained."""

    scheme: int
    compiled: bool

    def __str__(self) -> str:
        return (
            f"{type(SCHEMES[self.scheme]).__name__.lower()}, "
            f"{'compiled' if self.compiled else 'eager'}"
        )

    def shape(self) -> Shape:
        """As the session's, but with a scheme and a budget of its own."""
        shape, residual = session.shape(), SCHEMES[self.scheme]
        settings = replace(shape.train, steps=_STEPS, eval_every=_EVERY, compile=self.compiled)
        return Shape(
            shape.task,
            replace(shape.model, norm=residual.own_norm),
            residual,
            settings,
            "cpu",
        )


@final
@dataclass(frozen=True)
class Fault:
    """At a step, a number of a member becomes another: a weight after it, else what the step
    computes.
    """

    kind: Kind
    what: What
    name: str
    """Of the weight, whose first number it is; else empty."""
    value: float
    step: int
    victim: int

    def __str__(self) -> str:
        what = " ".join(part for part in (self.what, self.name) if part)
        return f"{self.kind}: {what} of member {self.victim} {self.value} at step {self.step}"

    def diverged_at(self) -> int:
        """The step at which the member has to count as diverged: a weight is used by an evaluation
        or the next step.

        But for minus infinity in a bias before a ReLU, which makes zero of it: no loss and no
        gradient knows of that, and only the next evaluation, which looks at the weights themselves,
        finds it.
        """
        if self.what == "weight" and self.step % _EVERY and self.step < _STEPS:
            return -(-self.step // _EVERY) * _EVERY if self.hidden() else self.step + 1
        return self.step

    def hidden(self) -> bool:
        """Whether loss and gradient stay finite."""
        return self.name.endswith("ffn_in.bias") and self.value == -math.inf


@final
@dataclass(frozen=True)
class Wild:
    """A member has this learning rate."""

    kind: Kind
    rate: float

    def __str__(self) -> str:
        return f"{self.kind}: learning rate {self.rate:g}"


def run(most: int | None, scratch: Path) -> Outcome:
    """Every weight, gradient, loss and rate, for every scheme and arithmetic; steps and members
    take turns.
    """
    began = time.perf_counter()
    session.ready()
    arithmetics = (False, True) if build.missing() is None else (False,)
    kinds = [Kind(scheme, by) for by in arithmetics for scheme in range(len(SCHEMES))]
    trials: list[Fault | Wild] = [fault for kind in kinds for fault in _faults(kind)]
    trials += [Wild(kind, rate) for kind in kinds for rate in _RATES]
    chosen = sampled(trials, most)
    verdicts = judged(chosen, _tried, scratch)
    counts = Counter(
        trial.what if isinstance(trial, Fault) else "learning rate" for trial in chosen
    )
    ends = Counter(verdict.ends for verdict in verdicts)
    notes = [", ".join(f"{count} {what}" for what, count in counts.items())]
    notes += [f"{count} {end}" for end, count in ends.most_common()]
    return outcome("a number NaN or infinite, rates to 1e30", chosen, verdicts, notes, began)


def _faults(kind: Kind) -> Iterator[Fault]:
    number = 0
    names = [weight.name for weight in kind.shape().transformer().weights()]
    places: list[tuple[What, str]] = [("weight", name) for name in names]
    for place in (("gradient", ""), ("loss", ""), ("held-out loss", "")):
        places += [place] * len(_AT)  # type: ignore[list-item]
    for what, name in places:
        for value in _VALUES:
            step = _AT[number % len(_AT)]
            step = -(-step // _EVERY) * _EVERY if what == "held-out loss" else step
            victim = _VICTIMS[number // len(_AT) % len(_VICTIMS)]
            yield Fault(kind, what, name, value, step, victim)
            number += 1


def _tried(trial: Fault | Wild, folder: Path) -> Verdict:
    """Train with the fault, and compare with the training without it."""
    members = list(_MEMBERS)
    try:
        whole = _undisturbed(trial.kind)
        if isinstance(trial, Fault):
            hit = trial.victim
            with _put_in(trial):
                found = _trained(trial.kind, members)
        else:
            hit = _WILD
            members[hit] = Member(members[hit].seed, trial.rate)
            found = _trained(trial.kind, members)
    except Exception as error:
        return Verdict((f"raised {shown(error)}",), "raised")
    hidden = trial.victim if isinstance(trial, Fault) and trial.hidden() else None
    ruled = [member for member in range(len(members)) if member != hidden]
    broken = [problem for member in ruled for problem in _by_the_rule(trial.kind, found, member)]
    for mate in set(range(len(members))) - {hit}:
        broken += [f"member {mate} was touched: {what}" for what in _differing(found, whole, mate)]
    if isinstance(trial, Fault):
        broken += _noticed(trial, found, whole)
    return Verdict(tuple(broken), str(found.runs["outcome"][hit]))


def _noticed(fault: Fault, found: Trained, whole: Trained) -> Iterator[str]:
    """What is wrong with how the victim ended:
    it diverged at that step, and was itself up to it.
    """
    said = found.runs["outcome"][fault.victim], found.runs["diverged_step"][fault.victim]
    if said != ("diverged", fault.diverged_at()):
        yield (
            f"member {fault.victim} is {said[0]}, at {said[1]}, not diverged at "
            f"{fault.diverged_at()}"
        )
    last = -(-fault.diverged_at() // _EVERY) * _EVERY
    if found.runs["last_step"][fault.victim] != last:
        yield f"member {fault.victim} left at {found.runs['last_step'][fault.victim]}, not {last}"
    there, before = _curve(found, fault.victim), _curve(whole, fault.victim)
    for name in there:
        if there[name][: fault.step].tobytes() != before[name][: fault.step].tobytes():
            yield f"member {fault.victim} was another before step {fault.step}: {name}"


def _by_the_rule(kind: Kind, found: Trained, member: int) -> Iterator[str]:
    """Whether the outcome is what the curve says, by the definition of `diverged`; nobody can solve
    this task.
    """
    settings, curve = kind.shape().train, _curve(found, member)
    bound = max(2 * math.log(kind.shape().task.vocabulary), float(curve["held_out_loss"][0]))
    finite = np.isfinite(curve["loss"]) & np.isfinite(curve["gradient_norm"])
    finite[0] = True
    outcome, at, high = "unsolved", None, 0
    for step in range(0, len(finite), _EVERY):
        held_out = float(curve["held_out_loss"][step])
        high = high + 1 if held_out > bound and step > settings.warmup_steps else 0
        if not finite[: step + 1].all():
            outcome, at = "diverged", int(finite.argmin())
        elif not math.isfinite(held_out) or high >= settings.patience:
            outcome, at = "diverged", step
        if at is not None:
            if step != len(finite) - 1:
                yield f"member {member} trained on after step {step}"
            break
    said = found.runs["outcome"][member], found.runs["diverged_step"][member]
    if said != (outcome, at):
        yield f"member {member} is {said[0]}, at {said[1]}; by its curve {outcome}, at {at}"


def _differing(one: Trained, other: Trained, member: int) -> Iterator[str]:
    """What of a member is not the same, to the bit."""
    if any(repr(one.runs[name][member]) != repr(other.runs[name][member]) for name in other.runs):
        yield "its row"
    left, right = _curve(one, member), _curve(other, member)
    yield from (name for name in right if left[name].tobytes() != right[name].tobytes())
    yield from (
        name
        for name, all_ in other.weights.items()
        if all_[member].tobytes() != _bytes(one, name, member)
    )


def _bytes(found: Trained, name: str, member: int) -> bytes:
    return bytes(found.weights[name][member].tobytes())


def _curve(found: Trained, member: int) -> Mapping[str, Any]:
    """By name what happened to a member, step by step from 0."""
    rows = found.curves["seed"] == _MEMBERS[member].seed
    return {name: found.curves[name][rows] for name in found.curves if name != "lr"}


@cache
def _undisturbed(kind: Kind) -> Trained:
    """The training without a fault; RuntimeError if anybody but the last member diverges."""
    found = _trained(kind, _MEMBERS)
    if found.runs["outcome"] != ["unsolved"] * 4 + ["diverged"]:
        raise RuntimeError(f"{kind}: {found.runs['outcome']} without a fault")
    return found


def _trained(kind: Kind, members: Sequence[Member]) -> Trained:
    return train(kind.shape(), members, lambda progress: None, lambda training: None)


@contextmanager
def _put_in(fault: Fault) -> Iterator[None]:
    """While this is entered, a training has the fault."""
    now: list[Population] = []
    """The population that computes."""
    with ExitStack() as stack:
        for target, name, wrapped in (
            (Population, "advance", partial(_advance, fault, now, Population.advance)),
            (population, "loss", partial(_loss, fault, now, population.loss)),
            (eager, "update", partial(_update, fault, now, eager.update)),
            (compiled, "update", partial(_update, fault, now, compiled.update)),
        ):
            stack.enter_context(patch.object(target, name, _plain(wrapped)))
        yield


def _plain(wrapped: Callable[..., Any]) -> Callable[..., Any]:
    """As a function, which becomes a method where it is put into a class."""

    def call(*given: Any) -> Any:
        return wrapped(*given)

    return call


def _advance(
    fault: Fault, now: list[Population], real: Callable[[Population], None], self: Population
) -> None:
    now[:] = [self]
    real(self)
    if fault.what == "weight" and self.steps == fault.step:
        at = 0
        for weight in self.model.weights():
            if weight.name == fault.name:
                break
            at += math.prod(weight.shape)
        self.flat_PN.detach()[_row(fault, self), at] = fault.value


def _update(
    fault: Fault,
    now: list[Population],
    real: Callable[..., Tensor],
    flat_PN: Tensor,
    grad_PN: Tensor,
    *rest: Any,
) -> Tensor:
    (here,) = now
    if fault.what == "gradient" and here.steps + 1 == fault.step:
        grad_PN = grad_PN.clone()
        grad_PN[_row(fault, here), grad_PN.shape[1] // 2] = fault.value
    return real(flat_PN, grad_PN, *rest)


def _loss(fault: Fault, now: list[Population], real: Callable[..., Tensor], *given: Any) -> Tensor:
    """Of a step it has a gradient; of an evaluation none, and the first one is before any step."""
    loss_P = real(*given)
    step = now[0].steps + loss_P.requires_grad if now else 0
    if fault.what == ("loss" if loss_P.requires_grad else "held-out loss") and step == fault.step:
        times_P = torch.ones_like(loss_P)
        times_P[_row(fault, now[0])] = fault.value
        loss_P = loss_P * times_P
    return loss_P


def _row(fault: Fault, here: Population) -> int:
    """Where the victim is in the stack now."""
    (row,) = (here.seed_P == _MEMBERS[fault.victim].seed).nonzero().flatten().tolist()
    return int(row)
