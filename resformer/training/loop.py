"""Training loop of one job, whose members train together, and its results as tables."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer.model.shape import RESULTS_ONLY, Member, Recording, Shape
from resformer.model.transformer import Transformer
from resformer.numerics.parameters import unpack
from resformer.probes.measure import descriptions, measure
from resformer.training.outcome import Floats, Record, curves, runs, settled
from resformer.training.population import Population
from resformer.training.progress import Progress

Arrays = dict[str, npt.NDArray[Any]]


@final
@dataclass(frozen=True, kw_only=True)
class Trained:
    """Results of a job's members.

    `runs` has a row per member, in the order given; `curves` a row per member and step. Wall times
    are kept apart in `timing`, so that equal trainings give equal rows: the seconds in total, the
    members, steps and seconds of every stretch between two evaluations, and the number of members
    computed at a time. `weights` has each parameter by name, (P, *shape), with the
    values that a member had at its last step; empty unless the settings keep them. `layers` has a
    row per member, probed step and layer, with every measure; empty unless the settings probe.
    `settled` is True if no member would train on within a longer budget.
    """

    runs: dict[str, list[object]]
    curves: Arrays
    layers: Arrays
    timing: dict[str, Any]
    weights: Arrays
    settled: bool


@final
@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of a training between two steps. A training resumed from it on a machine of the same
    kind ends with the same bits.

    `facts` is plain JSON; values that may be NaN are in `arrays`.
    """

    step: int
    """Steps taken."""
    arrays: Arrays
    facts: dict[str, Any]


class Measurement(NamedTuple):
    """Measures of every layer of one member at one step."""

    step: int
    member: int
    """Its index."""
    values: Floats
    """(S + 1, columns)."""


def _ignore(_: object) -> None:
    """Ignore what a training reports."""


@final
class Training:
    """Training of a job's members, which can be saved between two steps and resumed."""

    def __init__(
        self,
        shape: Shape,
        members: Sequence[Member],
        *,
        dtype: torch.dtype = torch.float32,
        chunk_size: int | None = None,
        recording: Recording = RESULTS_ONLY,
        recompute: bool = False,
    ) -> None:
        self.shape, self.members, self.recording = shape, members, recording
        self.population = Population(
            shape, members, dtype=dtype, chunk_size=chunk_size, recompute=recompute
        )
        self.records = [Record() for _ in members]
        self.rows = list(range(len(members)))
        """Index of the member in each row of the population."""
        self.alive = set(self.rows)
        """Indices of the members that still train."""
        self.kept: dict[int, Tensor] = {}
        """Parameters of members that have left, by index, if they are kept."""
        self.curves_2GP = np.full((2, shape.train.steps, len(members)), math.nan)
        """Loss and gradient norm of every step up to the last evaluation."""
        self.measurements: list[Measurement] = []
        self.stretches: list[dict[str, float]] = []
        self.evaluated_at = -1
        self.seconds, self.began = 0.0, time.perf_counter()
        """Seconds spent in earlier processes, and the time at which this one began."""
        self.stretch_seconds, self.stretch_began = 0.0, self.began
        """Seconds and beginning of the stretch since the last evaluation, likewise."""

    @classmethod
    def resumed(
        cls,
        shape: Shape,
        members: Sequence[Member],
        snapshot: Snapshot,
        *,
        chunk_size: int | None = None,
        recording: Recording = RESULTS_ONLY,
        recompute: bool = False,
    ) -> Self:
        """Training of these members as it was when the snapshot was taken.

        Raises KeyError, ValueError, TypeError or RuntimeError if the snapshot is of other members.
        """
        facts, arrays = snapshot.facts, snapshot.arrays
        if not {*facts["rows"], *facts["alive"], *facts["kept"]} <= set(range(len(members))):
            raise ValueError(f"is not of {len(members)} members")
        if not set(facts["alive"]) <= set(facts["rows"]):
            raise ValueError("has members that train and no row")
        training = cls(
            shape, members, chunk_size=chunk_size, recording=recording, recompute=recompute
        )
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
        training.curves_2GP[:, : training.evaluated_at] = arrays["curves_2SP"]
        training.kept = {
            index: torch.from_numpy(weights)
            for index, weights in zip(facts["kept"], arrays["kept_KN"], strict=True)
        }
        training.measurements = [
            Measurement(step=step, member=index, values=values)
            for (step, index), values in zip(
                arrays["looks_K2"].tolist(), arrays["looks_KLM"], strict=True
            )
        ]
        training.stretches = facts["stretches"]
        training.seconds = float(facts["seconds"])
        training.stretch_seconds = float(facts["stretch_seconds"])
        return training

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.population.steps

    def run(
        self,
        progress: Callable[[Progress], None] = _ignore,
        heartbeat: "Callable[[Training], None]" = _ignore,
        spent: "Callable[[Training], None]" = _ignore,
    ) -> Trained:
        """Train on until each member has solved, diverged or used up the budget.

        `progress` is called at every evaluation, `heartbeat` before every step and before every
        member is probed, `spent` when the budget is used up, before the last evaluation; a snapshot
        can be taken in the latter two, and each may raise to stop. Members that have solved or
        diverged leave the batch.
        """
        settings = self.shape.train
        self.stretch_began = time.perf_counter()
        while True:
            self._probe(heartbeat)
            if ended := self.step == settings.steps:
                spent(self)
            if self.evaluated_at < self.step and settings.evaluated_at(self.step):
                progress(self._evaluate())
                if ended or not self.alive:
                    return self._trained()
                self._drop_members_that_left()
                self.stretch_seconds, self.stretch_began = 0.0, time.perf_counter()
            heartbeat(self)
            self.population.advance()

    def snapshot(self) -> Snapshot:
        """State of the training between two steps."""
        kept = [self.kept[index] for index in sorted(self.kept)]
        arrays = {name: part.cpu().numpy() for name, part in self.population.state().items()}
        arrays["kept_KN"] = (
            torch.stack(kept).numpy() if kept else np.empty((0, self.population.flat_PN.shape[1]))
        )
        arrays["curves_2SP"] = self.curves_2GP[:, : self.evaluated_at].copy()
        most = max(len(record.steps) for record in self.records)
        arrays["evaluations_3PE"] = np.stack(
            [record.evaluations(most) for record in self.records], axis=1
        )
        probed = [(measured.step, measured.member) for measured in self.measurements]
        values = [measured.values for measured in self.measurements]
        arrays["looks_K2"] = np.array(probed, dtype=np.int64).reshape(-1, 2)
        arrays["looks_KLM"] = np.array(values) if values else np.empty((0, 0, 0))
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
        return Snapshot(step=self.step, arrays=arrays, facts=facts)

    def _probe(self, heartbeat: "Callable[[Training], None]") -> None:
        """Measure every member that still trains, if a probe is due. One by one: a trace keeps
        every layer in float64.

        A snapshot in between has none of this step's measurements, which are then taken again.
        """
        interval, done = self.recording.probe_every, self.measurements
        if interval is None or self.step % interval or (done and done[-1].step == self.step):
            return
        began, measurements = time.perf_counter(), []
        for row, index in enumerate(self.rows):
            if index in self.alive:
                heartbeat(self)
                flat_1N = self.population.flat_PN[row : row + 1]
                columns = measure(self.shape, flat_1N, self.step)
                values = np.concatenate(list(columns.values()), axis=1)
                measurements.append(Measurement(step=self.step, member=index, values=values))
        self.measurements += measurements
        self.stretch_began += time.perf_counter() - began  # the time of a step leaves probes out

    def _evaluate(self) -> Progress:
        """Evaluate the members that still train, and judge their outcomes."""
        step, since, settings = self.step, max(0, self.evaluated_at), self.shape.train
        recorded_2EP = self.population.recorded(since)
        if step:
            seconds = self.stretch_seconds + time.perf_counter() - self.stretch_began
            self.stretches.append(
                {"members": len(self.alive), "steps": step - since, "seconds": seconds}
            )
        held_out_P, accuracy_P = self.population.evaluate()
        finite_P = self.population.finite()
        present = [(row, index) for row, index in enumerate(self.rows) if index in self.alive]
        bound, apart = self.shape.task.divergence_bound, self.shape.task.num_held_out is not None
        for row, index in present:
            self.curves_2GP[:, since:step, index] = recorded_2EP[:, :, row]
            self.records[index].evaluated(step, float(held_out_P[row]), float(accuracy_P[row]))
            finite_E = np.isfinite(recorded_2EP[:, :, row]).all(axis=0)
            broke_at = None if finite_P[row] else step
            if not finite_E.all():
                broke_at = since + int(finite_E.argmin()) + 1
            # A model may know by heart what it trains on, and be as wrong as can be beside it.
            fits = apart and bool((recorded_2EP[0, -1:, row] <= bound).all())
            if self.records[index].judge(settings, math.inf if fits else bound, broke_at):
                self.alive.remove(index)
        if self.recording.keep_weights:
            leaving = (
                present
                if step == settings.steps
                else [(row, index) for row, index in present if index not in self.alive]
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

    def _drop_members_that_left(self) -> None:
        if len(self.alive) <= self.population.worth_keeping(len(self.rows)):
            self.population.keep(
                [row for row, index in enumerate(self.rows) if index in self.alive]
            )
            self.rows = [index for index in self.rows if index in self.alive]

    def _trained(self) -> Trained:
        seconds = self.seconds + time.perf_counter() - self.began
        return Trained(
            runs=runs(self.shape, self.members, self.records),
            curves=curves(self.members, self.records, self.curves_2GP),
            layers=_layers(self.members, self.measurements),
            timing={
                "seconds": seconds,
                "stretches": self.stretches,
                "at_once": self.population.chunk_size,
            },
            weights=_by_name(self.population.model, self.kept),
            settled=all(
                settled(record.outcome, record.steps[-1], self.shape.train)
                for record in self.records
            ),
        )


def _layers(members: Sequence[Member], measurements: Sequence[Measurement]) -> Arrays:
    """Table of a row per member, probed step and layer, in the order of the members."""
    if not measurements:
        return {}
    ordered = sorted(measurements, key=lambda measured: (measured.member, measured.step))
    layers = len(ordered[0].values)
    values = np.concatenate([measured.values for measured in ordered])
    return {
        "seed": np.repeat([members[measured.member].seed for measured in ordered], layers),
        "lr": np.repeat([members[measured.member].lr for measured in ordered], layers),
        "step": np.repeat([measured.step for measured in ordered], layers),
        "layer": np.tile(np.arange(layers), len(ordered)),
        **dict(zip(descriptions(), values.T, strict=True)),
    }


def _by_name(model: Transformer, kept: Mapping[int, Tensor]) -> Arrays:
    """Parameters of the members whose rows of `flat_PN` are kept, in the order of their indices."""
    if not kept:
        return {}
    flat_PN = torch.stack([kept[index] for index in sorted(kept)])
    # safetensors writes what lies in memory, whatever the strides.
    return {
        name: np.ascontiguousarray(part.numpy())
        for name, part in unpack(model.parameter_specs, flat_PN).items()
    }
