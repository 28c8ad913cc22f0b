"""Targets, beside the figures that were measured."""

from collections.abc import Iterator, Mapping

import pandas as pd

from lib.bench.equal import OURS, ratios, shown
from lib.bench.filling import filled
from lib.bench.settings import per_flop
from lib.bench.tables import number, table


def render(measured: Mapping[str, pd.DataFrame]) -> str:
    """A row per figure that the measured parts decide."""
    lines = [line for part, rows in measured.items() for line in _FIGURES[part](rows)]
    return table("Wanted and found", ["", "wanted", "found", ""], lines)


def _least(name: str, least: float, value: float) -> list[str]:
    return [name, f"≥ {least:.0f}", number(value), "" if value >= least else "not reached"]


def _equal(rows: pd.DataFrame) -> Iterator[list[str]]:
    for case, part in shown(rows).groupby("case", sort=False):
        small = {"script": 6, "joblib": 4, "jax": 3}
        if "depth 8" in str(case):
            for peer, least in {"joblib": 2}.items() if str(case)[0] == "M" else small.items():
                ratio = part.loc[part["peer"] == peer, "ratio"].median()
                yield _least(f"{', '.join(str(case).split(', ')[:3])}: × {peer}", least, ratio)


def _alone(rows: pd.DataFrame) -> Iterator[list[str]]:
    rows = rows.assign(ratio=ratios(rows))
    least = rows[rows["peer"] != OURS].groupby("depth")["ratio"].median().min()
    yield _least("D: × joblib, at the least favourable depth", 1, least)


def _answer(rows: pd.DataFrame) -> Iterator[list[str]]:
    runs, studies = rows[rows["what"] == "script"], rows[rows["what"] == "resformer"]
    ratio = (runs["runs"] * runs["seconds"]).sum() / studies["seconds"].mean()
    yield _least("time to answer: × script per run", 12, ratio)


def _limit(rows: pd.DataFrame) -> Iterator[list[str]]:
    for case, part in rows[rows["case"].notna()].groupby("case", sort=False):
        for product in ("torch", "kernels"):
            share = 100 * (part[product] / part["step"]).median()
            least = 75 if str(case).startswith("M") else 55
            yield _least(f"{case}: products' share, by {product}, %", least, share)


def _filling(rows: pd.DataFrame) -> Iterator[list[str]]:
    for study, workers, _, over_even, sooner in filled(rows):
        name = f"{study}, {workers} workers"
        if study.startswith("one"):
            text = "" if workers > 2 or sooner >= 1.85 else "not reached"
            yield [f"{name}: × undivided", "≥ 1.85" * (workers == 2), number(sooner), text]
        else:
            text = "" if over_even <= 1.15 else "not reached"
            yield [f"{name}: end × workers / work", "≤ 1.15", number(over_even), text]


def _overhead(rows: pd.DataFrame) -> Iterator[list[str]]:
    seconds = rows.groupby("what")["seconds"].median()
    growth = seconds["compile, depth 32"] / seconds["compile, depth 2"]
    for name, most, value, text in (
        ("compile time, depth 32 over depth 2", 1.2, growth, number(growth)),
        ("resformer --help, s", 0.4, seconds["help"], number(seconds["help"])),
        ("plan of 10,000 members in 2,000 jobs, s", 20, seconds["plan"], number(seconds["plan"])),
        ("overhead per job, s", 0.15, seconds["job"], f"{seconds['job']:.3f}"),
    ):
        yield [name, f"≤ {most}", text, "" if value <= most else "not reached"]


def _settings(rows: pd.DataFrame) -> Iterator[list[str]]:
    ratio = per_flop(rows)["model=modern", True]
    text = number(ratio)
    name = "a modern block's step per FLOP, × a classic one's"
    yield [name, "≤ 1.3", text, "" if ratio <= 1.3 else "not reached"]


_FIGURES = {
    "equal": _equal,
    "alone": _alone,
    "answer": _answer,
    "limit": _limit,
    "filling": _filling,
    "settings": _settings,
    "overhead": _overhead,
}
