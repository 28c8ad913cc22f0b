"""Outcome of a member, judged by its evaluations, and its rows in the results."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Self, final

import numpy as np
import numpy.typing as npt

from resformer.keys import LEARNT
from resformer.model.shape import Member, Shape, TrainSettings

Outcome = Literal["solved", "unsolved", "diverged"]
Floats = npt.NDArray[np.float64]


@final
@dataclass
class Record:
    """Evaluations of one member, and its outcome."""

    steps: list[int] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    accuracies: list[float] = field(default_factory=list)
    outcome: Outcome = "unsolved"
    solved_step: int | None = None
    diverged_step: int | None = None
    high_since: int | None = None
    """Step of the first of the evaluations above the divergence bound up to now."""

    def evaluated(self, step: int, loss: float, accuracy: float) -> None:
        """Append an evaluation: held-out loss (nats per target, or squared error) and accuracy
        (share of targets, or of the variance that is explained).
        """
        self.steps.append(step)
        self.losses.append(loss)
        self.accuracies.append(accuracy)

    def evaluations(self, columns: int) -> Floats:
        """Steps, losses and accuracies of the evaluations, (3, columns), filled up with NaN."""
        evaluations_3E = np.full((3, columns), math.nan)
        evaluations_3E[:, : len(self.steps)] = self.steps, self.losses, self.accuracies
        return evaluations_3E

    def facts(self) -> dict[str, int | str | None]:
        """Outcome as plain JSON, without the evaluations."""
        names = ("outcome", "solved_step", "diverged_step", "high_since")
        return {name: getattr(self, name) for name in names}

    @classmethod
    def restored(cls, facts: dict[str, Any], evaluations_3E: Floats) -> Self:
        """Record with these `facts` and `evaluations`."""
        steps, losses, accuracies = evaluations_3E[:, ~np.isnan(evaluations_3E[0])]
        return cls([int(step) for step in steps], losses.tolist(), accuracies.tolist(), **facts)

    def judge(self, settings: TrainSettings, bound: float, broke_at: int | None) -> bool:
        """Update the outcome; return True if the member leaves the batch.

        `broke_at` is the first step with a non-finite loss or gradient, or that of an evaluation
        which found a non-finite parameter; `bound` is the loss above which one may have diverged.
        """
        step = self.steps[-1]
        if self.losses[-1] <= max(bound, self.losses[0]) or step <= settings.warmup_steps:
            self.high_since = None
        elif self.high_since is None:
            self.high_since = step
        lost = self.high_since is not None and step - self.high_since >= settings.patience
        broken = broke_at is not None or not math.isfinite(self.losses[-1])
        if self.outcome == "unsolved":
            latest = zip(self.losses[-2:], self.accuracies[-2:], strict=True)
            if len(self.steps) > 1 and all(itertools.starmap(settings.on_target, latest)):
                self.outcome, self.solved_step = "solved", self.steps[-2]
            elif broken or lost:
                self.outcome, self.diverged_step = "diverged", broke_at or self.steps[-1]
        return broken or lost or (self.outcome == "solved" and settings.stop_when_solved)


def settled(outcome: Outcome, last_step: int, train: TrainSettings) -> bool:
    """True if a member has left, and would have left alike within any longer budget.

    A budget that ends between two evaluations of longer ones has one more at its end: what that one
    decided may not hold.
    """
    if last_step < train.steps:
        return True
    leaves = outcome == "diverged" or (outcome == "solved" and train.stop_when_solved)
    return leaves and train.evaluated_beyond(last_step)


def runs(
    shape: Shape, members: Sequence[Member], records: Sequence[Record]
) -> dict[str, list[object]]:
    """Table of outcomes, a row per member, in the order given."""
    blind = shape.task.blind_loss()
    return {
        "seed": [member.seed for member in members],
        "lr": [member.lr for member in members],
        "outcome": [record.outcome for record in records],
        "stalled": [
            record.outcome == "unsolved" and record.losses[-1] >= LEARNT * blind
            for record in records
        ],
        "solved_step": [record.solved_step for record in records],
        "diverged_step": [record.diverged_step for record in records],
        "last_step": [record.steps[-1] for record in records],
        "final_loss": [record.losses[-1] for record in records],
        "final_accuracy": [record.accuracies[-1] for record in records],
    }


def curves(
    members: Sequence[Member], records: Sequence[Record], curves_2GP: Floats
) -> dict[str, npt.NDArray[np.generic]]:
    """Table of losses, a row per member and step from 0 to its last: the loss of the step's batch,
    and that of the evaluation after the step.
    """
    tables = []
    for column, (member, record) in enumerate(zip(members, records, strict=True)):
        last = record.steps[-1]
        loss_G, norm_G = curves_2GP[:, :last, column]
        held_out = np.full((2, last + 1), math.nan)
        held_out[:, record.steps] = record.losses, record.accuracies
        tables.append(
            {
                "seed": np.full(last + 1, member.seed),
                "lr": np.full(last + 1, member.lr),
                "step": np.arange(last + 1),
                "loss": np.concatenate([[math.nan], loss_G]),
                "gradient_norm": np.concatenate([[math.nan], norm_G]),
                "held_out_loss": held_out[0],
                "held_out_accuracy": held_out[1],
            }
        )
    return {name: np.concatenate([table[name] for table in tables]) for name in tables[0]}
