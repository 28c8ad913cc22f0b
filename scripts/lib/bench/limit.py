"""Distance to the limit: our step against its matrix products, and its cost as it grows."""

from typing import Any

import pandas as pd

from lib.bench.cases import MEDIUM, Case
from lib.bench.products import Products, by_kernels, by_torch
from lib.bench.tables import number, table
from resformer.numerics.process import configure_worker
from resformer.training.loop import Training

_SECONDS = 0.5
"""About how long one repetition of one measurement takes."""
_WARM_UP_STEPS = 3
_BASE = Case("S", "sort", depth=8)
_SHARES = [_BASE, Case("S", "copy", depth=8), MEDIUM]
_DEPTHS, _WIDTHS, _MEMBERS = (1, 2, 4, 8, 16, 32), (16, 32, 64, 128), (1, 2, 4, 8, 16, 32)


def measure(repeats: int) -> pd.DataFrame:
    """A row per measurement and repetition: seconds per member-step, and of its products."""
    configure_worker()
    growth = [
        *(("depth", depth, Case("S", "sort", depth), _BASE.stack) for depth in _DEPTHS),
        *(("width", size, Case("S", "sort", _BASE.depth, size), _BASE.stack) for size in _WIDTHS),
        *(("members", members, _BASE, members) for members in _MEMBERS),
    ]
    rows = [row for case in _SHARES for row in _share(case, repeats)]
    steps = [enough(case, members) for _, _, case, members in growth]
    rows += [
        {
            "grows": grows,
            "size": size,
            "members": members,
            "repetition": repetition,
            "step": seconds_per_step(case, members, count),
        }
        for repetition in range(repeats)
        for (grows, size, case, members), count in zip(growth, steps, strict=True)
    ]
    return pd.DataFrame(rows)


def _share(case: Case, repeats: int) -> list[dict[str, Any]]:
    members = case.stack
    steps, products, kernels = (
        enough(case, members),
        Products(case.shape(1), members),
        by_kernels(),
    )
    for product in (by_torch, kernels):
        products.seconds(_WARM_UP_STEPS, product)
    return [
        {
            "case": f"{case.name}, {case.task}, {case.tokens} tokens",
            "members": members,
            "repetition": repetition,
            "step": seconds_per_step(case, members, steps),
            "torch": products.seconds(steps, by_torch) / (steps * members),
            "kernels": products.seconds(steps, kernels) / (steps * members),
            "flops": products.flops() // members,
        }
        for repetition in range(repeats)
    ]


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


def render(rows: pd.DataFrame) -> str:
    """The products' share, and three tables of growth."""
    shares = [_share_cells(str(name), part) for name, part in rows.groupby("case", sort=False)]
    rates = ("share, %", "GFLOP/s")
    head = ["ms per member-step", "members", "step", "torch", *rates, "kernels", *rates]
    title = (
        f"Distance to the limit: a step at depth {_BASE.depth} against its matrix products "
        "alone, one thread"
    )
    note = (
        "torch: the products by torch.bmm, the limit of a step that is made of them; over 100 % "
        "the whole step takes\n"
        "less time. kernels: by resformer's own, packing included; what is computed twice in a "
        "step counts once."
    )
    tables = [table(title, head, shares, [note])]
    for grows, part in rows[rows["grows"].notna()].groupby("grows", sort=False):
        steps = 1000 * part.groupby("size")["step"].median()
        cells = [["ms per member-step", *map(number, steps)]]
        if grows == "depth":
            per_block = [number(step / depth) for depth, step in steps.items()]
            cells.append(["... per block", *per_block])
        title = f"S, sort, 8 tokens, as it grows with {grows}"
        tables.append(table(title, [str(grows), *map("{:.0f}".format, steps.index)], cells))
    return "\n\n".join(tables)


def _share_cells(name: str, rows: pd.DataFrame) -> list[str]:
    cells = [name, str(rows["members"].iloc[0]), number(1000 * rows["step"].median())]
    for products in ("torch", "kernels"):
        shares = 100 * rows[products] / rows["step"]
        rate = (rows["flops"] / rows[products]).median() / 1e9
        cells += [number(1000 * rows[products].median()), f"{shares.median():.0f}", number(rate)]
    return cells
