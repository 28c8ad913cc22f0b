"""Depth at which half of the seeds solve: posterior of a logistic curve over log depth.

It is finer than the depth limit, which is a depth that was tried, where depths lie closer together
than a factor of two.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy.special import log_expit

HALF_OCTAVE = 1.5
"""Largest ratio of two neighbouring depths between which a fit says more than the grid."""
_TAIL = 0.025
_BEYOND = 1.0
"""Octaves beyond the shallowest and the deepest depth to which the middle may lie."""
_WIDTHS = (0.05, 2.0)
"""Narrowest and widest scale of the curve, in octaves."""
_WEIGHT = 0.5
"""Information of a seed beside that of an independent one. Seeds are scored at rates that the
others chose, which makes counts of solved seeds vary up to twice as much as binomial ones: without
this weight 95 % intervals hold the truth in 80 to 90 % of simulated studies (`scripts/coverage`).
"""
_MIDDLES_PER_OCTAVE, _SCALES = 64, 48


def has_half_octaves(depths: Sequence[int]) -> bool:
    """True if two neighbours of the ascending depths are at most a half-octave apart."""
    return any(deep <= HALF_OCTAVE * before for before, deep in pairwise(depths))


def half_depth(
    depths: Sequence[int], solved: npt.ArrayLike, seeds: npt.ArrayLike
) -> tuple[float, float | None, float | None]:
    """(median, low, high) of the posterior of the depth at which half of the seeds solve; low and
    high are its 95 % interval.

    It supposes that the share that solves falls with depth: at each of the ascending `depths`,
    `solved` of `seeds` seeds are binomial with share 1 / (1 + exp((log2 d - m) / s)), each seed
    with a weight of ½, since rates are chosen by the other seeds. The prior is flat on m, from an
    octave below the shallowest depth to an octave above the deepest, and on log s; the posterior is
    summed over a grid (Gelman et al. 2013, section 3.7). Beyond the depths that were tried the
    prior decides: the median is kept within them, and a bound that lies outside on its own side is
    None.
    """
    solved_D = np.asarray(solved, dtype=np.float64)
    failed_D = np.asarray(seeds, dtype=np.float64) - solved_D
    octave_D = np.log2(np.asarray(depths, dtype=np.float64))
    first, last = octave_D[0] - _BEYOND, octave_D[-1] + _BEYOND
    middle_M = np.linspace(first, last, 1 + int(np.ceil((last - first) * _MIDDLES_PER_OCTAVE)))
    scale_S = np.geomspace(*_WIDTHS, _SCALES)
    z_MSD = (middle_M[:, None, None] - octave_D) / scale_S[:, None]
    log_MS = _WEIGHT * (log_expit(z_MSD) @ solved_D + log_expit(-z_MSD) @ failed_D)
    mass_M = np.exp(log_MS - log_MS.max()).sum(axis=1)
    below_M = (np.cumsum(mass_M) - mass_M / 2) / mass_M.sum()
    low, median, high = (
        float(np.exp2(np.interp(share, below_M, middle_M))) for share in (_TAIL, 0.5, 1 - _TAIL)
    )
    shallowest, deepest = float(depths[0]), float(depths[-1])
    return (
        min(max(median, shallowest), deepest),
        None if low < shallowest else min(low, deepest),
        None if high > deepest else max(high, shallowest),
    )
