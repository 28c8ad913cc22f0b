"""Two looks at a study: more seeds where the first does not decide, half-octaves at the limits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, final

import numpy as np
import pandas as pd

from resformer.errors import Incompatible
from resformer.model.shape import Member, Shape
from resformer.reporting.analysis.cells import CellMembers, axes_of, by_cell, keys_by_shape
from resformer.reporting.analysis.comparisons import adjusted_row, comparisons
from resformer.reporting.analysis.pairs import DEFAULT_PAIRING
from resformer.reporting.schema import ArmKey, Comparison
from resformer.rounds.finished import DIGEST, ShapeMembers, chosen, shape_digest
from resformer.rounds.planned import planned
from resformer.stats import looks
from resformer.stats.depth import depth_run
from resformer.stats.multiplicity import method
from resformer.sweep.request import Request
from resformer.text import counted

_WORSE, _UNDECIDED = 3, 4
"""Exit codes."""


@final
@dataclass(frozen=True, kw_only=True)
class Look:
    """Cells and comparisons of some members of a study, and the arm that each shape belongs to."""

    cells: Sequence[CellMembers]
    comparisons: Sequence[Comparison]
    arms: dict[Shape, ArmKey]

    @property
    def p(self) -> list[float]:
        """p-values of the comparisons that can be tested, corrected for depths only."""
        return [row.p for row in self.comparisons if row.p is not None]

    @property
    def tested(self) -> list[Comparison]:
        """The comparisons that have a p-value."""
        return [row for row in self.comparisons if row.p is not None]


@final
@dataclass(frozen=True, kw_only=True)
class Settled:
    """Comparisons of a study after both looks, with p-values that count the looks, too."""

    comparisons: tuple[Comparison, ...]
    not_compared: int
    """Number of comparisons that could not be made, as their arms share no learning rate."""
    looked_twice: int
    """Number of comparisons that had a second look."""

    def count(self, verdict: Literal["better", "worse", "undecided"]) -> int:
        """Number of comparisons with this verdict; one that could not be made is undecided."""
        made = sum(row.verdict == verdict for row in self.comparisons)
        return made + self.not_compared * (verdict == "undecided")

    @property
    def exit_code(self) -> int:
        """0 if all are better, 3 if all are decided and some worse, 4 if some are undecided."""
        if self.count("undecided"):
            return _UNDECIDED
        return _WORSE if self.count("worse") else 0

    @property
    def words(self) -> str:
        """The outcome in one line."""
        verdicts = ", ".join(
            f"{self.count(verdict)} {verdict}" for verdict in ("better", "worse", "undecided")
        )
        twice = f"{self.looked_twice} after a second look" if self.looked_twice else "at first look"
        apart = (
            f" ({self.not_compared} of them without a learning rate that ran in both)"
            if self.not_compared
            else ""
        )
        comparisons = counted(len(self.comparisons) + self.not_compared, "comparison")
        return (
            f"settled: of {comparisons} {verdicts}{apart}, {twice}; the p-values above count both "
            "looks"
        )


def look(members: pd.DataFrame, shapes: Sequence[ShapeMembers]) -> Look:
    """A look at the members of these shapes, of rows as of `with_digests`."""
    rows = chosen(members, shapes)
    axes, _, _ = axes_of(rows)
    cells = by_cell(rows, axes)
    keys = keys_by_shape(rows, axes)
    numbers = dict(zip(rows[DIGEST], rows["shape"], strict=True))
    return Look(
        cells=cells,
        comparisons=comparisons(cells, DEFAULT_PAIRING),
        arms={shape: keys[numbers[shape_digest(shape)]].arm for shape, _ in shapes},
    )


def second_request(first: Request, members: pd.DataFrame) -> Request:
    """The request with what the first look calls for, all of whose members have finished.

    As many seeds again for both arms of each comparison that is not decided, and half-octave depths
    beside each arm's limit.
    """
    seen = look(members, first.shapes)
    open_arms = {
        arm
        for row, again in zip(seen.tested, looks.undecided(seen.p), strict=True)
        if again
        for arm in (row.scheme, row.baseline)
    }
    grown = [
        (shape, _as_many_again(own) if seen.arms[shape] in open_arms else own)
        for shape, own in first.shapes
    ]
    between = {
        half: (shape, own)
        for shape, own in grown
        for half in _half_octaves(shape, seen)
        if half not in seen.arms
    }
    return replace(
        first,
        shapes=[*grown, *((half, own) for half, (_, own) in between.items())],
        auto_rates=first.auto_rates
        | {half for half, (shape, _) in between.items() if shape in first.auto_rates},
        recordings={
            **first.recordings,
            **{
                half: first.recordings[shape]
                for half, (shape, _) in between.items()
                if shape in first.recordings
            },
        },
    )


def settled(first: Request, second: Request, members: pd.DataFrame) -> Settled:
    """The comparisons after both looks, at the depths of the first, of finished members.

    Half-octave depths refine limits and take no part in a test: the seeds of the first look chose
    them.
    """
    seen = look(members, first.shapes)
    depths = {shape for shape, _ in first.shapes}
    again = look(members, [(shape, own) for shape, own in second.shapes if shape in depths])
    by_pair = {(row.scheme, row.baseline): row for row in again.comparisons}
    later = [by_pair[row.scheme, row.baseline] for row in seen.tested]
    open_M = looks.undecided(seen.p)
    adjusted = looks.second_look(seen.p, [row.p or 0.0 for row in later])
    by = method(len(seen.tested))
    rows = iter(
        [
            adjusted_row(row_later if is_open else row, float(p), by)
            for row, row_later, is_open, p in zip(seen.tested, later, open_M, adjusted, strict=True)
        ]
    )
    return Settled(
        comparisons=tuple(row if row.p is None else next(rows) for row in seen.comparisons),
        not_compared=_not_compared(first, seen),
        looked_twice=int(np.sum(open_M)),
    )


def _not_compared(request: Request, seen: Look) -> int:
    """Number of comparisons of a request that a look at its results does not have."""
    expected = planned(request)
    return len(expected.pairs) + len(expected.without_shared_rates) - len(seen.comparisons)


def _as_many_again(members: Sequence[Member]) -> list[Member]:
    """The members, and each rate again with as many seeds that follow the largest one."""
    seeds = sorted({member.seed for member in members})
    rates = sorted({member.lr for member in members})
    new = range(seeds[-1] + 1, seeds[-1] + 1 + len(seeds))
    return [*members, *(Member(seed=seed, lr=lr) for seed in new for lr in rates)]


def _half_octaves(shape: Shape, seen: Look) -> list[Shape]:
    """The shape at each depth 3, 6, 12, … between the limit of its arm, if it is at the limit, and
    the next depth of the grid; none where the width comes with the depth, and is given for those of
    the grid only.
    """
    arm = sorted(
        (cell for cell in seen.cells if cell.key.arm == seen.arms[shape]),
        key=lambda cell: cell.key.depth,
    )
    depths = [cell.key.depth for cell in arm]
    solved = [int((~np.isnan(cell.scored(cell.budget))).sum()) for cell in arm]
    _, limit = depth_run(depths, solved, [len(cell.seeds) for cell in arm])
    if shape.model.depth != limit or limit == depths[-1]:
        return []
    alike = [other.model for other, key in seen.arms.items() if key == seen.arms[shape]]
    if len({(model.width, model.heads, model.hidden) for model in alike}) > 1:
        return []
    deeper = depths[depths.index(limit) + 1]
    halves = []
    for depth in (3 * 2**octave for octave in range(deeper.bit_length())):
        if limit < depth < deeper:
            try:
                halves.append(replace(shape, model=replace(shape.model, depth=depth)))
            except Incompatible:
                continue
    return halves
