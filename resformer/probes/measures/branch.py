"""How much of the stream a sub-layer's output is."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar, final

import torch
from torch import Tensor

from resformer.model.hooks import Seen
from resformer.probes.measures.base import Observed, Probe


@final
class Branch(Probe):
    """|b| / |s|: s the stream behind a sub-layer before any outer norm, b the part of it that its
    output made.

    b is what would be missing if the sub-layer gave zeros, whatever the scheme: 1 without a skip, 0
    where the branch is switched off, |F(x)| / |x + F(x)| of a plain sum; above 1 where the branch
    cancels some of the stream.
    """

    measures: ClassVar[Mapping[str, str]] = {"branch_share": "share of the branch in the stream"}

    def measure(self, observed: Observed) -> dict[str, Tensor]:
        """Behind every sub-layer."""
        found = observed.nowhere()
        for seen in observed.seen:
            found[seen.place.sublayer] = _share(observed, seen)
        return {"branch_share": found}


def _share(observed: Observed, seen: Seen) -> Tensor:
    if seen.carried is None:
        return torch.ones_like(seen.f_PRD[:, 0, 0])
    with_branch, without = (
        _behind(observed, seen, f) for f in (seen.f_PRD, torch.zeros_like(seen.f_PRD))
    )
    norms = [torch.linalg.vector_norm(x, dim=(1, 2)) for x in (with_branch - without, with_branch)]
    share: Tensor = norms[0] / norms[1]
    return share


def _behind(observed: Observed, seen: Seen, f_PRD: Tensor) -> Tensor:
    """What is read behind a sub-layer that gives this."""
    residual, place = observed.transformer.residual, seen.place
    written: Any = residual.write(seen.carried, f_PRD, place)
    if place.sublayer < place.stack.sublayers:
        read: Tensor = residual.read(written, replace(place, sublayer=place.sublayer + 1))
        return read
    output: Tensor = residual.end(written, place.weights)
    return output
