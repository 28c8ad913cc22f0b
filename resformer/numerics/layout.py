"""Layout of a member's parameters for an optimiser: runs of columns that it treats alike, and
matrices by their shape.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import final

from resformer.numerics.parameters import Factors, ParameterSpec, Role

_DECAYING: tuple[Role, ...] = ("embedding", "matrix", "head")
"""Roles of the parameters that decay unless `train.decay_all` says that all do."""


@final
@dataclass(frozen=True, kw_only=True)
class Segment:
    """Columns of `flat_PN` with the same factors."""

    columns: slice
    factors: Factors
    """The `weight_decay` of parameters that do not decay is 0."""


@final
class Layout:
    """Columns of the parameters in `flat_PN`."""

    def __init__(
        self, specs: Sequence[ParameterSpec], *, weight_decay: float, decay_all: bool
    ) -> None:
        self._parts, start = list[tuple[ParameterSpec, Segment]](), 0
        for spec in specs:
            decays = weight_decay != 0 and (decay_all or spec.role in _DECAYING)
            factors = spec.factors * Factors(weight_decay=float(decays))
            columns = slice(start, start + spec.size)
            self._parts.append((spec, Segment(columns=columns, factors=factors)))
            start += spec.size

    @cached_property
    def segments(self) -> Sequence[Segment]:
        """All parameters, in as few segments as there can be."""
        return _merged(segment for _, segment in self._parts)

    @cached_property
    def others(self) -> Sequence[Segment]:
        """All but the matrices of blocks."""
        return _merged(segment for spec, segment in self._parts if spec.role != "matrix")

    @cached_property
    def matrices(self) -> Mapping[tuple[int, ...], Sequence[Segment]]:
        """The matrices of blocks by shape."""
        by_shape: dict[tuple[int, ...], list[Segment]] = {}
        for spec, segment in self._parts:
            if spec.role == "matrix":
                by_shape.setdefault(spec.shape, []).append(segment)
        return by_shape


def _merged(segments: Iterable[Segment]) -> list[Segment]:
    """The segments, neighbours with the same factors as one."""
    merged: list[Segment] = []
    for segment in segments:
        last = merged[-1] if merged else None
        if last and (last.columns.stop, last.factors) == (segment.columns.start, segment.factors):
            columns = slice(last.columns.start, segment.columns.stop)
            merged[-1] = Segment(columns=columns, factors=last.factors)
        else:
            merged.append(segment)
    return merged
