"""Power in words: what the seeds of a study can show, and how many would be enough."""

from collections.abc import Iterator, Sequence

from resformer.reporting.schema import Comparison, Report
from resformer.stats.multiplicity import LEVEL, level
from resformer.stats.power import FIRST_LOOK, SECOND_LOOK, power, power_of_two_looks, seeds_for
from resformer.text import counted

ONE_GRID_DEPTH = (0.95, 0.05)
"""Shares of seeds that solve, of two arms whose limits are one depth of the grid apart."""
_SHARES = "95 % of seeds that solve against 5 %"
"""The same in words."""
_SURE = 0.9
"""Probability with which enough seeds find a difference."""


def open_words(rows: Sequence[Comparison], report: Report) -> Iterator[str]:
    """Means to tell arms apart that were tested and are not shown to differ: deeper depths where
    both solve the deepest tried, more seeds elsewhere.
    """
    undecided = [row for row in rows if row.p is not None and row.verdict == "undecided"]
    below = [row for row in undecided if not _solve_the_deepest(row)]
    if len(below) < len(undecided):
        where = (
            f"In {len(undecided) - len(below)} of the {len(undecided)} comparisons that show no "
            "difference all"
            if len(undecided) > 1
            else "All"
        )
        yield (
            f"{where} seeds of both solve the deepest depth tried: only deeper ones could tell "
            "them apart."
        )
    # p-values of a settled study are those of its second look.
    share = SECOND_LOOK / LEVEL if report.settled else 1.0
    designs = {(*_seeds(row), level(report.tests(row)) * share) for row in below}
    if designs:
        least = min(designs, key=lambda design: (_chance(*design), design))
        yield power_words(*least, one_depth=all(len(row.depths) == 1 for row in below))


def _solve_the_deepest(row: Comparison) -> bool:
    """True if all seeds of both arms solve the deepest depth."""
    return row.depths[-1].scheme.all and row.depths[-1].baseline.all


def _seeds(row: Comparison) -> tuple[int, int]:
    """Seeds of the two arms, at the depth at which they have fewest."""
    scheme, baseline = zip(
        *((depth.scheme.seeds, depth.baseline.seeds) for depth in row.depths), strict=True
    )
    return min(scheme), min(baseline)


def power_words(first: int, second: int, alpha: float, *, one_depth: bool = False) -> str:
    """The probability that so many seeds of two arms find a limit one grid depth apart at a level,
    or at their only depth the same shares; if it is small, the number of seeds that would be
    enough.
    """
    seeds = f"{first}" if first == second else f"{first} against {second}"
    chance = _chance(first, second, alpha)
    apart = (
        _SHARES if one_depth else "a limit one grid depth apart (95 % of seeds against 5 % solve)"
    )
    return f"{seeds} seeds find {apart} with probability {chance:.2f}{_enough(chance, alpha)}."


def planned_power(comparisons: int, seeds: int, *, looks: int, one_depth: bool = False) -> str:
    """The same before a sweep, of which every arm gets so many seeds; with a second look as many
    again where the first does not decide.
    """
    alpha = level(comparisons)
    if looks == 1:
        chance, again = _chance(seeds, seeds, alpha), ""
    else:
        levels = (FIRST_LOOK * alpha / LEVEL, SECOND_LOOK * alpha / LEVEL)
        chance = power_of_two_looks(seeds, ONE_GRID_DEPTH, levels)
        again = f", {2 * seeds} where undecided"
    apart = f"{_SHARES} are" if one_depth else "a limit apart by one grid depth is"
    return (
        f"{counted(comparisons, 'comparison')}, {counted(seeds, 'seed')}{again}: {apart} found "
        f"with probability {chance:.2f}{_enough(chance, alpha)}"
    )


def _chance(first: int, second: int, alpha: float) -> float:
    return power(first, second, ONE_GRID_DEPTH, alpha)


def _enough(chance: float, alpha: float) -> str:
    """Seeds of each arm that find it surely, where this chance is small, and their chance."""
    if chance >= _SURE:
        return ""
    seeds = seeds_for(ONE_GRID_DEPTH, _SURE, alpha)
    return f"; {seeds} in each arm would find it with {_chance(seeds, seeds, alpha):.2f}"
