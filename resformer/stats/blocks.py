"""Seeds of two arms that can be exchanged for each other: those that ran at the same rates."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from math import comb
from typing import final

from resformer.stats.multiplicity import LEVEL


@final
@dataclass(frozen=True, kw_only=True)
class Block:
    """Learning rates, and of either arm the seeds that ran at each of them; all ascending."""

    rates: list[float]
    first: list[int]
    second: list[int]

    @property
    def worth(self) -> tuple[bool, int, int, list[float]]:
        """Order of preference: exchanges that can reach `LEVEL`, most members, most seeds."""
        seeds = len(self.first) + len(self.second)
        exchanges = comb(seeds, len(self.first))
        return 2 / exchanges <= LEVEL, seeds * len(self.rates), seeds, self.rates


def shared_block(first: Mapping[int, Set[float]], second: Mapping[int, Set[float]]) -> Block | None:
    """The block that is compared, from the learning rates at which each seed of two arms ran; None
    if no rate ran in both.

    The best of more rates is not exchangeable for the best of fewer. Of the rates that a seed of
    one arm shares with one of the other, with all seeds that ran at these, the block of most
    `worth` is taken: the results of a finished study have no say in it.
    """
    ran = [{frozenset(rates) for rates in arm.values()} for arm in (first, second)]
    patterns = {one & other for one in ran[0] for other in ran[1]}
    blocks = [
        Block(
            rates=sorted(rates),
            first=sorted(seed for seed, of_seed in first.items() if rates <= of_seed),
            second=sorted(seed for seed, of_seed in second.items() if rates <= of_seed),
        )
        for rates in patterns - {frozenset()}
    ]
    return max(blocks, key=lambda block: block.worth, default=None)
