"""Models of a claim's study as they are planned, by the settings that name an arm."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, final

import pandas as pd

from resformer.errors import UserError
from resformer.keys import Value, as_typed, by_value, short
from resformer.model.serial import shape_to_json
from resformer.model.shape import Member, Shape
from resformer.reporting.analysis.cells import plain
from resformer.results import presets
from resformer.results.members import parse_conditions, select, selectable
from resformer.store.shapes import shape_settings

PARAMETERS = "parameters"
"""Axis of the number of parameters, which is no setting."""
_SHAPE = "shape"
"""Column with the number of a member's shape."""


class Start(NamedTuple):
    """Models of one shape before training."""

    shape: Shape
    seeds: list[int]
    """Ascending."""
    rates: int
    """Number of learning rates."""


@final
@dataclass(frozen=True)
class Starts:
    """Planned members, a row each: settings as in `Findings.members`, the number of parameters and
    that of the shape.
    """

    members: pd.DataFrame
    shapes: list[Shape]

    def of(self, arm: str) -> pd.DataFrame:
        """Rows of an arm; UserError if it has none."""
        return select(self.members, parse_conditions(arm.split(), "arm"), "arm")

    def along(self, arm: str, key: str) -> dict[Value, Start]:
        """Models of an arm by the value that they have of a setting, ascending; UserError if two
        shapes have the same.
        """
        return {place: start for (place,), start in self.places(arm, [key]).items()}

    def places(self, arm: str, keys: Sequence[str]) -> dict[tuple[Value, ...], Start]:
        """Models of an arm by their values of several settings, likewise."""
        rows = self.of(arm)
        columns = [*map(self.column, keys)]
        starts = {}
        for _, own in rows.groupby(columns, sort=False, dropna=False) if keys else [((), rows)]:
            place = tuple(plain(own[column].iloc[0]) for column in columns)
            words = (f"{key}={as_typed(value)}" for key, value in zip(keys, place, strict=True))
            starts[place] = self._one(" ".join([arm, *words]), own)
        return dict(sorted(starts.items(), key=lambda pair: [*map(by_value, pair[0])]))

    def one(self, arm: str) -> Start:
        """The models of an arm of one shape; UserError if there are several."""
        return self._one(arm, self.of(arm))

    def column(self, key: str) -> str:
        """Column of a setting, or of the number of parameters; UserError if there is none."""
        if key == PARAMETERS:
            return key
        if short(key) not in selectable(self.members):
            raise UserError(f"on: {key}: is no setting of this study")
        return short(key)

    def _one(self, arm: str, rows: pd.DataFrame) -> Start:
        numbers = rows[_SHAPE].unique()
        if len(numbers) > 1:
            settings = [name for name in selectable(rows) if name not in ("seed", "lr")]
            differing = [name for name in settings if rows[name].astype(str).nunique() > 1]
            raise UserError(
                f"arm: {arm}: has {len(numbers)} models; say which {' and '.join(differing)}"
            )
        seeds = sorted(map(int, rows["seed"].unique()))
        return Start(self.shapes[numbers[0]], seeds, rows["lr"].nunique())


def starts(shapes: Iterable[tuple[Shape, Iterable[Member]]]) -> Starts:
    """The models of a request's shapes."""
    planned: list[Shape] = []
    rows: list[dict[str, Any]] = []
    for shape, members in shapes:
        settings = presets.named(shape_settings({"shape": shape_to_json(shape)}))
        facts = {PARAMETERS: shape.transformer().num_parameters, _SHAPE: len(planned)}
        rows += [{**settings, **facts, "seed": each.seed, "lr": each.lr} for each in members]
        planned.append(shape)
    return Starts(pd.DataFrame(rows), planned)
