"""Train the members of one job together; what they did comes back as rows."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape
from resformer.model.transformer import Transformer
from resformer.numerics.parameters import unpack
from resformer.probes import measure
from resformer.training.outcome import Floats, Record, curves, runs
from resformer.training.population import Population
from resformer.training.progress import Progress

Arrays = dict[str, npt.NDArray[Any]]


@final
@dataclass(frozen=True)
class Trained:
    """What a job's members did.

    `runs` has a row per member, in the order given; `curves` a row per member and step. Wall times
    are apart in `timing`, so that equal trainings give equal rows: the seconds in all, and for
    every stretch between two evaluations how many members trained for how many steps in how many
    seconds, with so many `at_once`. `weights` has each weight by name, (P, *shape), with the values
    that a member had at its last step; nothing unless the settings keep them. `layers` has a row
    per member, look and layer, with every measure of `observe`; nothing unless the settings ask for
    looks.
    """

    runs: dict[str, list[object]]
    curves: Arrays
    layers: Arrays
    timing: dict[str, Any]
    weights: Arrays


@final
@dataclass(frozen=True)
class Snapshot:
    """A training between two steps: taken up again on a machine of the same kind it ends with the
    same bits.

    `facts` is plain JSON; whatever may be NaN is in `arrays`.
    """

    step: int
    """Steps that were taken."""
    arrays: Arrays
    facts: dict[str, Any]


@final
class Training:
    """The members of a job on their way. Between two steps it can be put away, and taken up from
    there.
    """

    def __init__(
        self,
        shape: Shape,
        members: Sequence[Member],
        dtype: torch.dtype = torch.float32,
        chunk_size: int | None = None,
        recording: Recording = RESULTS_ONLY,
    ) -> None:
        self.shape, self.members, self.recording = shape, members, recording
        self.population = Population(shape, members, dtype, chunk_size)
        self.records = [Record() for _ in members]
        self.rows = list(range(len(members)))
        """By row of the population, which member it is."""
        self.alive = set(self.rows)
        self.kept: dict[int, Tensor] = {}
        """Weights of members that have left, if they are kept."""
        self.loss_SP, self.norm_SP = np.full((2, shape.train.steps, len(members)), math.nan)
        self.looks: list[tuple[int, int, Floats]] = []
        """Step, member, and what every probe measured, (S + 1, measures)."""
        self.stretches: list[dict[str, float]] = []
        self.evaluated_at = -1
        self.seconds, self.began = 0.0, time.perf_counter()
        """Spent before it was taken up, and since when it trains here; the same of this stretch."""
        self.stretch_seconds, self.stretch_began = 0.0, self.began

    @classmethod
    def resumed(
        cls,
        shape: Shape,
        members: Sequence[Member],
        snapshot: Snapshot,
        chunk_size: int | None = None,
        recording: Recording = RESULTS_ONLY,
    ) -> Self:
        """The training of these members as it was put away.

        KeyError, ValueError, TypeError or RuntimeError if the snapshot is one of other members.
        """
        facts, arrays = snapshot.facts, snapshot.arrays
        if not {*facts["rows"], *facts["alive"], *facts["kept"]} <= set(range(len(members))):
            raise ValueError(f"is not of {len(members)} members")
        training = cls(shape, members, chunk_size=chunk_size, recording=recording)
        training.rows, training.alive = [int(index) for index in facts["rows"]], set(facts["alive"])
        if len(training.rows) < len(members):
            training.population.keep(training.rows)
        training.population.restore(
            snapshot.step,
            {name: torch.from_numpy(arrays[name]) for name in training.population.state()},
        )
        training.records = [
            Record.restored(record, arrays["evaluations_3PE"][:, index])
            for index, record in zip(range(len(members)), facts["records"], strict=True)
        ]
        training.evaluated_at = int(facts["evaluated_at"])
        training.loss_SP[: training.evaluated_at], training.norm_SP[: training.evaluated_at] = (
            arrays["curves_2SP"]
        )
        training.kept = {
            index: torch.from_numpy(weights)
            for index, weights in zip(facts["kept"], arrays["kept_KN"], strict=True)
        }
        places, measured = arrays["looks_K2"].tolist(), arrays["looks_KLM"]
        training.looks = [
            (step, index, one) for (step, index), one in zip(places, measured, strict=True)
        ]
        training.stretches = facts["stretches"]
        training.seconds, training.stretch_seconds = (
            float(facts["seconds"]),
            float(facts["stretch_seconds"]),
        )
        return training

    @property
    def step(self) -> int:
        """Steps that were taken."""
        return self.population.steps

    def run(self, tell: Callable[[Progress], None], beat: "Callable[[Training], None]") -> Trained:
        """Train on until each member has solved, diverged or used up the budget.

        `tell` is called at every evaluation, `beat` before every step and every look into a member,
        when a snapshot can be taken; either may raise to stop. Members that have solved or diverged
        leave the batch.
        """
        every, steps = self.shape.train.eval_every, self.shape.train.steps
        self.stretch_began = time.perf_counter()
        while True:
            self._look(beat)
            if self.evaluated_at < self.step and (self.step % every == 0 or self.step == steps):
                tell(self._evaluate())
                if not self.alive or self.step == steps:
                    return self._trained()
                self._drop_those_that_left()
                self.stretch_seconds, self.stretch_began = 0.0, time.perf_counter()
            beat(self)
            self.population.advance()

    def snapshot(self) -> Snapshot:
        """The training as it is between two steps."""
        kept = [self.kept[index] for index in sorted(self.kept)]
        arrays = {name: part.cpu().numpy() for name, part in self.population.state().items()}
        arrays["kept_KN"] = (
            torch.stack(kept).numpy() if kept else np.empty((0, self.population.flat_PN.shape[1]))
        )
        arrays["curves_2SP"] = np.stack(
            [self.loss_SP[: self.evaluated_at], self.norm_SP[: self.evaluated_at]]
        )
        most = max(len(record.steps) for record in self.records)
        arrays["evaluations_3PE"] = np.stack(
            [record.evaluations(most) for record in self.records], axis=1
        )
        arrays["looks_K2"] = np.array([place for *place, _ in self.looks], dtype=np.int64).reshape(
            -1, 2
        )
        arrays["looks_KLM"] = (
            np.array([one for *_, one in self.looks]) if self.looks else np.empty((0, 0, 0))
        )
        now = time.perf_counter()
        facts = {
            "rows": self.rows,
            "alive": sorted(self.alive),
            "records": [record.facts() for record in self.records],
            "evaluated_at": self.evaluated_at,
            "kept": sorted(self.kept),
            "stretches": self.stretches,
            "seconds": self.seconds + now - self.began,
            "stretch_seconds": self.stretch_seconds + now - self.stretch_began,
        }
        return Snapshot(self.step, arrays, facts)

    def _look(self, beat: "Callable[[Training], None]") -> None:
        """Look into everyone who still trains, if it is time to. One by one: looks keep every layer
        in float64.

        A snapshot in between has none of this step's looks, which are then taken again.
        """
        every = self.recording.probe_every
        if every is None or self.step % every or (self.looks and self.looks[-1][0] == self.step):
            return
        began, looks = time.perf_counter(), []
        for row, index in enumerate(self.rows):
            if index in self.alive:
                beat(self)
                found = measure.layers(self.shape, self.population.flat_PN[row : row + 1])
                looks.append((self.step, index, np.concatenate(list(found.values()), axis=1)))
        self.looks += looks
        self.stretch_began += time.perf_counter() - began  # what a step takes is another question

    def _evaluate(self) -> Progress:
        """Evaluate everyone who is still in the batch, and see what became of them."""
        step, since, settings = self.step, max(0, self.evaluated_at), self.shape.train
        loss_EP, norm_EP = self.population.recorded(since)
        if step:
            taken = self.stretch_seconds + time.perf_counter() - self.stretch_began
            self.stretches.append(
                {"members": len(self.alive), "steps": step - since, "seconds": taken}
            )
        held_out_P, accuracy_P = self.population.evaluate()
        finite_P = self.population.finite()
        present = [(row, index) for row, index in enumerate(self.rows) if index in self.alive]
        for row, index in present:
            self.loss_SP[since:step, index], self.norm_SP[since:step, index] = (
                loss_EP[:, row],
                norm_EP[:, row],
            )
            self.records[index].evaluated(step, float(held_out_P[row]), float(accuracy_P[row]))
            finite_E = np.isfinite(loss_EP[:, row]) & np.isfinite(norm_EP[:, row])
            broke_at = None if finite_P[row] else step
            if not finite_E.all():
                broke_at = since + int(finite_E.argmin()) + 1
            if self.records[index].judge(
                settings, 2 * math.log(self.shape.task.vocabulary), broke_at
            ):
                self.alive.remove(index)
        if self.recording.keep_weights:
            leaving = (
                present
                if step == settings.steps
                else [place for place in present if place[1] not in self.alive]
            )
            self.kept |= {index: self.population.weights(row) for row, index in leaving}
        self.evaluated_at = step
        outcomes = [record.outcome for record in self.records]
        return Progress(
            step=step,
            steps=settings.steps,
            members=len(self.alive),
            solved=outcomes.count("solved"),
            diverged=outcomes.count("diverged"),
            loss=float(np.median([self.records[index].losses[-1] for _, index in present])),
            accuracy=float(np.median([self.records[index].accuracies[-1] for _, index in present])),
        )

    def _drop_those_that_left(self) -> None:
        if len(self.alive) <= self.population.worth_keeping(len(self.rows)):
            self.population.keep(
                [row for row, index in enumerate(self.rows) if index in self.alive]
            )
            self.rows = [index for index in self.rows if index in self.alive]

    def _trained(self) -> Trained:
        seconds = self.seconds + time.perf_counter() - self.began
        return Trained(
            runs=runs(self.shape, self.members, self.records),
            curves=curves(self.members, self.records, self.loss_SP, self.norm_SP),
            layers=_layers(self.members, self.looks),
            timing={
                "seconds": seconds,
                "stretches": self.stretches,
                "at_once": self.population.chunk_size,
            },
            weights=_by_name(self.population.model, self.kept),
        )


def train(
    shape: Shape,
    members: Sequence[Member],
    tell: Callable[[Progress], None],
    beat: Callable[[Training], None],
    dtype: torch.dtype = torch.float32,
    recording: Recording = RESULTS_ONLY,
) -> Trained:
    """Train `members` together until each has solved, diverged or used up the budget; see
    `Training.run`.
    """
    return Training(shape, members, dtype, recording=recording).run(tell, beat)


def _layers(members: Sequence[Member], looks: Sequence[tuple[int, int, Floats]]) -> Arrays:
    """A row per member, look and layer, in the order of the members."""
    if not looks:
        return {}
    ordered = sorted(looks, key=lambda look: (look[1], look[0]))
    layers = len(ordered[0][2])
    measured = np.concatenate([one for *_, one in ordered])
    return {
        "seed": np.repeat([members[index].seed for _, index, _ in ordered], layers),
        "lr": np.repeat([members[index].lr for _, index, _ in ordered], layers),
        "step": np.repeat([step for step, *_ in ordered], layers),
        "layer": np.tile(np.arange(layers), len(ordered)),
        **dict(zip(measure.measures(), measured.T, strict=True)),
    }


def _by_name(model: Transformer, kept: Mapping[int, Tensor]) -> Arrays:
    """Each weight of the members whose rows of `flat_PN` these are, in the order of their
    numbers.
    """
    if not kept:
        return {}
    flat_PN = torch.stack([kept[index] for index in sorted(kept)])
    # safetensors writes what lies in memory, whatever the strides.
    return {
        name: np.ascontiguousarray(part.numpy())
        for name, part in unpack(model.weights(), flat_PN).items()
    }
