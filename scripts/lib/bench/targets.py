"""Targets, beside the figures that were measured."""

from collections.abc import Iterator, Mapping

import pandas as pd

from lib.bench.equal import OURS, ratios, shown
from lib.bench.filling import filled
from lib.bench.limit import shares
from lib.bench.settings import per_flop
from lib.bench.tables import number, table


def render(measured: Mapping[str, pd.DataFrame]) -> str:
    """A row per figure that the measured parts decide."""
    lines = [line for part, rows in measured.items() for line in _FIGURES[part](rows)]
    return table("Wanted and found", ["", "wanted", "found", ""], lines)


_RATIOS: dict[str, dict[str, float]] = {
    "S: copy": {"script": 10, "joblib": 6, "jax": 2.7},
    "S: sort": {"script": 6, "joblib": 4, "jax": 2.7},
    "M": {"joblib": 2},
}
"""Wanted rates over those of peers, by the beginning of a case's name."""
_SHARES = {"S, sort, 8 tokens": 45, "S, copy, 16 tokens": 52, "M, sort, 32 tokens": 65}
_ALONE = 1.5
"""Wanted cost of a member alone over that of one among many."""


def _least(name: str, least: float, value: float) -> list[str]:
    return [name, f"≥ {least:g}", number(value), "" if value >= least else "not reached"]


def _most(name: str, most: float, value: float, text: str) -> list[str]:
    return [name, f"≤ {most:g}", text, "" if value <= most else "not reached"]


def _equal(rows: pd.DataFrame) -> Iterator[list[str]]:
    for case, part in shown(rows).groupby("case", sort=False):
        if "depth 8" in str(case):
            wanted = next(own for name, own in _RATIOS.items() if str(case).startswith(name))
            for peer, least in wanted.items():
                ratio = part.loc[part["peer"] == peer, "ratio"].median()
                yield _least(f"{', '.join(str(case).split(', ')[:3])}: × {peer}", least, ratio)


def _alone(rows: pd.DataFrame) -> Iterator[list[str]]:
    rows = rows.assign(ratio=ratios(rows))
    least = rows[rows["peer"] != OURS].groupby("depth")["ratio"].median().min()
    yield _least("D: × joblib, at the least favourable depth", 1, least)


def _answer(rows: pd.DataFrame) -> Iterator[list[str]]:
    runs, studies = rows[rows["what"] == "script"], rows[rows["what"] == "resformer"]
    ratio = (runs["runs"] * runs["seconds"]).sum() / studies["seconds"].mean()
    yield _least("time to answer: × script per run", 15, ratio)


def _limit(rows: pd.DataFrame) -> Iterator[list[str]]:
    cost = shares(rows)
    cost = cost[cost["build"] == ""].set_index(["case", "members"])
    for case, least in _SHARES.items():
        together = cost.loc[case].drop(index=1)
        yield _least(f"{case}: share of the core's peak, %", least, together["share"].iloc[0])
    for case in _SHARES:
        ratio = cost.loc[(case, 1), "ms"] / cost.loc[case].drop(index=1)["ms"].iloc[0]
        name = f"{case}: a member alone, × one among many"
        yield _most(name, _ALONE, ratio, number(ratio))


def _filling(rows: pd.DataFrame) -> Iterator[list[str]]:
    for plan in filled(rows):
        name, sooner = f"{plan.study}, {plan.workers} workers", plan.undivided / plan.end
        if plan.study.startswith("one"):
            text = "" if plan.workers > 2 or sooner >= 1.85 else "not reached"
            yield [f"{name}: × undivided", "≥ 1.85" * (plan.workers == 2), number(sooner), text]
        else:
            over = plan.end / plan.even
            yield _most(f"{name}: end × workers / work", 1.15, over, number(over))


def _overhead(rows: pd.DataFrame) -> Iterator[list[str]]:
    seconds = rows.groupby("what")["seconds"].median()
    growth = seconds["compile, depth 32"] / seconds["compile, depth 2"]
    for name, most, value, text in (
        ("compile time, depth 32 over depth 2", 1.2, growth, number(growth)),
        ("resformer --help, s", 0.4, seconds["help"], number(seconds["help"])),
        ("plan of 10,000 members in 2,000 jobs, s", 20, seconds["plan"], number(seconds["plan"])),
        ("overhead per job, s", 0.15, seconds["job"], f"{seconds['job']:.3f}"),
    ):
        yield _most(name, most, value, text)


def _settings(rows: pd.DataFrame) -> Iterator[list[str]]:
    ratio = per_flop(rows)["model=modern", True]
    yield _most("a modern block's step per FLOP, × a classic one's", 1.3, ratio, number(ratio))


_FIGURES = {
    "equal": _equal,
    "alone": _alone,
    "answer": _answer,
    "limit": _limit,
    "filling": _filling,
    "settings": _settings,
    "overhead": _overhead,
}
