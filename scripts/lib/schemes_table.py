"""Table of all schemes of the study `schemes`: how deep, how fast, at what cost, at what rates."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import final

import pandas as pd

from resformer.keys import LEARNT
from resformer.reporting.schema import ArmKey, Cell, Comparison, Estimate, Report

TASKS = ("sort", "state", "recall")
RATES = ("sort", 8)
"""Task and depth at which rates beyond the best ones were tried."""
_COLUMNS = (
    "scheme",
    *("sort: depth", "doublings", "steps"),
    *("state: depth", "doublings", "steps"),
    *("recall: seeds", "steps"),
    "time of a step",
    "largest rate",
)
_ABOUT = """
Against `add` pre-norm, with 95 % intervals. Depth: the last to which at least half of the seeds
solve the task, ≥ if no deeper one was tried; doublings: of depth that are solved more (≥, ≤: the
one ahead solves the deepest tried); steps: to solve, over those of `add`, where every seed of both
solves; recall: seeds that solve it at depth {recall}. **Bold**: better, *italic*: worse, by depth
(corrected for all comparisons) or, for steps, by the interval alone. Time of a step: over that of
`add`, geometric mean over all cells. Largest rate: at which at least half of the seeds learn sort
at depth {rated}, of those tried. Rows: deeper on sort first, then faster.
"""


@final
@dataclass(frozen=True)
class _Arm:
    """A scheme with a norm, and what was measured of it by task."""

    name: str
    cells: Mapping[tuple[str, int], Cell]
    comparisons: Mapping[str, Comparison]
    limits: Mapping[str, int | None]
    largest_rate: float | None
    step_time: float | None
    """Over that of the baseline."""

    @property
    def order(self) -> tuple[float, float, str]:
        """Deeper on sort, faster on sort, name."""
        sort = self.comparisons.get("sort")
        if sort is None:
            return 0.0, 1.0, self.name
        doublings = sort.doublings.value if sort.doublings else 0.0
        return -doublings, sort.speed.value if sort.speed else math.inf, self.name

    def verdicts(self) -> set[str]:
        """Better or worse than the baseline in some task, by depth or, at equal depths, steps."""
        return {
            _by_steps(each.speed) if each.verdict == "undecided" else each.verdict
            for each in self.comparisons.values()
        }


def schemes_table(members: pd.DataFrame, report: Report) -> str:
    """Markdown of the table, what its columns mean, and which schemes are better than the baseline
    in some task and worse in none.
    """
    arms = sorted(_arms(members, report), key=lambda arm: arm.order)
    lines = [_row(_COLUMNS), _row("---" for _ in _COLUMNS), *map(_line, arms)]
    recall = max(depth for arm in arms for task, depth in arm.cells if task == "recall")
    about = _ABOUT.format(recall=recall, rated=RATES[1])
    return "".join(lines) + about + "\n" + _summary(arms)


def _arms(members: pd.DataFrame, report: Report) -> Iterable[_Arm]:
    by_name: dict[str, dict[tuple[str, int], Cell]] = {}
    for cell in report.cells:
        by_name.setdefault(_name(cell.key.arm), {})[cell.key.arm.task, cell.key.depth] = cell
    (baseline,) = {_name(comparison.baseline) for comparison in report.comparisons}
    for name, cells in by_name.items():
        yield _Arm(
            name=name,
            cells=cells,
            comparisons={
                each.scheme.task: each for each in report.comparisons if _name(each.scheme) == name
            },
            limits={
                limit.key.task: limit.depth_limit
                for limit in report.limits
                if _name(limit.key) == name
            },
            largest_rate=_largest_rate(members, cells.get(RATES)),
            step_time=_step_time(cells, by_name[baseline]),
        )


def _name(key: ArmKey) -> str:
    return f"{key.residual} {key.norm}"


def _largest_rate(members: pd.DataFrame, cell: Cell | None) -> float | None:
    """Largest learning rate at which at least half of the seeds of a cell learn."""
    if cell is None:
        return None
    task, depth = RATES
    rows = members[
        (members["task"] == task)
        & (members["depth"] == depth)
        & (members["residual"] == cell.key.arm.residual)
        & (members["norm"] == cell.key.arm.norm)
    ]
    learnt = rows["final_loss"] < LEARNT * rows["blind_loss"]
    share = learnt.groupby(rows["lr"]).mean()
    rates = share.index[share >= 0.5]
    return float(rates.max()) if len(rates) else None


def _step_time(
    cells: Mapping[tuple[str, int], Cell], baseline: Mapping[tuple[str, int], Cell]
) -> float | None:
    ratios = [
        cell.ms_per_member_step / base.ms_per_member_step
        for place, cell in cells.items()
        if (base := baseline.get(place)) and base.ms_per_member_step and cell.ms_per_member_step
    ]
    return geometric_mean(ratios) if ratios else None


def _line(arm: _Arm) -> str:
    parts = [arm.name]
    for task in ("sort", "state"):
        comparison = arm.comparisons.get(task)
        deepest = max((depth for of, depth in arm.cells if of == task), default=None)
        parts += [_limit(arm.limits.get(task), deepest), *_compared(comparison)]
    recall = [cell for (task, _), cell in arm.cells.items() if task == "recall"]
    parts += [", ".join(f"{cell.solved}/{cell.seeds}" for cell in recall) or "–"]
    parts += [_steps(arm.comparisons.get("recall"))]
    parts += [_number(arm.step_time), _number(arm.largest_rate)]
    return _row(parts)


def _limit(limit: int | None, deepest: int | None) -> str:
    if deepest is None:
        return "–"
    if limit is None:
        return "none"
    return f"≥ {limit}" if limit == deepest else str(limit)


def _compared(comparison: Comparison | None) -> tuple[str, str]:
    """Doublings and steps against the baseline."""
    if comparison is None or comparison.doublings is None:
        return "–", _steps(comparison)
    bound = "≥ " if comparison.at_least else "≤ " if comparison.at_most else ""
    doublings = comparison.doublings
    text = f"{bound}{doublings.value:+.1f} ({doublings.low:.1f} to {doublings.high:.1f})"
    return _marked(text, comparison.verdict), _steps(comparison)


def _steps(comparison: Comparison | None) -> str:
    if comparison is None or comparison.speed is None:
        return "–"
    speed = comparison.speed
    if speed.low is None or speed.high is None:
        return f"{speed.value:.2f}"
    text = f"{speed.value:.2f} ({speed.low:.2f} to {speed.high:.2f})"
    return _marked(text, _by_steps(speed))


def _by_steps(speed: Estimate | None) -> str:
    if speed is None or speed.low is None or speed.high is None:
        return "undecided"
    return "better" if speed.high < 1 else "worse" if speed.low > 1 else "undecided"


def _marked(text: str, verdict: str) -> str:
    return {"better": f"**{text}**", "worse": f"*{text}*"}.get(verdict, text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2g}"


def _summary(arms: Sequence[_Arm]) -> str:
    compared = [arm for arm in arms if arm.comparisons]
    better, worse = (
        [arm for arm in compared if verdict in arm.verdicts()] for verdict in ("better", "worse")
    )
    both = [arm for arm in better if arm in worse]
    only = [arm for arm in better if arm not in worse]
    return (
        f"Of {len(compared)} schemes, {len(only)} are better than `add` pre-norm in some task and "
        f"worse in none, by depth or, where no depth decides, by steps: {_listed(only)}. "
        f"{len(both)} are better in one and worse in another: {_listed(both)}; "
        f"{len(worse) - len(both)} are worse only.\n"
    )


def _listed(arms: Sequence[_Arm]) -> str:
    return ", ".join(f"{arm.name} ({_number(arm.step_time)} × the time)" for arm in arms) or "none"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
