"""Members of studies: a row per finished member, with its settings, outcome and time."""

import difflib
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import final

import pandas as pd

from resformer.errors import UserError
from resformer.keys import NAMES, RECORDING, Json, as_typed, by_value, short
from resformer.results import presets
from resformer.results.problems import LeftBehind, Problems
from resformer.results.runs import StudyRuns, read_runs
from resformer.store.plan import by_shape, superseding
from resformer.store.shapes import shape_settings
from resformer.store.study import Study
from resformer.text import shortened

_FACTS = ("parameters", "flops_per_step", "tokens_per_step", "blind_loss")
_BUDGET = "train.steps"


@final
@dataclass(frozen=True, kw_only=True)
class Findings:
    """Results of some studies: finished members, and the jobs that have none.

    `members` has a row per finished member: `study`, `job`, `shape` (a number, the same for members
    whose settings are the same), `seed`, `lr`, every setting by its dotted key (task, depth,
    residual and norm by these names), the columns of `runs.parquet`, `parameters`,
    `flops_per_step`, `tokens_per_step` (NaN in plans that lack it), `blind_loss` (nats per token)
    and `ms` (per member and step).
    """

    studies: tuple[Study, ...]
    problems: Problems
    digest: str
    """Hash of everything that was read: equal ones have equal reports."""
    conditions: dict[str, list[str]]
    """Values by key that the members were selected by."""
    load: Callable[[], pd.DataFrame]
    """Makes `members`, which a cached report does not need."""
    load_left_behind: Callable[[], tuple[LeftBehind, ...]]
    """Makes `left_behind`."""

    @cached_property
    def left_behind(self) -> tuple[LeftBehind, ...]:
        """Members of the studies that a larger budget left behind."""
        return self.load_left_behind()

    @cached_property
    def members(self) -> pd.DataFrame:
        """Row per finished member."""
        return self.load()

    def read_curves(self, members: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
        """Columns of `curves.parquet` for some of the members, beside `study`, `job`, `seed`, `lr`
        and `step`.

        Raises Damaged if a file changed since the members were read.
        """
        return self._read(members, "curves", ["seed", "lr", "step", *columns])

    def read_layers(self, members: pd.DataFrame) -> pd.DataFrame:
        """All of `layers.parquet` for some of the members that were probed; raises Damaged."""
        return self._read(members, "layers", None)

    def _read(self, members: pd.DataFrame, name: str, columns: list[str] | None) -> pd.DataFrame:
        studies = {study.name: study for study in self.studies}
        tables = []
        for key, job_members in members.groupby(["study", "job"], sort=False):
            study, job = map(str, key)
            table = studies[study].results.table(job, name, columns)
            selected = pd.MultiIndex.from_frame(job_members[["seed", "lr"]])
            rows = pd.MultiIndex.from_frame(table[["seed", "lr"]]).isin(selected)
            tables.append(table[rows].assign(study=study, job=job))
        return pd.concat(tables, ignore_index=True)

    def where(self, conditions: Mapping[str, Sequence[str]]) -> "Findings":
        """Select the members whose settings have one of these values, by key; UserError for an
        unknown key or value.
        """
        if not conditions or self.members.empty:
            return self
        members = select(self.members, conditions)
        lists = {key: list(texts) for key, texts in conditions.items()}
        return replace(
            self,
            digest=_digest([self.digest, lists]),
            conditions=lists,
            load=lambda: members,
        )


def select(
    members: pd.DataFrame, conditions: Mapping[str, Sequence[str]], option: str = "--where"
) -> pd.DataFrame:
    """Rows of the members whose settings have one of these values, by key; UserError, which names
    the option, for an unknown key or value.
    """
    every = members
    for key, texts in conditions.items():
        column = short(key)
        if column not in selectable(members):
            raise UserError(
                f"{option} {shortened(key)}: is no setting; {_selectable(column, members)}"
            )
        values = sorted(every[column].drop_duplicates(), key=by_value)
        for text in texts:
            if not any(_matches(value, text) for value in values):
                raise UserError(
                    f"{option} {key}={text}: there are {', '.join(map(as_typed, values))}"
                )
        selected = [value for value in values if any(_matches(value, text) for text in texts)]
        members = members[members[column].isin(selected)]
    if members.empty:
        raise UserError(f"{option} {' '.join(conditions)}: no member has all of these")
    return members


def _matches(value: object, text: str) -> bool:
    """True if a user may have typed the value like this."""
    if as_typed(value) == text or (value, text) in (("add", "true"), ("plain", "false")):
        return True
    try:
        return (
            isinstance(value, int | float) and not isinstance(value, bool) and float(text) == value
        )
    except ValueError:
        return False


def parse_conditions(texts: Iterable[str], option: str = "--where") -> dict[str, list[str]]:
    """Values by key of conditions KEY=VALUE or KEY=VALUE,VALUE, without the blanks around them;
    UserError, which names the option, for anything else.
    """
    conditions: dict[str, list[str]] = {}
    for text in texts:
        key, _, listed = text.partition("=")
        key, values = key.strip(), [value.strip() for value in listed.split(",")]
        if not key or not listed.strip():
            raise UserError(f"{option} {text}: must be KEY=VALUE, as in model.norm=pre")
        if key in conditions:
            raise UserError(f"{option} {text}: {key} is given twice; KEY=VALUE,VALUE takes either")
        conditions[key] = values
    return conditions


def selectable(members: pd.DataFrame) -> list[str]:
    """Columns that members can be selected by: the settings, seed and learning rate."""
    dotted = [name for name in members.columns if "." in name]
    return [*NAMES.values(), "seed", "lr", presets.KEY, *dotted, "device"]


def _selectable(column: str, members: pd.DataFrame) -> str:
    """The hint for a setting that is none: the one of a similar name, or the first of all."""
    names = {name.rpartition(".")[2]: name for name in reversed(selectable(members))}
    if similar := difflib.get_close_matches(column.rpartition(".")[2], names, n=1):
        return f"did you mean {names[similar[0]]}?"
    return f"there are {shortened(', '.join(selectable(members)))}"


def read(studies: Iterable[Study], *, max_hashed: int = 2000, batch_jobs: int = 500) -> Findings:
    """Read the results of studies; `max_hashed` and `batch_jobs` as in `read_runs`."""
    runs = [read_runs(study, max_hashed=max_hashed, batch_jobs=batch_jobs) for study in studies]
    problems = sum((part.problems for part in runs), Problems())
    members = cache(lambda: _members(runs))
    states = [[part.study.name, part.study.launches(), part.states] for part in runs]
    return Findings(
        studies=tuple(part.study for part in runs),
        problems=problems,
        digest=_digest([repr(problems), *states]),
        conditions={},
        load=lambda: members()[0],
        load_left_behind=lambda: members()[1],
    )


def _digest(tree: object) -> str:
    return hashlib.sha256(json.dumps(tree).encode()).hexdigest()


def _members(runs: Sequence[StudyRuns]) -> tuple[pd.DataFrame, tuple[LeftBehind, ...]]:
    """Members of several studies, each once, with their settings; and those left behind."""
    tables = [_with_settings(part) for part in runs if len(part.table)]
    if not tables:
        return pd.DataFrame(), ()
    members = pd.concat(tables, ignore_index=True)
    settings = [name for name in selectable(members) if name not in ("seed", "lr", *RECORDING)]
    planned = ["study", "planned_shape"]
    shapes = members.drop_duplicates(planned)[[*planned, *settings]]
    shapes["shape"] = shapes.groupby(["study", *settings], dropna=False, sort=False).ngroup()
    members = members.merge(shapes[[*planned, "shape"]], on=planned).drop(columns="planned_shape")
    members = members.drop_duplicates(["shape", "seed", "lr"], ignore_index=True)
    return _within_longest_budget(members, ["study", *settings])


def _within_longest_budget(
    members: pd.DataFrame, settings: Sequence[str]
) -> tuple[pd.DataFrame, tuple[LeftBehind, ...]]:
    """Members without those of a smaller budget than that within which members of the same settings
    went on: they are the members of a study that had the larger budget from the start. And of those
    left out, the ones that did not go on.

    `linked` is true in the jobs that went on, and in those that they went on from.
    """
    same = [name for name in settings if name != _BUDGET]
    cell = members.groupby(same, dropna=False, sort=False).ngroup()
    budgets = pd.DataFrame({"cell": cell, _BUDGET: members[_BUDGET]})
    linked = budgets[members.pop("linked")].drop_duplicates()
    linked["longer"] = linked.groupby("cell")[_BUDGET].transform("max")
    smaller = linked[linked[_BUDGET] < linked["longer"]]
    out = pd.MultiIndex.from_frame(budgets).isin(pd.MultiIndex.from_frame(smaller[[*budgets]]))
    each = members[["study", "seed", "lr", _BUDGET]].assign(cell=cell)
    same = ["cell", "seed", "lr"]
    went_on = pd.MultiIndex.from_frame(each[same]).isin(pd.MultiIndex.from_frame(each[~out][same]))
    left = each[out & ~went_on].merge(smaller, on=[*budgets])
    counts = Counter(zip(left["study"], left[_BUDGET], left["longer"], strict=True))
    return members[~out].reset_index(drop=True), tuple(
        LeftBehind(study=study, steps=steps, longer=longer, members=number)
        for (study, steps, longer), number in sorted(counts.items())
    )


def _with_settings(runs: StudyRuns) -> pd.DataFrame:
    """Members of one study with the settings of their jobs, the shape of each as a number."""
    rows: dict[str, Json] = {}

    def number(job: Json) -> int:
        facts = {name: job.get(name, math.nan) for name in _FACTS}
        settings = presets.named(shape_settings(job))
        row = {**settings, **facts, "planned_shape": len(rows)}
        known: int = rows.setdefault(json.dumps(job["shape"], sort_keys=True), row)["planned_shape"]
        return known

    numbers = by_shape(runs.planned, number)
    members: pd.DataFrame = runs.table.to_pandas()
    settings = pd.DataFrame([*rows.values()]).take(members["job"].map(numbers).to_numpy())
    table = pd.concat([members, settings.reset_index(drop=True)], axis=1)
    longer = superseding(runs.planned)
    linked = {name for job in longer for name in (job["id"], job["continues"])}
    return table.assign(study=runs.study.name, linked=table["job"].isin(linked))
