"""Checks of records read from a study folder.

A folder may come from somebody else: its checksums fit, and still anything may stand in it. Each
function returns in a few words why readers could not use what they were given, or None if they can.
None reads or writes files.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, final

import pyarrow as pa


class Damaged(Exception):
    """One line: a file of a committed result, and how it differs from the one committed."""


@final
class Unreadable(Damaged):
    """A file of a committed result that the disk does not give out now; it may be whole."""


Members = Sequence[Mapping[str, Any]]

_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_-]{0,63}")
_KEY = re.compile(r"[A-Za-z_][0-9A-Za-z_]{0,63}")
_FILE = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_HASH = re.compile(r"[0-9a-f]{64}")

_LONGEST_WORD, _LONGEST_TEXT = 200, 40_000
"""Most characters of a setting; and of anything a user typed."""
_MOST_SETTINGS, _DEEPEST = 500, 4
_MOST_STEPS = 10_000_000
_LARGEST, _HIGHEST = 10**15, 1e30
"""Largest setting: a whole number, which must be a float too; and any other."""
_MOST_SECONDS = 1e12
_SEEDS = 2**32
_OUTCOMES = ("solved", "unsolved", "diverged")

_FACTS = {"parameters": 1e15, "flops_per_step": 1e30, "flops": 1e40, "blind_loss": 1e3}
"""Facts of a planned job, and the largest value of each."""
_NAMED = (("task", "name"), ("model", "residual", "name"), ("model", "norm"), ("device",))
_COUNTED = (("model", "depth"), ("train", "steps"))

_WHOLE, _NUMBER, _MAYBE = (pa.int64(),), (pa.float64(),), (pa.int64(), pa.null())
_RUNS = {
    "seed": _WHOLE,
    "lr": _NUMBER,
    "outcome": (pa.string(),),
    "stalled": (pa.bool_(),),
    "solved_step": _MAYBE,
    "diverged_step": _MAYBE,
    "last_step": _WHOLE,
    "final_loss": _NUMBER,
    "final_accuracy": _NUMBER,
}
_LAYERS = {"seed": _WHOLE, "lr": _NUMBER, "step": _WHOLE, "layer": _WHOLE}
_CURVES = {
    **{"seed": _WHOLE, "lr": _NUMBER, "step": _WHOLE},
    **dict.fromkeys(("loss", "gradient_norm", "held_out_loss", "held_out_accuracy"), _NUMBER),
}


def planned_job(tree: object) -> str | None:
    """Check a line of a plan."""
    return (
        job_id(tree.get("id")) or planned_members(tree) or shared(tree)
        if isinstance(tree, dict)
        else "is no object"
    )


def job_id(name: object) -> str | None:
    """Check a job's id."""
    return None if _fits(_ID, name) else "its id is no name"


def planned_members(tree: Mapping[str, Any]) -> str | None:
    """Check the members of a planned job."""
    members = tree.get("members")
    if not isinstance(members, list) or not members:
        return "members is no list of some"
    for member in members:
        if not isinstance(member, dict) or member.keys() != {"seed", "lr"}:
            return "a member is not a seed and a learning rate"
        if not _whole(member["seed"], 0, _SEEDS - 1) or not _number(member["lr"], _HIGHEST):
            return "a member's seed or learning rate is no number that can be"
    return None


def shared(tree: Mapping[str, Any]) -> str | None:
    """Check the part that planned jobs of one shape and size share."""
    for name, largest in _FACTS.items():
        if not _number(tree.get(name), largest):
            return f"{name} is no number that can be"
    return _shape(tree.get("shape"))


def _shape(shape: object) -> str | None:
    """Check a shape. Its settings by dotted key become columns beside those of the runs, so all but
    the device need a dot.
    """
    if not isinstance(shape, dict):
        return "shape is no object"
    if not all(isinstance(section, dict) or key == "device" for key, section in shape.items()):
        return "shape has a setting outside a section"
    if not 0 < _settings(shape, _DEEPEST) <= _MOST_SETTINGS:
        return "shape is no tree of settings"
    for path in _NAMED:
        if not isinstance(_at(shape, path), str):
            return f"{'.'.join(path)} is no text"
    for path in _COUNTED:
        if not _whole(_at(shape, path), 1, _MOST_STEPS):
            return f"{'.'.join(path)} is no number that can be"
    if not isinstance(_at(shape, ("train", "compile")), bool):
        return "train.compile is neither true nor false"
    return None


def _settings(tree: Mapping[object, object], deepest: int) -> int:
    """Count the settings of a tree; more than `_MOST_SETTINGS` if one of them is invalid."""
    count = 0
    for key, value in tree.items():
        if not _fits(_KEY, key):
            return _MOST_SETTINGS + 1
        if isinstance(value, dict) and deepest > 1:
            count += _settings(value, deepest - 1)
        elif _setting(value):
            count += 1
        else:
            return _MOST_SETTINGS + 1
    return count


def _setting(value: object) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_WORD and value.isprintable()
    if type(value) is int:
        return -_LARGEST <= value <= _LARGEST
    return value is None or isinstance(value, bool) or _number(value, _HIGHEST, -_HIGHEST)


def _at(tree: object, path: Sequence[str]) -> object:
    for key in path:
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def launch_record(tree: object) -> str | None:
    """Check the record of a launch. Keys that only some readers need may be missing, but not be of
    another type.
    """
    if not isinstance(tree, dict):
        return "is no object"
    if not _whole(tree.get("launch"), 1, 10**9):
        return "launch is no number of one"
    if not _time(tree.get("started")):
        return "started is no time"
    if tree.get("planned") is not None and not _whole(tree["planned"], 0, 10**9):
        return "planned is no count"
    engine = tree.get("engine", {})
    if not isinstance(engine, dict) or _settings(engine, 1) > _MOST_SETTINGS:
        return "engine is no list of settings"
    if not _whole(engine.get("retries", 0), 0, 10**6) or not _number(
        engine.get("lease_seconds", 1), 1e9
    ):
        return "engine has a number that cannot be"
    return _excluded(tree.get("excluded", [])) or _typed(tree)


def _excluded(rows: object) -> str | None:
    if not isinstance(rows, list):
        return "excluded is no list"
    for row in rows:
        if (
            not isinstance(row, dict)
            or not _text(row.get("reason"))
            or not isinstance(row.get("settings"), dict)
        ):
            return "what was excluded is not settings and a reason"
        if not all(_text(key) and _setting(value) for key, value in row["settings"].items()):
            return "what was excluded has a setting that is none"
    return None


def _typed(tree: Mapping[str, object]) -> str | None:
    """Check the rest of a launch's record: the command line, versions and fingerprint."""
    for name in ("asked", "swept", "jobs"):
        if not _texts(tree.get(name, [])):
            return f"{name} is no list of texts"
    grids = tree.get("overrides", [])
    if not isinstance(grids, list) or not all(map(_texts, grids)):
        return "overrides is no list of lists of texts"
    for name in ("versions", "fingerprint"):
        texts = tree.get(name, {})
        if not isinstance(texts, dict) or not all(
            _text(key) and _text(value) for key, value in texts.items()
        ):
            return f"{name} has something that is no text"
    return None


def _time(text: object) -> bool:
    """Tell whether this is a time with a time zone, in years that any clock can show."""
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return time is not None and time.tzinfo is not None and 1971 <= time.year < 9999


def result(tree: object, job_id: str) -> str | None:
    """Check the result of a job."""
    if not isinstance(tree, dict):
        return "is no object"
    if tree.get("job") != job_id:
        return f"is of the job {tree.get('job')!r:.40}"
    if not _whole(tree.get("attempt"), 1, 10**9):
        return "attempt is no number of one"
    files = tree.get("files")
    if not isinstance(files, dict):
        return "files is no object"
    for name, facts in files.items():
        if not _fits(_FILE, name):
            return "files has a name that is none of a file"
        if (
            not isinstance(facts, dict)
            or not _whole(facts.get("bytes"), 0, 2**53)
            or not _fits(_HASH, facts.get("sha256"))
        ):
            return f"files: {name} has no size and SHA-256"
    return None


def timing(tree: object) -> str | None:
    """Check the wall times of a job."""
    if not isinstance(tree, dict) or not _number(tree.get("seconds"), _MOST_SECONDS):
        return "has no seconds"
    if not _whole(tree.get("at_once", 1), 1, 10**9):
        return "at_once is no number of members"
    stretches = tree.get("stretches")
    if not isinstance(stretches, list):
        return "stretches is no list"
    for part in stretches:
        fits = (
            isinstance(part, dict)
            and _whole(part.get("members"), 1, 10**9)
            and _whole(part.get("steps"), 1, _MOST_STEPS)
            and _number(part.get("seconds"), _MOST_SECONDS)
        )
        if not fits:
            return "a stretch is not members, steps and seconds"
    return None


def runs(table: pa.Table, members: Members) -> str | None:
    """Check the runs of a job against its planned members."""
    reason = _columns(table, _RUNS)
    if reason is not None:
        return reason
    if len(table) != len(members):
        return f"{len(table)} rows for {len(members)} members"
    rows = table.to_pylist()
    for row, member in zip(rows, members, strict=True):
        if row["seed"] != member["seed"] or row["lr"] != member["lr"]:
            return "its rows are not the members that were planned"
    return next((reason for row in rows if (reason := _run(row)) is not None), None)


def _run(row: Mapping[str, Any]) -> str | None:
    """Check one run. A loss may be anything but negative: it is NaN where a member diverged."""
    if row["outcome"] not in _OUTCOMES:
        return "an outcome is none"
    if row["stalled"] and row["outcome"] != "unsolved":
        return "a member that was not unsolved has stalled"
    if not 0 <= row["last_step"] <= _MOST_STEPS:
        return "a last step cannot be"
    for name in ("solved", "diverged"):
        step = row[f"{name}_step"]
        reached = row["outcome"] == name
        if (step is not None) != reached or not 0 <= (step or 0) <= row["last_step"]:
            return f"a step at which a member {name} cannot be"
    if row["final_loss"] < 0 or not 0 <= row["final_accuracy"] <= 1:
        return "a final loss or accuracy cannot be"
    return None


def layers(table: pa.Table) -> str | None:
    """Check the probes of a job: a row per member, step and layer, from the embedding to an even
    layer.
    """
    measures = {name: _NUMBER for name in table.column_names if name not in _LAYERS}
    reason = _columns(table, {**_LAYERS, **measures})
    if reason is not None:
        return reason
    numbers = table["layer"].to_pylist()
    count = max(numbers, default=0) + 1
    if count < 3 or count % 2 == 0 or numbers != list(range(count)) * (len(numbers) // count):
        return "its layers are not in their order"
    return None


def curves(table: pa.Table) -> str | None:
    """Check the columns of the curves of a job."""
    return _columns(table, _CURVES)


def _columns(table: pa.Table, types_of: Mapping[str, Sequence[pa.DataType]]) -> str | None:
    if table.schema.metadata:
        return "says more than a table does"  # pandas would follow it
    if table.column_names != list(types_of):
        return "has other columns"
    for name, types in types_of.items():
        column = table[name]
        if column.type not in types:
            return f"column {name} is of another type"
        if column.null_count and types is not _MAYBE:
            return f"column {name} has gaps"
    return None


def _number(value: object, highest: float, lowest: float = 0.0) -> bool:
    """Tell whether this is a number in this range, which neither true nor NaN is."""
    return type(value) in (int, float) and lowest <= value <= highest  # type: ignore[operator]


def _whole(value: object, lowest: int, highest: int) -> bool:
    return type(value) is int and lowest <= value <= highest


def _fits(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= _LONGEST_TEXT


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_text, value))
