"""Division of members into jobs, so that the sweep is expected to end as early as it can.

Where results do not depend on the number of members that train together, it is free: many share the
costs of calling kernels, few keep every worker busy to the end. Whoever is free takes the job
that would be the longest, so that a division's end is that of list scheduling (Graham 1969, SIAM J.
Appl. Math. 17). Members leave when they have solved or diverged, nobody knows when: the end is a
mean over cases in which those of each shape use up other shares of the budget.
"""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean
from typing import final

_CLOSE = 1.02
"""End over that of workers who are all busy until then, at which a division is good enough."""
_CASES = 8
_LEAST_SHARE = 0.2
"""Smallest share of the budget that the members of a shape are taken to use up."""
_GOLDEN = (5**0.5 - 1) / 2
"""Multiples of the golden ratio are evenly spread in their fractional parts."""
_LONG = 0.9
"""Length of a job over that of the longest, from which it is divided together with that."""
_LEAST_GAIN, _LEAST_SECONDS = 0.05, 1.0
"""Share of the end with the fewest jobs, and seconds, that a division has to save to be worth its
work.
"""


@final
@dataclass(frozen=True, kw_only=True)
class Load:
    """Members of one shape."""

    members: int
    most: int
    """Most members of a job."""
    divisible: bool = True
    """True if results do not depend on the number of members of a job."""
    seconds_per_job: float
    """Seconds that a job takes, however few its members are."""
    seconds_per_member: float
    """Seconds that each of its members adds."""

    @property
    def fewest(self) -> int:
        """Fewest jobs that hold the members."""
        return -(-self.members // self.most)

    def seconds(self, jobs: int) -> list[float]:
        """Seconds of each job, if there are so many, of sizes as equal as possible; the longest
        first.
        """
        size, larger = divmod(self.members, jobs)
        sizes = [size + 1] * larger + [size] * (jobs - larger)
        return [self.seconds_per_job + size * self.seconds_per_member for size in sizes]

    def further(self, jobs: int) -> int:
        """The next number of jobs of which the largest is smaller; the same if there is none."""
        largest = -(-self.members // jobs)
        divisible = self.divisible and largest > 1
        return -(-self.members // (largest - 1)) if divisible else jobs


def divide(loads: Sequence[Load], workers: int) -> list[int]:
    """Number of jobs of each load with which so many workers are expected to end first."""
    fewest = [load.fewest for load in loads]
    undivided = end(loads, fewest, workers)
    best, best_end, counts = fewest, undivided, fewest
    while best_end > _CLOSE * work(loads, counts) / workers:
        before, counts = counts, _longest_divided(loads, counts)
        if counts == before:
            break
        if (later := end(loads, counts, workers)) < best_end:
            best, best_end = counts, later
    worth = undivided - best_end >= max(_LEAST_GAIN * undivided, _LEAST_SECONDS)
    return best if worth else fewest


def _longest_divided(loads: Sequence[Load], counts: Sequence[int]) -> list[int]:
    """These numbers of jobs, more of those loads that have the longest."""
    longest = [load.seconds(count)[0] for load, count in zip(loads, counts, strict=True)]
    least = _LONG * max(longest)
    return [
        load.further(count) if seconds >= least else count
        for load, count, seconds in zip(loads, counts, longest, strict=True)
    ]


def work(loads: Sequence[Load], counts: Sequence[int]) -> float:
    """Seconds of all jobs, one after the other, in the mean over the cases."""
    return fmean(
        sum(
            share * sum(load.seconds(count))
            for load, count, share in zip(loads, counts, shares, strict=True)
        )
        for shares in _cases(len(loads))
    )


def end(loads: Sequence[Load], counts: Sequence[int], workers: int) -> float:
    """Seconds until the last job has ended, in the mean over the cases."""
    jobs = sorted(
        (
            (seconds, index)
            for index, (load, count) in enumerate(zip(loads, counts, strict=True))
            for seconds in load.seconds(count)
        ),
        reverse=True,
    )
    return fmean(
        list_schedule((shares[index] * seconds for seconds, index in jobs), workers)
        for shares in _cases(len(loads))
    )


@cache
def _cases(loads: int) -> list[list[float]]:
    """Shares of the budget that the members of each load use up, by case: in each evenly spread
    from the least to all, in another order.
    """
    return [
        [
            _LEAST_SHARE + (1.0 - _LEAST_SHARE) * ((load * _GOLDEN + case / _CASES) % 1.0)
            for load in range(loads)
        ]
        for case in range(_CASES)
    ]


def list_schedule(seconds: Iterable[float], workers: int) -> float:
    """Seconds until the last of these jobs has ended, each taken in turn by whoever is free."""
    busy = [0.0] * workers
    for each in seconds:
        heapq.heapreplace(busy, busy[0] + each)
    return max(busy)
