"""Depth limit: the run of depths that are solved, and its bounds at this number of seeds."""

import math
from collections.abc import Sequence

from scipy.special import ndtri

_LEVEL = 0.95
FEWEST_FOR_BOUNDS = 5
"""Seeds from which on a depth can be surely solved or not: of four, all or none are still by chance
in one of sixteen studies.
"""

Run = tuple[int | None, int | None]
"""Depth floor and depth limit; None, None if no depth is solved."""


def wilson(solved: int, seeds: int) -> tuple[float, float]:
    """95 % interval of the share of seeds that solve (Wilson 1927; Newcombe 1998, method 3).

    Needs at least one seed.
    """
    z = float(ndtri(0.5 + _LEVEL / 2))
    share = solved / seeds
    middle = share + z * z / (2 * seeds)
    half = z * math.sqrt(share * (1 - share) / seeds + z * z / (4 * seeds * seeds))
    low, high = ((middle + sign * half) / (1 + z * z / seeds) for sign in (-1, 1))
    return (0.0 if solved == 0 else low), (1.0 if solved == seeds else high)


def depth_run(depths: Sequence[int], solved: Sequence[int], seeds: Sequence[int]) -> Run:
    """(depth floor, depth limit), where `solved` of `seeds` seeds solved at each of the ascending
    `depths`.

    The floor is the smallest depth at which at least half of the seeds solve; the limit is the last
    depth of the unbroken run from there. None, None if there is no such depth.
    """
    floor = limit = None
    for depth, solved_here, seeds_here in zip(depths, solved, seeds, strict=True):
        if seeds_here and 2 * solved_here >= seeds_here:
            floor = depth if floor is None else floor
            limit = depth
        elif floor is not None:
            break
    return floor, limit


def limit_bounds(
    depths: Sequence[int], solved: Sequence[int], seeds: Sequence[int]
) -> tuple[int | None, int | None]:
    """(low, high) around the depth limit, by the Wilson 95 % interval at each depth by itself.

    Low: the last depth of the run before a lower bound falls under ½; None if the one at the floor
    does. High: the depth before the first one above the floor whose upper bound is under ½; None if
    there is none, which is beyond the grid. Depths with fewer than `FEWEST_FOR_BOUNDS` seeds bound
    nothing.
    """
    floor, limit = depth_run(depths, solved, seeds)
    if floor is None or limit is None:
        return None, None
    low = high = None
    bounds = [
        wilson(solved_here, seeds_here) if seeds_here >= FEWEST_FOR_BOUNDS else (0.0, 1.0)
        for solved_here, seeds_here in zip(solved, seeds, strict=True)
    ]
    for depth, (lower, _) in zip(depths, bounds, strict=True):
        if floor <= depth <= limit:
            if lower < 0.5:
                break
            low = depth
    for previous, depth, (_, upper) in zip(depths, depths[1:], bounds[1:], strict=False):
        if depth > floor and upper < 0.5:
            high = previous
            break
    return low, high
