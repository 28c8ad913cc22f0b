"""Distance to the limit: our step against the most that a core computes, and its cost as it
grows.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, final

import pandas as pd

from lib.bench import builds, peak
from lib.bench.cases import COPY, MEDIUM, SORT, Case
from lib.bench.server import Server
from lib.bench.tables import number, table
from resformer.numerics.process import configure_worker
from resformer.training.loop import Training

_SECONDS = 0.5
"""About how long one repetition of one measurement takes."""
_WARM_UP_STEPS = 3
_MODERN = ("model=modern",)
_FIGURES = {
    "ms": "ms per member-step",
    "rate": "GFLOP/s",
    "core": "peak",
    "share": "share, %",
}
_DEPTHS, _WIDTHS, _MEMBERS = (1, 2, 4, 8, 16, 32), (16, 32, 64, 128), (1, 2, 4, 8, 16, 32)


def measure(repeats: int) -> pd.DataFrame:
    """A row per measurement and repetition: seconds per member-step, its floating-point operations,
    and the core's in a second.
    """
    return pd.DataFrame([*_shares(repeats), *_growth(repeats)])


@final
class Build:
    """A process with kernels of a build."""

    def __init__(self, build: str) -> None:
        builds.use(build)
        configure_worker()
        self._peak = peak.probe()

    def steps(self, case: Case, members: int) -> int:
        """Steps of a measurement."""
        return enough(case, members)

    def share(self, case: Case, members: int, steps: int) -> dict[str, float]:
        """Seconds per member-step, its floating-point operations, and the core's in a second."""
        return {
            "step": seconds_per_step(case, members, steps),
            "flops": case.shape(2).transformer().flops_per_step(case.batch),
            "peak": self._peak(),
        }


def _cases() -> list[tuple[Case, int]]:
    """Cases whose share of the core's peak is measured, each with its members."""
    return [
        *((case, members) for case in (SORT, COPY, MEDIUM) for members in (case.stack, 1)),
        (Case("S", "sort", depth=8, more=_MODERN), SORT.stack),
        (Case("S", "copy", depth=8, more=_MODERN), COPY.stack),
    ]


def _shares(repeats: int) -> Iterator[dict[str, Any]]:
    with ExitStack() as stack:
        servers = {
            build: stack.enter_context(Server(Build, build)) for build in ("", *builds.BUILDS)
        }
        measured = [
            (name, case, members, server.ask("steps", case, members))
            for name, server in servers.items()
            for case, members in (_cases() if not name else [(COPY, COPY.stack)])
        ]
        for repetition in range(repeats):
            for name, case, members, steps in measured:
                yield {
                    "case": _name(case),
                    "members": members,
                    "build": name,
                    "repetition": repetition,
                    **servers[name].ask("share", case, members, steps),
                }


def _name(case: Case) -> str:
    block = ", modern" if case.more else ""
    return f"{case.name}, {case.task}, {case.tokens} tokens{block}"


def _growth(repeats: int) -> Iterator[dict[str, Any]]:
    configure_worker()
    growth = [
        *(("depth", depth, Case("S", "sort", depth), SORT.stack) for depth in _DEPTHS),
        *(("width", size, Case("S", "sort", SORT.depth, size), SORT.stack) for size in _WIDTHS),
        *(("members", members, SORT, members) for members in _MEMBERS),
    ]
    steps = [enough(case, members) for _, _, case, members in growth]
    for repetition in range(repeats):
        for (grows, size, case, members), count in zip(growth, steps, strict=True):
            yield {
                "grows": grows,
                "size": size,
                "members": members,
                "repetition": repetition,
                "step": seconds_per_step(case, members, count),
            }


def enough(case: Case, members: int) -> int:
    """Steps that take about as long as a repetition should."""
    seconds_per_step(case, members, _WARM_UP_STEPS)
    return max(
        _WARM_UP_STEPS,
        round(_SECONDS / (members * seconds_per_step(case, members, _WARM_UP_STEPS))),
    )


def seconds_per_step(case: Case, members: int, steps: int) -> float:
    """Seconds per member-step: the steps alone, without initial weights and evaluations."""
    trained = Training(case.shape(steps), case.members(members)).run()
    return sum(part["seconds"] for part in trained.timing["stretches"]) / (steps * members)


def shares(rows: pd.DataFrame) -> pd.DataFrame:
    """A row per case, number of members and build: medians of milliseconds per member-step, of
    GFLOP/s, of those of the core, and of the share in percent.
    """
    rows = rows[rows["case"].notna()].fillna({"build": ""})
    rate = rows["flops"] / rows["step"]
    rows = rows.assign(
        ms=1000 * rows["step"],
        rate=rate / 1e9,
        core=rows["peak"] / 1e9,
        share=100 * rate / rows["peak"],
    )
    by = ["case", "members", "build"]
    return rows.groupby(by, sort=False)[["ms", "rate", "core", "share"]].median().reset_index()


def render(rows: pd.DataFrame) -> str:
    """Shares of the peak, and three tables of growth."""
    lines = [
        [
            f"{row['case']}{', by ' * bool(row['build'])}{row['build']}",
            f"{row['members']:.0f}",
            *(number(row[figure]) for figure in _FIGURES),
        ]
        for _, row in shares(rows).iterrows()
    ]
    head = ["", "members", *_FIGURES.values()]
    title = f"Distance to the limit: a step at depth {SORT.depth}, one thread"
    notes = [
        "GFLOP/s: of the matrix products of a step, whatever else it does. peak: of a loop that",
        "only multiplies and adds, in the same repetition, by the same compiler.",
    ]
    tables = [table(title, head, lines, notes)]
    for grows, part in rows[rows["grows"].notna()].groupby("grows", sort=False):
        steps = 1000 * part.groupby("size")["step"].median()
        cells = [["ms per member-step", *map(number, steps)]]
        if grows == "depth":
            per_block = [number(step / depth) for depth, step in steps.items()]
            cells.append(["... per block", *per_block])
        title = f"S, sort, 8 tokens, as it grows with {grows}"
        tables.append(table(title, [str(grows), *map("{:.0f}".format, steps.index)], cells))
    return "\n\n".join(tables)
