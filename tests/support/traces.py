"""Traces of small models, for the tests of measures."""

from typing import Any

import torch
from torch import Tensor

from resformer.model.objective import loss
from resformer.model.shape import Shape
from resformer.numerics.parameters import unpack
from resformer.probes.measures.base import Trace
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from support.naive_model import inputs, shape_of, start


def trace_of(residual: Residual[Any], **model: Any) -> Trace:
    """A small model at its start, in float64: two members, three sequences of ten tokens."""
    return trace_with(shape_of(residual, **model), None)


def trace_with(shape: Shape, flat_PN: Tensor | None) -> Trace:
    """The same with these weights, or the initial ones."""
    flat_PN = (start(shape)[0] if flat_PN is None else flat_PN).requires_grad_()
    transformer = shape.transformer()
    forward = transformer.activations(flat_PN, inputs(shape))
    logits = forward.logits_PBUV
    targets = torch.arange(logits[..., 0].numel()).view(logits.shape[:-1]) % shape.task.vocabulary
    (grad_PN,) = torch.autograd.grad(loss(logits, targets).sum(), flat_PN)
    return Trace(
        residual=shape.residual,
        sequences=3,
        streams=forward.streams,
        sublayers=forward.sublayers,
        gradients=unpack(transformer.parameter_specs, grad_PN),
    )


def of_streams(*streams: Tensor) -> Trace:
    """Nothing but streams (P, B, T, D), as they might be."""
    return Trace(
        residual=Add(),
        sequences=streams[0].shape[1],
        streams=[stream.flatten(1, 2) for stream in streams],
    )
