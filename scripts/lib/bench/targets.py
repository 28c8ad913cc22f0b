"""Targets, beside the figures that were measured."""

from collections.abc import Mapping

import pandas as pd

from lib.bench.equal import OURS, ratios, shown
from lib.bench.tables import number, table


def render(measured: Mapping[str, pd.DataFrame]) -> str:
    """A row per figure that the measured parts decide."""
    lines = [line for part, rows in measured.items() for line in _FIGURES[part](rows)]
    return table("Wanted and found", ["", "wanted", "found", ""], lines)


def _line(name: str, target: str, value: float, held: bool) -> list[str]:
    return [name, target, number(value), "" if held else "not reached"]


def _equal(rows: pd.DataFrame) -> list[list[str]]:
    lines = []
    for case, part in shown(rows).groupby("case", sort=False):
        targets = {"M": {"joblib": 2.0}}.get(
            str(case)[0], {"script": 6.0, "joblib": 4.0, "jax": 3.0}
        )
        if "depth 8" in str(case):
            for peer, least in targets.items():
                ratio = part.loc[part["peer"] == peer, "ratio"].median()
                name = f"{', '.join(str(case).split(', ')[:3])}: × {peer}"
                lines.append(_line(name, f"≥ {least:.0f}", ratio, ratio >= least))
    return lines


def _alone(rows: pd.DataFrame) -> list[list[str]]:
    rows = rows.assign(ratio=ratios(rows))
    least = rows[rows["peer"] != OURS].groupby("depth")["ratio"].median().min()
    return [_line("D: × joblib, at the least favourable depth", "≥ 1", least, least >= 1.0)]


def _answer(rows: pd.DataFrame) -> list[list[str]]:
    runs, studies = rows[rows["what"] == "script"], rows[rows["what"] == "resformer"]
    ratio = (runs["runs"] * runs["seconds"]).sum() / studies["seconds"].mean()
    return [_line("time to answer: × script per run", "≥ 12", ratio, ratio >= 12.0)]


def _limit(rows: pd.DataFrame) -> list[list[str]]:
    lines = []
    for case, part in rows[rows["case"].notna()].groupby("case", sort=False):
        least = 75 if str(case).startswith("M") else 55
        for product in ("torch", "kernels"):
            share = 100 * (part[product] / part["step"]).median()
            lines.append(
                _line(
                    f"{case}: products' share, by {product}, %", f"≥ {least}", share, share >= least
                )
            )
    return lines


def _overhead(rows: pd.DataFrame) -> list[list[str]]:
    seconds = rows.groupby("what")["seconds"].median()
    growth = seconds["compile, depth 32"] / seconds["compile, depth 2"]
    return [
        _line("compile time, depth 32 over depth 2", "≤ 1.2", growth, growth <= 1.2),
        _line("resformer --help, s", "≤ 0.4", seconds["help"], seconds["help"] <= 0.4),
        _line(
            "plan of 10,000 members in 2,000 jobs, s",
            "≤ 20",
            seconds["plan"],
            seconds["plan"] <= 20.0,
        ),
        [
            "overhead per job, s",
            "≤ 0.15",
            f"{seconds['job']:.3f}",
            "" if seconds["job"] <= 0.15 else "not reached",
        ],
    ]


_FIGURES = {
    "equal": _equal,
    "alone": _alone,
    "answer": _answer,
    "limit": _limit,
    "overhead": _overhead,
}
