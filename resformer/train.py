"""Train the members of one job together; what they did comes back as rows."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer.events import Progress
from resformer.model import Transformer
from resformer.population import Population
from resformer.record import Record, curves, runs
from resformer.shape import Member, Shape
from resformer.weights import unpack


@final
@dataclass(frozen=True)
class Trained:
    """What a job's members did.

    `runs` has a row per member, in the order given; `curves` a row per member and step. Wall times are apart in
    `timing`, so that equal trainings give equal rows: the seconds in all, and for every stretch between two
    evaluations how many members trained for how many steps in how many seconds. `weights` has each weight by name,
    (P, *shape), with the values that a member had at its last step; nothing unless the settings keep them.
    """

    runs: dict[str, list[object]]
    curves: dict[str, npt.NDArray[np.generic]]
    timing: dict[str, Any]
    weights: dict[str, npt.NDArray[np.generic]]


def train(
    shape: Shape,
    members: Sequence[Member],
    tell: Callable[[Progress], None],
    beat: Callable[[], None],
    dtype: torch.dtype = torch.float32,
) -> Trained:
    """Train `members` together until each has solved, diverged or used up the budget.

    `tell` is called at every evaluation, `beat` at every step; either may raise to stop. Members that have
    solved or diverged leave the batch.
    """
    began = time.perf_counter()
    settings, bound = shape.train, 2 * math.log(shape.task.vocabulary)
    population = Population(shape, members, dtype)
    records = [Record() for _ in members]
    rows = list(range(len(members)))
    alive = set(rows)
    kept: dict[int, Tensor] = {}
    loss_SP, norm_SP = np.full((2, settings.steps, len(members)), math.nan)
    stretches: list[dict[str, float]] = []
    evaluated_at, mark = 0, began
    for step in range(settings.steps + 1):
        if step % settings.eval_every == 0 or step == settings.steps:
            loss_EP, norm_EP = population.recorded(evaluated_at)
            if step:
                taken = time.perf_counter() - mark
                stretches.append({"members": len(alive), "steps": step - evaluated_at, "seconds": taken})
            held_out_P, accuracy_P = population.evaluate()
            present = [(row, index) for row, index in enumerate(rows) if index in alive]
            for row, index in present:
                loss_SP[evaluated_at:step, index], norm_SP[evaluated_at:step, index] = loss_EP[:, row], norm_EP[:, row]
                records[index].evaluated(step, held_out_P[row], accuracy_P[row])
                finite_E = np.isfinite(loss_EP[:, row]) & np.isfinite(norm_EP[:, row])
                broke_at = None if finite_E.all() else evaluated_at + int(finite_E.argmin()) + 1
                if records[index].judge(settings, bound, broke_at):
                    alive.remove(index)
            if settings.keep_weights:
                leaving = present if step == settings.steps else [place for place in present if place[1] not in alive]
                kept |= {index: population.weights(row) for row, index in leaving}
            outcomes = [record.outcome for record in records]
            tell(
                Progress(
                    step=step,
                    steps=settings.steps,
                    members=len(alive),
                    solved=outcomes.count("solved"),
                    diverged=outcomes.count("diverged"),
                    loss=float(np.median([records[index].losses[-1] for _, index in present])),
                    accuracy=float(np.median([records[index].accuracies[-1] for _, index in present])),
                )
            )
            if not alive or step == settings.steps:
                break
            if len(alive) <= population.worth_keeping(len(rows)):
                population.keep([row for row, index in enumerate(rows) if index in alive])
                rows = [index for index in rows if index in alive]
            evaluated_at, mark = step, time.perf_counter()
        beat()
        population.advance()
    return Trained(
        runs=runs(shape, members, records),
        curves=curves(members, records, loss_SP, norm_SP),
        timing={"seconds": time.perf_counter() - began, "stretches": stretches},
        weights=_by_name(population.model, kept),
    )


def _by_name(model: Transformer, kept: Mapping[int, Tensor]) -> dict[str, npt.NDArray[np.generic]]:
    """Each weight of the members whose rows of `flat_PN` these are, in the order of their numbers."""
    if not kept:
        return {}
    flat_PN = torch.stack([kept[index] for index in sorted(kept)])
    # safetensors writes what lies in memory, whatever the strides.
    return {name: np.ascontiguousarray(part.numpy()) for name, part in unpack(model.weights(), flat_PN).items()}
