"""Equal work: everyone does the same steps from the same weights on the same tokens."""

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from lib.bench import builds
from lib.bench.cases import COPY, DEEP, MEDIUM, SMALL, Case
from lib.bench.peers.base import Losses, Peer, rate
from lib.bench.peers.processes import Joblib
from lib.bench.peers.scan import Jax
from lib.bench.peers.script import Script
from lib.bench.peers.sweep import Sweep
from lib.bench.peers.trainer import Lightning
from lib.bench.peers.tuned import Tuned
from lib.bench.peers.vmap import Vmap
from lib.bench.server import Server
from lib.bench.tables import number, spread, table

OURS = "resformer"
PEERS: dict[str, Callable[[], Peer]] = {
    "script": Script,
    "tuned": Tuned,
    "joblib": Joblib,
    "vmap": Vmap,
    "jax": Jax,
    "lightning": Lightning,
    OURS: Sweep,
}
_BUILT: dict[str, Callable[[], Peer]] = {
    f"{OURS} by {build}": partial(Sweep, build) for build in builds.BUILDS
}
"""Ourselves with kernels of other builds, in one case."""
_STACKLESS = ("joblib", OURS)
"""Peers that are compared where nothing can be stacked."""

_SECONDS = 1.5
"""About how long one repetition of one peer takes."""
_STEPS = 20
_COMPARED = 2
"""Members whose losses are compared: one of each learning rate."""
_FIRST, _LAST, _ROUNDING = 2e-6, 1e-2, 10.0
"""Allowed difference of a loss from resformer's: relatively, from the first to the twentieth step,
growing geometrically; and in any case so many times as much as resformer's own float32 has differed
from its float64 until then.

The same maths in another order of sums differs by 1e-7 in the first step. It grows, since Adam
divides by the gradient's own size and ReLU has a kink: to 2e-7 … 2e-3 in the twentieth step at
depth 8, 1e-2 at depth 32. Other maths shows early: on copy at depth 8, AdamW's eps of 1e-6 by 1e-5
and no clipping by 2e-5 in the third step, beta2 of 0.999 by 2e-4 in the sixth.
"""


def measure(repeats: int) -> pd.DataFrame:
    """A row per case, peer and repetition; one without a rate for a peer that does not agree."""
    return pd.DataFrame(
        [
            row
            for case in [*SMALL, MEDIUM]
            for row in _compare(case, [*PEERS, *(_BUILT if case == COPY else ())], repeats)
        ]
    )


def measure_alone(repeats: int) -> pd.DataFrame:
    """The same where nothing can be stacked."""
    return pd.DataFrame([row for case in DEEP for row in _compare(case, list(_STACKLESS), repeats)])


def _compare(case: Case, peers: list[str], repeats: int) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        servers = {peer: stack.enter_context(Server({**PEERS, **_BUILT}[peer])) for peer in peers}
        settings = {peer: server.ask("prepare", case) for peer, server in servers.items()}
        losses = {peer: server.ask("losses", _STEPS) for peer, server in servers.items()}
        allowed = _allowed(losses[OURS], servers[OURS].ask("exact", _STEPS))
        deviations = {peer: _deviation(losses[peer], losses[OURS]) for peer in peers}
        facts = {
            peer: {
                "case": str(case),
                "depth": case.depth,
                "peer": peer,
                "setting": settings[peer],
                "deviation": float(deviations[peer].max()),
            }
            for peer in peers
        }
        agreeing = [peer for peer in peers if (deviations[peer] <= allowed).all()]
        steps = {peer: _enough(servers[peer]) for peer in agreeing}
        rows = [facts[peer] for peer in peers if peer not in agreeing]
        for repetition in range(repeats):
            for peer in agreeing:
                timed = servers[peer].ask("run", steps[peer])
                rows.append(
                    {
                        **facts[peer],
                        "repetition": repetition,
                        "member_steps_per_second": rate(timed),
                    }
                )
        return rows


def _deviation(losses: Losses, ours: Losses) -> Losses:
    """Largest relative difference of the compared members, by step; NaN agrees with nothing."""
    both = min(_COMPARED, len(losses))
    return np.asarray((np.abs(losses[:both] - ours[:both]) / ours[:both]).max(axis=0))


def _allowed(ours: Losses, exact: Losses) -> Losses:
    """Allowed difference of a peer in each step."""
    return np.maximum(
        np.geomspace(_FIRST, _LAST, _STEPS),
        _ROUNDING * np.maximum.accumulate(_deviation(exact, ours)),
    )


def _enough(server: Server) -> int:
    """Steps that take about as long as a repetition should."""
    seconds = max(process.seconds for process in server.ask("run", _STEPS))
    return max(_STEPS, round(_STEPS * _SECONDS / seconds))


def render(rows: pd.DataFrame) -> str:
    """A table per case with all peers."""
    rows = shown(rows)
    tables = [_peers(str(name), part) for name, part in rows.groupby("case", sort=False)]
    legend = (
        "Median of the repetitions, smallest – largest; × is resformer's rate over the peer's, "
        "median of the\nratios within a repetition. Peers read tokens drawn in advance, which "
        "favours them; resformer draws\nits own. script, tuned, vmap and lightning are one "
        "process, as they are used; joblib, jax and resformer\none per core. resformer's workers "
        "also tell malloc to keep what is freed."
    )
    title = "Equal work: member-steps per second of the whole machine"
    return "\n\n".join([title, *tables, legend])


def shown(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of the cases that stack, with their ratios; an earlier file may hold others."""
    rows = rows.assign(ratio=ratios(rows))
    return rows[rows["case"].isin([str(case) for case in [*SMALL, MEDIUM]])]


def render_alone(rows: pd.DataFrame) -> str:
    """A row per depth."""
    return _depths(rows.assign(ratio=ratios(rows)))


def ratios(rows: pd.DataFrame) -> pd.Series:
    """Our rate over each row's, within the same case and repetition."""
    key = ["case", "repetition"]
    ours = rows[rows["peer"] == OURS].set_index(key)["member_steps_per_second"]
    return pd.Series(
        ours.reindex(pd.MultiIndex.from_frame(rows[key])).to_numpy()
        / rows["member_steps_per_second"]
    )


def _peers(name: str, rows: pd.DataFrame) -> str:
    lines = []
    for peer, part in rows.groupby("peer", sort=False):
        rates = part["member_steps_per_second"]
        [setting, deviation] = part[["setting", "deviation"]].iloc[0]
        if rates.notna().all():
            ratio = number(part["ratio"].median())
            rest = [number(rates.median()), spread(rates.min(), rates.max()), ratio]
        else:
            rest = ["not timed", f"losses differ by {deviation:.0e}", ""]
        lines.append([f"{peer}: {setting}", *rest])
    return table(name, ["", "median", "range", "×"], lines)


def _depths(rows: pd.DataFrame) -> str:
    lines = []
    for depth, part in rows.groupby("depth"):
        cells = [str(depth)]
        for peer in _STACKLESS:
            rates = part.loc[part["peer"] == peer, "member_steps_per_second"]
            cells += [number(rates.median()), spread(rates.min(), rates.max())]
        ratios = part.loc[part["peer"] == _STACKLESS[0], "ratio"]
        lines.append([*cells, number(ratios.median()), spread(ratios.min(), ratios.max())])
    title = f"{rows['case'].iloc[0].split(', depth')[0]}, one member per job"
    head = ["depth", _STACKLESS[0], "range", OURS, "range", "×", "range"]
    return table(title, head, lines)
