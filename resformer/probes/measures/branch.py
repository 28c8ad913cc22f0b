"""Share of a sub-layer's output in the stream."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from resformer.model.activations import SublayerActivations
from resformer.probes.measures.base import Measure, Trace


@final
class Branch(Measure):
    """|b| / |s|: s the stream behind a sub-layer before any post-norm, b the part of it that the
    sub-layer's output made.

    b is what would be missing if the sub-layer gave zeros, whatever the scheme: 1 without a skip, 0
    where the branch is switched off, |F(x)| / |x + F(x)| of a plain sum; above 1 where the branch
    cancels some of the stream.
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
    stream_PRD = _stream_behind(trace, sublayer, f_PRD)
    branch_PRD = stream_PRD - _stream_behind(trace, sublayer, torch.zeros_like(f_PRD))
    branch_P, stream_P = (
        torch.linalg.vector_norm(x_PRD, dim=(1, 2)) for x_PRD in (branch_PRD, stream_PRD)
    )
    share_P: Tensor = branch_P / stream_P
    return share_P


def _stream_behind(trace: Trace, sublayer: SublayerActivations, f_PRD: Tensor) -> Tensor:
    """Stream behind a sub-layer, had its output been `f_PRD`."""
    residual, context = trace.residual, sublayer.context
    written: Any = residual.write(sublayer.before, f_PRD, context)
    if context.sublayer == context.architecture.sublayers:
        return residual.stream_output(written, context.parameters)
    stream_PRD: Tensor = residual.read(written, replace(context, sublayer=context.sublayer + 1))
    return stream_PRD
