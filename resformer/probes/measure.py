"""Look into models: every measure of every probe, layer by layer, in float64."""

import dataclasses
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from resformer import plugins
from resformer.model.objective import held_out, loss
from resformer.model.shape import Shape
from resformer.numerics.parameters import initial_values, unpack
from resformer.probes.measures.base import Observed, Probe

Layers = dict[str, npt.NDArray[np.float64]]
"""By measure, (S + 1, P): see `probes.base` for what a layer is."""


@cache
def probes() -> list[Probe]:
    """One of each kind."""
    return [
        plugins.load("resformer.probes.measures", name, Probe)()
        for name in plugins.names("resformer.probes.measures")
    ]


def measures() -> dict[str, str]:
    """Every measure by its column's name, and what it is in a few words."""
    return {name: words for probe in probes() for name, words in probe.measures.items()}


def layers(shape: Shape, flat_PN: Tensor) -> Layers:
    """Every measure of these members, on the first `train.batch` sequences of the held-out set.

    Gradients are those of the mean loss over them. Nothing random happens: schemes are as in an
    evaluation.
    """
    transformer = dataclasses.replace(shape.transformer(), compile=False)
    flat_PN = flat_PN.detach().to(torch.float64).requires_grad_()
    members, sequences = len(flat_PN), min(shape.train.batch, shape.train.eval_sequences)
    reads_PBT, answers_PBS = (
        part[:, :sequences].expand(members, -1, -1) for part in held_out(shape, flat_PN.device)
    )
    observed = Observed(transformer, sequences)
    loss_P = loss(transformer.forward(flat_PN, reads_PBT, watch=observed), answers_PBS)
    (grad_PN,) = torch.autograd.grad(loss_P.sum(), flat_PN)
    observed.gradients = unpack(transformer.weights(), grad_PN)
    with torch.no_grad():
        found = {
            name: column for probe in probes() for name, column in probe.measure(observed).items()
        }
    return {name: column.cpu().numpy().astype(np.float64) for name, column in found.items()}


def at_the_start(shape: Shape, seeds: Sequence[int]) -> Layers:
    """The same of members that were not trained yet."""
    return layers(
        shape, initial_values(shape.transformer().weights(), torch.tensor(seeds), torch.float64)
    )
