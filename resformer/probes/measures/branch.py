"""Share of a sub-layer's output in the stream."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from resformer.model.activations import SublayerActivations
from resformer.probes.measures.base import Measure, Trace
from resformer.residuals.base import SublayerContext


@final
class Branch(Measure):
    """|b| / |s|: s the stream behind a sub-layer before any post-norm, b the part of it that the
    sub-layer's output made.

    b is what would be missing if the sub-layer gave zeros, whatever the scheme: 1 without a skip, 0
    where the branch is switched off, |F(x)| / |x + F(x)| of a plain sum; above 1 where the branch
    cancels some of the stream. It is missing (NaN) where the scheme keeps the output for later
    sub-layers than the next one, as parallel blocks keep attention's.
    """

    columns: ClassVar[Mapping[str, str]] = {"branch_share": "share of the branch in the stream"}

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Value behind every sub-layer."""
        column = trace.empty_column()
        for sublayer in trace.sublayers:
            column[sublayer.context.sublayer] = _share(trace, sublayer)
        return {"branch_share": column}


def _share(trace: Trace, sublayer: SublayerActivations) -> Tensor:
    f_PRD = sublayer.f_PRD
    if sublayer.before is None:
        return torch.ones_like(f_PRD[:, 0, 0])
    streams, bare = (
        trace.residual.write(sublayer.before, output_PRD, sublayer.context)
        for output_PRD in (f_PRD, torch.zeros_like(f_PRD))
    )
    stream_PRD = _stream_behind(trace, streams, sublayer.context)
    branch_PRD = stream_PRD - _stream_behind(trace, bare, sublayer.context)
    branch_P, stream_P = (
        torch.linalg.vector_norm(x_PRD, dim=(1, 2)) for x_PRD in (branch_PRD, stream_PRD)
    )
    later_P = (branch_P == 0) & _differ(streams, bare)
    share_P: Tensor = (branch_P / stream_P).masked_fill(later_P, math.nan)
    return share_P


def _stream_behind(trace: Trace, streams: Any, context: SublayerContext) -> Tensor:
    """Stream behind a sub-layer, as the next one reads it."""
    if context.sublayer == context.architecture.sublayers:
        return trace.residual.stream_output(streams, context.parameters)
    stream_PRD: Tensor = trace.residual.read(
        streams, replace(context, sublayer=context.sublayer + 1)
    )
    return stream_PRD


def _differ(streams: Any, others: Any) -> Tensor:
    """True for members any of whose streams differ, (P,)."""
    pairs = zip(streams, others, strict=True) if isinstance(streams, tuple) else [(streams, others)]
    differ_nP = torch.stack([(one != other).flatten(1).any(1) for one, other in pairs])
    return differ_nP.any(0)
