"""Comparisons that a report of a request will make, known before anything is trained."""

from dataclasses import dataclass
from typing import final

import pandas as pd

from resformer.keys import shape_settings
from resformer.model.serial import shape_to_json
from resformer.reporting.analysis.cells import axes_of, keys_by_shape
from resformer.reporting.analysis.pairs import DEFAULT_PAIRING, Pair
from resformer.reporting.schema import ArmKey
from resformer.reporting.text.power import planned_power
from resformer.sweep.request import Request

_MOST_SHAPES, _MOST_ARMS = 2000, 200
"""To tell apart and to pair more would take seconds."""


@final
@dataclass(frozen=True, kw_only=True)
class Planned:
    """Pairs of arms of a request, and the seeds of the shape that has the fewest."""

    pairs: tuple[Pair, ...]
    seeds: int
    one_depth: bool
    """True if no pair shares more than one depth."""

    def power(self, *, looks: int) -> list[str]:
        """The chance to find a difference, a line if anything is compared."""
        if not self.pairs:
            return []
        comparisons, one_depth = len(self.pairs), self.one_depth
        return [planned_power(comparisons, self.seeds, looks=looks, one_depth=one_depth)]


def planned(request: Request) -> Planned:
    """The comparisons of the arms of a request that share a depth; none where there are too many
    arms to pair at once.
    """
    seeds = min(len({member.seed for member in members}) for _, members in request.shapes)
    depths = _depths(request) if len(request.shapes) <= _MOST_SHAPES else {}
    pairs = DEFAULT_PAIRING.pairs([*depths]) if len(depths) <= _MOST_ARMS else []
    shared = {pair: len(depths[pair[0]] & depths[pair[1]]) for pair in pairs}
    return Planned(
        pairs=tuple(pair for pair, count in shared.items() if count),
        seeds=seeds,
        one_depth=max(shared.values(), default=0) == 1,
    )


def _depths(request: Request) -> dict[ArmKey, set[int]]:
    """Depths by arm, as the report of these shapes tells arms apart."""
    rows = [
        {
            "study": request.study,
            "shape": number,
            **shape_settings({"shape": shape_to_json(shape)}),
            **vars(members[0]),
        }
        for number, (shape, members) in enumerate(request.shapes)
    ]
    table = pd.DataFrame(rows)
    depths: dict[ArmKey, set[int]] = {}
    for key in keys_by_shape(table, axes_of(table)[0]).values():
        depths.setdefault(key.arm, set()).add(key.depth)
    return depths
