"""A loss, gradient or weight that becomes NaN or infinite at a step, and learning rates up to 1e30.

The member it happens to is `diverged`, with that step; its batch mates end with the bits that they
have without it.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any, Literal, final, get_args
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from lib.faults import session
from lib.faults.campaign import Campaign, Outcome, Verdict, listed, sampled, tried, verdict
from lib.faults.resume import SCHEMES
from lib.faults.shown import shown
from resformer.model.shape import Member, Shape
from resformer.numerics import parameters
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.kernels.program import Program
from resformer.training import population
from resformer.training.loop import Trained, Training
from resformer.training.population import Population

_STEPS, _EVERY = 24, 4
_AT = (1, 2, 4, 7, 12, 23, 24)
"""Steps of a fault: the first, the last, at an evaluation and between two."""
_MEMBERS = (
    Member(seed=0, lr=3e-3),
    Member(seed=1, lr=1e-2),
    Member(seed=2, lr=1e-3),
    Member(seed=3, lr=0.0),
    Member(seed=4, lr=1e30),
)
"""The last one diverges at once in any case, so that the stack is compacted before most faults."""
_VICTIMS = (0, 1, 2, 3)
_VALUES = (math.nan, math.inf, -math.inf)
_RATES = tuple(10.0**power for power in range(3, 31))
_WILD = 1
"""The member whose learning rate is wild."""

Computed = Literal["gradient", "loss", "held-out loss"]
What = Literal["weight", "learning rate"] | Computed
_COMPUTED: tuple[Computed, ...] = get_args(Computed)
_Pair = Callable[..., tuple[Tensor, Tensor]]


@final
@dataclass(frozen=True)
class Kind:
    """Scheme and arithmetic of a training."""

    scheme: str
    compiled: bool

    def __str__(self) -> str:
        return f"{self.scheme}, {'compiled' if self.compiled else 'eager'}"

    def shape(self) -> Shape:
        """The session's shape, but with a scheme and a budget of its own."""
        return session.shape(
            f"train.steps={_STEPS}",
            f"train.eval_every={_EVERY}",
            f"model/residual={self.scheme}",
            f"train.compile={str(self.compiled).lower()}",
        )


@final
@dataclass(frozen=True, kw_only=True)
class Fault:
    """A number of a member that changes at a step: a weight after it, or one that it computes; or
    its learning rate, from the start.
    """

    kind: Kind
    what: What
    name: str
    """Name of the weight, whose first number it is; else empty."""
    value: float
    step: int
    victim: int

    def __str__(self) -> str:
        what = " ".join(part for part in (self.what, self.name) if part)
        return f"{self.kind}: {what} of member {self.victim} {self.value} at step {self.step}"

    def members(self) -> list[Member]:
        """Members of the training."""
        members = list(_MEMBERS)
        if self.what == "learning rate":
            members[self.victim] = replace(members[self.victim], lr=self.value)
        return members

    def diverged_at(self) -> int:
        """Step at which the member has to count as diverged.

        A weight is used by an evaluation or the next step. But a ReLU makes zero of minus infinity
        in the bias before it: no loss or gradient shows it, only the next evaluation, which looks
        at the weights themselves.
        """
        if self.what == "weight" and self.step % _EVERY and self.step < _STEPS:
            return _evaluation(self.step) if self.hidden() else self.step + 1
        return self.step

    def hidden(self) -> bool:
        """True if loss and gradient stay finite."""
        return self.name.endswith("ffn_in.bias") and self.value == -math.inf


def _numbers(most: int | None, scratch: Path) -> Outcome:
    """Every weight, gradient, loss and rate, scheme and arithmetic; steps and members in turns."""
    session.ready()
    kinds = [Kind(scheme, compiled) for compiled in session.arithmetics() for scheme in SCHEMES]
    trials = [fault for kind in kinds for fault in _faults(kind)]
    trials += [
        Fault(kind=kind, what="learning rate", name="", value=rate, step=0, victim=_WILD)
        for kind in kinds
        for rate in _RATES
    ]
    chosen = sampled(trials, most)
    return tried(chosen, _tried, scratch, notes=[listed(fault.what for fault in chosen)])


NUMBERS = Campaign(
    name="numbers",
    fault="a number NaN or infinite, rates to 1e30",
    short=10,
    full=400,
    run=_numbers,
)


def _faults(kind: Kind) -> Iterator[Fault]:
    names = [weight.name for weight in kind.shape().transformer().parameter_specs]
    places: list[tuple[What, str]] = [("weight", name) for name in names]
    for computed in _COMPUTED:
        places += [(computed, "")] * len(_AT)
    for number, ((what, name), value) in enumerate(product(places, _VALUES)):
        step = _AT[number % len(_AT)]
        step = _evaluation(step) if what == "held-out loss" else step
        victim = _VICTIMS[number // len(_AT) % len(_VICTIMS)]
        yield Fault(kind=kind, what=what, name=name, value=value, step=step, victim=victim)


def _evaluation(step: int) -> int:
    """Step of the first evaluation from this step on."""
    return -(-step // _EVERY) * _EVERY


def _tried(fault: Fault, folder: Path) -> Verdict:
    """Train with the fault, and compare with the training without it."""
    try:
        whole = _undisturbed(fault.kind)
        with _put_in(fault):
            trained = _trained(fault.kind, fault.members())
    except Exception as error:
        return verdict(fault, [f"raised {shown(error)}"], "raised")
    victim = fault.victim
    broken: list[str] = []
    for member in range(len(_MEMBERS)):
        if member != victim:
            parts = _unlike(trained, whole, member)
            broken += [f"member {member} was touched: {part}" for part in parts]
        if member != victim or not fault.hidden():
            broken += _by_the_rule(fault.kind, trained, member)
    if fault.what != "learning rate":
        broken += _noticed(fault, trained, whole)
    return verdict(fault, broken, str(trained.runs["outcome"][victim]))


def _noticed(fault: Fault, trained: Trained, whole: Trained) -> Iterator[str]:
    """Name what is wrong with the victim: it diverged at that step, and was itself up to it."""
    member, at = fault.victim, fault.diverged_at()
    outcome, step = _outcome(trained, member)
    if (outcome, step) != ("diverged", at):
        yield f"member {member} is {outcome}, at {step}, not diverged at {at}"
    if (last := trained.runs["last_step"][member]) != _evaluation(at):
        yield f"member {member} left at {last}, not {_evaluation(at)}"
    curve, before = _curve(trained, member), _curve(whole, member)
    for name in curve:
        if curve[name][: fault.step].tobytes() != before[name][: fault.step].tobytes():
            yield f"member {member} was another before step {fault.step}: {name}"


def _by_the_rule(kind: Kind, trained: Trained, member: int) -> Iterator[str]:
    """Compare the outcome with the definition of `diverged` applied to the curve; nobody can solve
    this task.
    """
    settings, curve = kind.shape().train, _curve(trained, member)
    bound = max(kind.shape().task.divergence_bound, float(curve["held_out_loss"][0]))
    finite = np.isfinite(curve["loss"]) & np.isfinite(curve["gradient_norm"])
    finite[0] = True
    expected: tuple[str, int | None] = ("unsolved", None)
    high_since: int | None = None
    for step in range(0, len(finite), _EVERY):
        held_out = float(curve["held_out_loss"][step])
        high = held_out > bound and step > settings.warmup_steps
        high_since = (step if high_since is None else high_since) if high else None
        if not finite[: step + 1].all():
            expected = ("diverged", int(finite.argmin()))
        elif not math.isfinite(held_out) or (
            high_since is not None and step - high_since >= settings.patience
        ):
            expected = ("diverged", step)
        if expected[0] == "diverged":
            if step != len(finite) - 1:
                yield f"member {member} trained on after step {step}"
            break
    outcome, at = _outcome(trained, member)
    if (outcome, at) != expected:
        yield f"member {member} is {outcome}, at {at}; by its curve {expected[0]}, at {expected[1]}"


def _unlike(trained: Trained, whole: Trained, member: int) -> Iterator[str]:
    """Name what of a member is not the same, to the bit."""
    if _row(trained, member) != _row(whole, member):
        yield "its row"
    curve, before = _curve(trained, member), _curve(whole, member)
    yield from (name for name in before if curve[name].tobytes() != before[name].tobytes())
    for name, weights in whole.weights.items():
        if weights[member].tobytes() != trained.weights[name][member].tobytes():
            yield name


def _row(trained: Trained, member: int) -> dict[str, str]:
    """Row of a member among the runs, as text, in which NaN equals NaN."""
    return {name: repr(column[member]) for name, column in trained.runs.items()}


def _outcome(trained: Trained, member: int) -> tuple[object, object]:
    """Outcome of a member, and the step at which it diverged."""
    return trained.runs["outcome"][member], trained.runs["diverged_step"][member]


def _curve(trained: Trained, member: int) -> Mapping[str, Any]:
    """Curves of a member by name, step by step from 0."""
    rows = trained.curves["seed"] == _MEMBERS[member].seed
    return {name: trained.curves[name][rows] for name in trained.curves if name != "lr"}


@cache
def _undisturbed(kind: Kind) -> Trained:
    """Train without a fault; RuntimeError if anybody but the last member diverges."""
    trained = _trained(kind, _MEMBERS)
    if trained.runs["outcome"] != ["unsolved"] * 4 + ["diverged"] or not trained.weights:
        raise RuntimeError(f"{kind}: {trained.runs['outcome']} without a fault")
    return trained


def _trained(kind: Kind, members: Sequence[Member]) -> Trained:
    return Training(kind.shape(), members, recording=session.RECORDING).run()


@contextmanager
def _put_in(fault: Fault) -> Iterator[None]:
    """While this is entered, a training has the fault."""
    faulty = _Faulty(fault)
    with ExitStack() as stack:
        for target, name, faulted in (
            (Population, "advance", faulty.advance),
            (population, "loss", faulty.loss),
            (Program, "gradient", faulty.gradient),
            (Program, "score", faulty.score),
            (eager, "clip", faulty.clip),
            (compiled, "clip", faulty.clip),
        ):
            stack.enter_context(patch.object(target, name, faulted(getattr(target, name))))
        yield


@final
class _Faulty:
    """Makes functions of a training put the fault in."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._now: Population | None = None
        """The population that computes."""

    def advance(self, real: Callable[[Population], None]) -> Callable[[Population], None]:
        """Make a step that changes a weight after it."""

        def advance(population: Population) -> None:
            self._now = population
            real(population)
            if self._fault.what == "weight" and population.steps == self._fault.step:
                specs, flat_PN = population.model.parameter_specs, population.flat_PN.detach()
                weight_P = parameters.unpack(specs, flat_PN)[self._fault.name]
                weight_P[self._row(population)].view(-1)[0] = self._fault.value

        return advance

    def clip(self, real: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Make a clipping that changes a gradient before it takes its norm."""

        def clip(grad_PN: Tensor, most: float | None) -> Tensor:
            now, fault = self._now, self._fault
            if now is not None and (fault.what, fault.step) == ("gradient", now.steps + 1):
                grad_PN[self._row(now), grad_PN.shape[1] // 2] = fault.value
            return real(grad_PN, most)

        return clip

    def loss(self, real: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """Make a loss that is changed: of a step it has a gradient, of an evaluation none."""

        def loss(*arguments: Any) -> Tensor:
            loss_P = real(*arguments)
            return loss_P * self._factor(
                "loss" if loss_P.requires_grad else "held-out loss", loss_P
            )

        return loss

    def gradient(self, real: _Pair) -> _Pair:
        """Make a step of kernels whose loss is changed, and with it the gradient."""

        def gradient(*arguments: Any) -> tuple[Tensor, Tensor]:
            loss_P, grad_PN = real(*arguments)
            factor_P = self._factor("loss", loss_P)
            return loss_P * factor_P, grad_PN * factor_P.unsqueeze(1)

        return gradient

    def score(self, real: _Pair) -> _Pair:
        """Make an evaluation of kernels whose loss is changed."""

        def score(*arguments: Any) -> tuple[Tensor, Tensor]:
            loss_P, right_P = real(*arguments)
            return loss_P * self._factor("held-out loss", loss_P), right_P

        return score

    def _factor(self, what: Computed, loss_P: Tensor) -> Tensor:
        """Factor of each member's loss, (P,): 1 but for the victim's at the step of the fault; the
        first evaluation is before any step.
        """
        now, fault, factor_P = self._now, self._fault, torch.ones_like(loss_P)
        if now is not None and (what, now.steps + (what == "loss")) == (fault.what, fault.step):
            factor_P[self._row(now)] = fault.value
        return factor_P

    def _row(self, population: Population) -> int:
        """Row of the victim in the population."""
        seed = _MEMBERS[self._fault.victim].seed
        (row,) = (population.seed_P == seed).nonzero().flatten().tolist()
        return int(row)
