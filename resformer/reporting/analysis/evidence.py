"""Evidence for a verdict: each scheme against its baseline, by counts first, then by steps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, final

from resformer.reporting.schema import Comparison, Side
from resformer.stats.two_sample import permutation_count, seeds_needed, smallest_p

LEVEL = 0.05
"""p-values up to this are significant."""


@final
@dataclass(frozen=True, kw_only=True)
class Count:
    """Seeds solved of seeds at several depths; of counts that differ the one nearest to the other
    arm's, as a bound.
    """

    solved: int
    seeds: int
    bound: Literal["exactly", "at least", "at most"] = "exactly"


@final
@dataclass(frozen=True, kw_only=True)
class Lead:
    """Consecutive depths at which one arm solves a larger share of its seeds, up to the deepest
    depth at which the shares differ.
    """

    ahead: str
    depths: tuple[int, ...]
    to_deepest: bool
    """True if no deeper depth was compared."""
    scheme: Count
    baseline: Count


@final
@dataclass(frozen=True, kw_only=True)
class Contrast:
    """A scheme against its baseline over all depths."""

    comparison: Comparison
    lead: Lead | None
    """None if as many seeds solve with either at every depth."""
    exact: bool
    """True if the p-value is over all permutations of the seeds."""
    opposed_depths: tuple[int, ...]
    """Depths whose interval of the ratio lies on the other side of 1 than the ratio over all."""

    @property
    def ahead(self) -> str | None:
        """The scheme that leads in counts, else the one that spends fewer steps."""
        row = self.comparison
        if self.lead is not None:
            return self.lead.ahead
        if row.ratio is None:
            return None
        return row.scheme.name if row.ratio < 1 else row.baseline.name

    @property
    def opposed(self) -> bool:
        """True if the test favours the arm that is not ahead."""
        return self.ahead is not None and self.comparison.favours not in (None, self.ahead)

    @property
    def significant(self) -> bool:
        """True if the corrected p-value is at most `LEVEL`."""
        p = self.comparison.p_adjusted
        return p is not None and p <= LEVEL


@final
@dataclass(frozen=True, kw_only=True)
class TooFewSeeds:
    """Seeds of the scheme and the baseline with which no result could be significant."""

    scheme: int
    baseline: int
    needed: int
    """Seeds in each arm that could be."""


@final
@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The comparisons of one task."""

    contrasts: tuple[Contrast, ...]
    tested: int
    """Comparisons of the whole study, for which p-values are corrected."""
    too_few: TooFewSeeds | None


def evidence(
    comparisons: Sequence[Comparison], tested: int, max_permutations: int
) -> Evidence | None:
    """The evidence in the comparisons of one task; None if there are none.

    `tested` is the number of tests in the whole study, `max_permutations` the number up to which
    p-values are exact.
    """
    rows = [row for row in comparisons if row.depth is None]
    if not rows:
        return None
    by_depth: dict[tuple[object, str], list[Comparison]] = {}
    for row in comparisons:
        if row.depth is not None:
            by_depth.setdefault((row.key, row.baseline.name), []).append(row)
    return Evidence(
        contrasts=tuple(
            _contrast(row, by_depth.get((row.key, row.baseline.name), []), max_permutations)
            for row in rows
        ),
        tested=tested,
        too_few=_too_few(rows, tested, max_permutations),
    )


def _contrast(row: Comparison, depths: Sequence[Comparison], max_permutations: int) -> Contrast:
    return Contrast(
        comparison=row,
        lead=_lead(depths),
        exact=permutation_count(row.scheme.seeds, row.baseline.seeds) <= max_permutations,
        opposed_depths=tuple(
            other.depth for other in depths if other.depth is not None and _opposes(other, row)
        ),
    )


def _opposes(row: Comparison, whole: Comparison) -> bool:
    if whole.ratio is None or row.low is None or row.high is None:
        return False
    return whole.ratio < 1 < row.low or whole.ratio > 1 > row.high


def _lead(rows: Sequence[Comparison]) -> Lead | None:
    leads = [_share(row.scheme) - _share(row.baseline) for row in rows]
    last = max((index for index, lead in enumerate(leads) if lead), default=None)
    if last is None:
        return None
    first = last
    while first > 0 and leads[first - 1] * leads[last] > 0:
        first -= 1
    run, scheme_leads = rows[first : last + 1], leads[last] > 0
    return Lead(
        ahead=(run[0].scheme if scheme_leads else run[0].baseline).name,
        depths=tuple(row.depth for row in run if row.depth is not None),
        to_deepest=last == len(rows) - 1,
        scheme=_count([row.scheme for row in run], leads=scheme_leads),
        baseline=_count([row.baseline for row in run], leads=not scheme_leads),
    )


def _share(side: Side) -> float:
    return side.solved / max(1, side.seeds)


def _count(sides: Sequence[Side], leads: bool) -> Count:
    """The smallest count of the arm that leads, the largest of the other."""
    counts = {(_share(side), side.solved, side.seeds) for side in sides}
    _, solved, seeds = (min if leads else max)(counts)
    if len(counts) == 1:
        return Count(solved=solved, seeds=seeds)
    return Count(solved=solved, seeds=seeds, bound="at least" if leads else "at most")


def _too_few(rows: Sequence[Comparison], tested: int, max_permutations: int) -> TooFewSeeds | None:
    arms = [(row.scheme.seeds, row.baseline.seeds) for row in rows if row.p is not None]
    short = [pair for pair in arms if tested * smallest_p(*pair, max_permutations) > LEVEL]
    if not short:
        return None
    scheme, baseline = min(short)
    needed = seeds_needed(tested, max_permutations, LEVEL)
    return TooFewSeeds(scheme=scheme, baseline=baseline, needed=needed)
