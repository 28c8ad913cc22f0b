"""Measures of models: every measure of every layer, in float64."""

import dataclasses
from collections.abc import Iterable, Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer import plugins
from resformer.errors import UserError
from resformer.model.objective import held_out, loss
from resformer.model.own_module import NO_PROBE
from resformer.model.shape import Shape
from resformer.numerics.parameters import unpack
from resformer.probes.measures.base import Measure, Trace

MeasuredColumns = dict[str, npt.NDArray[np.float64]]
"""Columns of all measures by name, (S + 1, P): a row per layer, see `measures.base`."""


@cache
def measures() -> list[Measure]:
    """One instance of each measure, sorted by the name of its module."""
    package = "resformer.probes.measures"
    return [plugins.load(package, name, Measure)() for name in plugins.names(package)]


def descriptions() -> dict[str, str]:
    """Description of every column, in a few words, by the column's name."""
    return {name: words for measure in measures() for name, words in measure.columns.items()}


def check(shapes: Iterable[Shape]) -> None:
    """Raise UserError for a shape whose layers cannot be measured."""
    for shape in shapes:
        if shape.model.module is not None:
            raise UserError(f"model.module={shape.model.module}: {NO_PROBE}; null would work")


def measure(shape: Shape, flat_PN: Tensor, step: int) -> MeasuredColumns:
    """Measure these members after so many training steps, on the first `train.batch` sequences of
    the held-out set.

    Gradients are those of the mean loss over them. Nothing is random: schemes are as in an
    evaluation.
    """
    trace = _traced(shape, flat_PN.detach().to(torch.float64).requires_grad_(), step)
    with torch.no_grad():
        columns = {
            name: column
            for measure in measures()
            for name, column in measure.compute(trace).items()
        }
    return {name: column.cpu().numpy().astype(np.float64) for name, column in columns.items()}


def measure_initial(shape: Shape, seeds: Sequence[int]) -> MeasuredColumns:
    """Measure members with these seeds before any training."""
    seed_P = torch.tensor(seeds)
    return measure(shape, shape.transformer().initial_values(seed_P, torch.float64), 0)


def _traced(shape: Shape, flat_PN: Tensor, step: int) -> Trace:
    transformer = dataclasses.replace(shape.transformer(), compile=False)
    members, sequences = len(flat_PN), min(shape.train.batch, shape.train.eval_sequences)
    inputs_PBT, targets_PBU = (
        part[:, :sequences].expand(members, sequences, *part.shape[2:])
        for part in held_out(shape, flat_PN.device)
    )
    forward = transformer.activations(
        flat_PN, inputs_PBT, torch.tensor(step, device=flat_PN.device)
    )
    (grad_PN,) = torch.autograd.grad(loss(forward.logits_PBUV, targets_PBU).sum(), flat_PN)
    return Trace(
        residual=transformer.residual,
        sequences=sequences,
        streams=forward.streams,
        sublayers=forward.sublayers,
        gradients=unpack(transformer.parameter_specs, grad_PN),
    )
