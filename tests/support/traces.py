"""Stacks that were looked into, for the tests of probes."""

from typing import Any

import torch
from torch import Tensor

from resformer.model.objective import loss
from resformer.model.shape import Shape
from resformer.numerics.parameters import unpack
from resformer.probes.measures.base import Observed
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from support.naive_model import reads, shape_of, start


def observed(residual: Residual[Any], **model: Any) -> Observed:
    """A small stack at its start, in float64: two members, three sequences of ten tokens."""
    return observed_with(shape_of(residual, **model), None)


def observed_with(shape: Shape, flat_PN: Tensor | None) -> Observed:
    """The same with these weights, or the initial ones."""
    flat_PN = (start(shape)[0] if flat_PN is None else flat_PN).requires_grad_()
    transformer, found = shape.transformer(), Observed(shape.transformer(), sequences=3)
    logits = transformer.forward(flat_PN, reads(shape), watch=found)
    answers = torch.arange(logits[..., 0].numel()).view(logits.shape[:-1]) % shape.task.vocabulary
    (grad_PN,) = torch.autograd.grad(loss(logits, answers).sum(), flat_PN)
    found.gradients = unpack(transformer.weights(), grad_PN)
    return found


def of_streams(*streams: Tensor) -> Observed:
    """Nothing but streams (P, B, T, D), as they might be."""
    shape = shape_of(Add())
    found = Observed(shape.transformer(), sequences=streams[0].shape[1])
    found.streams = [stream.flatten(1, 2) for stream in streams]
    return found
