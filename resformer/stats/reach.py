"""Doublings of depth that an arm solves more than another."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import final

from resformer.stats.depth import wilson


@final
@dataclass(frozen=True, kw_only=True)
class Solved:
    """Seeds solved of the seeds that ran, by ascending depth."""

    solved: Sequence[int]
    seeds: Sequence[int]


def doublings_apart(
    depths: Sequence[float], first: Solved, second: Solved
) -> tuple[float, float, float]:
    """(difference, low, high): doublings of depth that the first solves more; 95 % interval.

    An arm's reach is Σ w_d · share solved at d, w = 1 for the shallowest depth and log2(d / the
    depth before) for the others: the area under its solve rate over the logarithm of depth. The
    interval is MOVER's (Zou & Donner 2008, eq. 7) from the Wilson intervals of each share. Every
    depth needs a seed of both arms.
    """
    weights = [
        1.0,
        *(math.log2(deep / before) for before, deep in pairwise(depths)),
    ]
    difference = below = above = 0.0
    for depth, weight in enumerate(weights):
        (share, low, high), (other, other_low, other_high) = (
            _share(arm.solved[depth], arm.seeds[depth]) for arm in (first, second)
        )
        difference += weight * (share - other)
        below += weight**2 * ((share - low) ** 2 + (other_high - other) ** 2)
        above += weight**2 * ((high - share) ** 2 + (other - other_low) ** 2)
    return difference, difference - math.sqrt(below), difference + math.sqrt(above)


def _share(solved: int, seeds: int) -> tuple[float, float, float]:
    return solved / seeds, *wilson(solved, seeds)
