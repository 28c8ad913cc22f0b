"""File of a claim: its settings, the statistic that it rests on and the bound, in YAML."""

import contextlib
import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, final, get_args, get_type_hints

from resformer import plugins
from resformer.claims.bound import Bound
from resformer.claims.statistics.base import Statistic, Trained
from resformer.config import study_file
from resformer.errors import UserError
from resformer.keys import Json
from resformer.model.serial import digest, shape_to_json
from resformer.model.shape import Member, Shape

T = TypeVar("T")

PACKAGE = "resformer.claims.statistics"
_PREFIX = "claim-"
_TEXTS = ("title", "source", "saw", "differs", "earlier")
_PARTS = ("study", "statistic", "holds")
_NEEDS = "needs"
_KNOWN = (*_TEXTS, *_PARTS, _NEEDS, "also")


@final
@dataclass(frozen=True, kw_only=True)
class Condition:
    """A statistic and the bound that it must be in."""

    statistic: Statistic
    holds: Bound

    def to_json(self) -> Json:
        """The condition in plain values, of which the hash of a claim is made."""
        return {"statistic": _as_json(self.statistic), "holds": dataclasses.asdict(self.holds)}


@final
@dataclass(frozen=True, kw_only=True)
class Claim:
    """A claim as its file states it."""

    path: Path
    title: str
    """The claim, in a sentence."""
    source: str
    """The paper, and the place in it; "" for a claim of one's own."""
    saw: str
    """Observation of the source."""
    differs: str
    """Differences of the settings here from the source's."""
    earlier: str
    """The verdict of an earlier version of this test, and why it was wrong."""
    grids: Sequence[Sequence[str]]
    """Overrides of its study, as a study file has them."""
    statistic: Statistic
    """The statistic that the verdict rests on."""
    bound: Bound
    needs: Condition | None
    """A condition without which the statistic decides nothing, such as that something was learnt;
    None for a claim that needs none.
    """
    also: Sequence[Statistic]
    """Statistics that are reported beside it, without a bound."""

    @property
    def name(self) -> str:
        """Name of its file."""
        return self.path.stem

    @property
    def study(self) -> str:
        """Name of its study."""
        return self.name if self.name.startswith(_PREFIX) else f"{_PREFIX}{self.name}"

    @property
    def trains(self) -> bool:
        """True if its study is swept; False if it is about models before training."""
        return any(isinstance(each, Trained) for each in self.statistics)

    @property
    def statistics(self) -> list[Statistic]:
        """All that are measured: the judged one, that of the condition, and those beside it."""
        needs = [] if self.needs is None else [self.needs.statistic]
        return [self.statistic, *needs, *self.also]

    def digest(self, shapes: Iterable[tuple[Shape, Iterable[Member]]]) -> str:
        """Hash of what is stated before the run: the members with all settings resolved, statistic,
        bound and condition.
        """
        stated: Json = {
            "members": sorted(
                [digest(shape_to_json(shape)), each.seed, each.lr]
                for shape, members in shapes
                for each in members
            ),
            "judged": Condition(statistic=self.statistic, holds=self.bound).to_json(),
            "needs": None if self.needs is None else self.needs.to_json(),
        }
        return digest(stated, 64)


def _as_json(statistic: Statistic) -> Json:
    settings = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in dataclasses.asdict(statistic).items()
    }
    return {"name": plugins.name_of(statistic), **settings}


def locate(path: Path) -> Path:
    """The file that a path or name stands for: a name without suffix that is no file is that of a
    claim in `configs/claim`, of the working directory or the package; UserError if there is none.
    """
    if path.suffix or path.is_file():
        return path
    named = plugins.claims()
    if str(path) not in named:
        raise UserError(f"{path}: is no file and no claim; there are {', '.join(named)}")
    return named[str(path)]


def read(path: Path) -> Claim:
    """Read a claim; UserError, with the file, for anything that is no claim."""
    tree = study_file.plain(path)
    try:
        return _claim(path, tree)
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _claim(path: Path, tree: object) -> Claim:
    if not isinstance(tree, dict):
        raise UserError(f"must have the keys {', '.join(_KNOWN)}")
    if unknown := [key for key in tree if key not in _KNOWN]:
        raise UserError(f"{unknown[0]}: is no key of a claim; there are {', '.join(_KNOWN)}")
    if lacking := [key for key in ("title", *_PARTS) if not tree.get(key)]:
        raise UserError(f"lacks {', '.join(lacking)}")
    texts = {key: tree.get(key, "") for key in _TEXTS}
    if bad := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise UserError(f"{bad[0]}: must be text")
    also = tree.get("also", [])
    if not isinstance(also, list):
        raise UserError("also: must be a list of statistics")
    return Claim(
        path=path,
        **texts,
        grids=_grids(tree["study"]),
        statistic=_statistic("statistic", tree["statistic"]),
        bound=_built(Bound, "holds", tree["holds"]),
        needs=_condition(tree[_NEEDS]) if _NEEDS in tree else None,
        also=[_statistic("also", each) for each in also],
    )


def _condition(tree: object) -> Condition:
    if not isinstance(tree, dict) or {*tree} != {"statistic", "holds"}:
        raise UserError(f"{_NEEDS}: must have a statistic and holds")
    return Condition(
        statistic=_statistic(f"{_NEEDS}: statistic", tree["statistic"]),
        holds=_built(Bound, f"{_NEEDS}: holds", tree["holds"]),
    )


def _grids(tree: object) -> list[list[str]]:
    lists = study_file.as_grids(tree)
    if lists is None:
        raise UserError("study: must be a list of overrides (KEY=VALUE), or a list of such lists")
    return lists


def _statistic(where: str, tree: object) -> Statistic:
    if not isinstance(tree, dict) or not isinstance(tree.get("name"), str):
        raise UserError(f"{where}: must have a name, one of {', '.join(plugins.names(PACKAGE))}")
    try:
        kind = plugins.load(PACKAGE, tree["name"], Statistic)
    except LookupError as error:
        raise UserError(f"{where}: name: {error}") from error
    return _built(kind, where, {key: value for key, value in tree.items() if key != "name"})


def _built(kind: type[T], where: str, tree: object) -> T:
    """The dataclass of these settings, texts as YAML has them; UserError if they do not fit."""
    if not isinstance(tree, dict):
        raise UserError(f"{where}: must be a mapping of settings")
    fields = {field.name: field for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    if unknown := [key for key in tree if key not in fields]:
        raise UserError(f"{where}: {unknown[0]}: is no setting; there are {', '.join(fields)}")
    required = [name for name, field in fields.items() if field.default is dataclasses.MISSING]
    if lacking := [name for name in required if name not in tree]:
        raise UserError(f"{where}: lacks {', '.join(lacking)}")
    hints = get_type_hints(kind)
    values = {key: _value(f"{where}: {key}", hints[key], value) for key, value in tree.items()}
    try:
        return kind(**values)
    except UserError as error:
        raise UserError(f"{where}: {error}") from error


def _value(where: str, hint: Any, value: object) -> object:
    if hint == tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise UserError(f"{where}: must be a list of texts")
        return tuple(value)
    if not isinstance(value, str):
        raise UserError(f"{where}: must be text or a number")
    if hint is str:
        return value
    kind = next(each for each in (*get_args(hint), hint) if each is not type(None))
    with contextlib.suppress(ValueError):
        number: float = kind(value)
        if math.isfinite(number):
            return number
    raise UserError(f"{where}={value}: must be a number")
