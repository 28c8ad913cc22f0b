"""Comparisons that a report of a request will make, known before anything is trained."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import final

import pandas as pd

from resformer.model.serial import shape_to_json
from resformer.reporting.analysis.cells import axes_of, keys_by_shape
from resformer.reporting.analysis.pairs import DEFAULT_PAIRING, Pair
from resformer.reporting.schema import ArmKey
from resformer.reporting.text.power import planned_power
from resformer.results import presets
from resformer.store.shapes import shape_settings
from resformer.sweep.request import Request
from resformer.text import counted

_MOST_SHAPES, _MOST_ARMS = 2000, 200
"""To tell apart and to pair more would take seconds."""


@final
@dataclass(frozen=True, kw_only=True)
class Planned:
    """Pairs of arms of a request, and the seeds of the shape that has the fewest."""

    pairs: tuple[Pair, ...]
    without_shared_rates: tuple[Pair, ...]
    """Pairs that share depths, but at none of them a learning rate: they cannot be compared."""
    rates: tuple[float, ...]
    """Learning rates of the request, ascending."""
    seeds: int
    one_depth: bool
    """True if no pair shares more than one depth."""

    @property
    def why_none(self) -> str:
        """The reason why there are no pairs, with what would make some."""
        if self.without_shared_rates:
            rates = ",".join(f"{rate:g}" for rate in self.rates)
            return (
                "the arms to be compared share no learning rate; give both the same, as "
                f"member.lr={rates}"
            )
        return "compares nothing here; model.residual=true,false would"

    def notes(self, *, looks: int) -> list[str]:
        """The chance to find a difference, a line if anything is compared, and one on pairs that
        cannot be.
        """
        lines = []
        if self.pairs:
            comparisons, one_depth = len(self.pairs), self.one_depth
            lines.append(planned_power(comparisons, self.seeds, looks=looks, one_depth=one_depth))
        if apart := len(self.without_shared_rates):
            arms = "its arms" if apart == 1 else "their arms"
            lines.append(
                f"{counted(apart, 'comparison')} cannot be made: {arms} share no learning rate"
            )
        return lines


def planned(request: Request) -> Planned:
    """The comparisons of the arms of a request that share a depth and a learning rate there; none
    where there are too many arms to pair at once.
    """
    seeds = min(len({member.seed for member in members}) for _, members in request.shapes)
    rates = _rates(request) if len(request.shapes) <= _MOST_SHAPES else {}
    pairs = DEFAULT_PAIRING.pairs([*rates]) if len(rates) <= _MOST_ARMS else []
    at_depths = {pair: [*_shared_rates(rates[pair[0]], rates[pair[1]])] for pair in pairs}
    shared = {pair: sum(map(bool, at_depth)) for pair, at_depth in at_depths.items()}
    return Planned(
        pairs=tuple(pair for pair, count in shared.items() if count),
        without_shared_rates=tuple(
            pair for pair, count in shared.items() if at_depths[pair] and not count
        ),
        rates=tuple(sorted({member.lr for _, members in request.shapes for member in members})),
        seeds=seeds,
        one_depth=max(shared.values(), default=0) == 1,
    )


def _shared_rates(
    one: Mapping[int, set[float]], other: Mapping[int, set[float]]
) -> Iterator[set[float]]:
    """The learning rates of both at each depth of both."""
    for depth in one.keys() & other.keys():
        yield one[depth] & other[depth]


def _rates(request: Request) -> dict[ArmKey, dict[int, set[float]]]:
    """Learning rates by arm and depth, as the report of these shapes tells arms apart."""
    rows = [
        {
            "study": request.study,
            "shape": number,
            **presets.named(shape_settings({"shape": shape_to_json(shape)})),
            **vars(members[0]),
        }
        for number, (shape, members) in enumerate(request.shapes)
    ]
    table = pd.DataFrame(rows)
    rates: dict[ArmKey, dict[int, set[float]]] = {}
    for shape, key in keys_by_shape(table, axes_of(table)[0]).items():
        of_cell = rates.setdefault(key.arm, {}).setdefault(key.depth, set())
        of_cell.update(member.lr for member in request.shapes[shape][1])
    return rates
