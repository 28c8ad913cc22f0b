"""Checks of records read from a study folder.

A folder may come from somebody else: its checksums fit, and still anything may stand in it. Each
function raises ValueError, in a few words, if readers could not use what they were given. None
reads or writes files.
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
_HASH, _DIGEST = re.compile(r"[0-9a-f]{64}"), re.compile(r"[0-9a-f]{8,64}")

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
_LATER_FACTS = {"tokens_per_step": 1e15, "seconds": 1e30}
"""Likewise, but plans of earlier versions lack them."""
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
_STEP = {"seed": _WHOLE, "lr": _NUMBER, "step": _WHOLE}
_LAYERS = {**_STEP, "layer": _WHOLE}
_CURVES = _STEP | dict.fromkeys(
    ("loss", "gradient_norm", "held_out_loss", "held_out_accuracy"), _NUMBER
)


def planned_job(tree: Any) -> None:
    """Check a line of a plan."""
    _require(isinstance(tree, dict), "is no object")
    planned_head(tree)
    planned_members(tree)
    shared(tree)


def planned_head(tree: Mapping[str, Any]) -> None:
    """Check the id of a planned job, that of the job it continues, and its code, if it has them."""
    _require(_fits(_ID, tree.get("id")), "its id is no name")
    _require(_fits(_ID, tree.get("continues", "none")), "continues is no name of a job")
    _require("code" not in tree or _fits(_DIGEST, tree["code"]), "code must be a digest")


def planned_members(tree: Mapping[str, Any]) -> None:
    """Check the members of a planned job."""
    members: Any = tree.get("members")
    _require(isinstance(members, list) and members, "members is no list of some")
    for member in members:
        _require(
            isinstance(member, dict) and member.keys() == {"seed", "lr"},
            "a member is not a seed and a learning rate",
        )
        _require(
            _whole(member["seed"], 0, _SEEDS - 1) and _number(member["lr"], _HIGHEST),
            "a member's seed or learning rate is no number that can be",
        )


def shared(tree: Mapping[str, Any]) -> None:
    """Check the part that planned jobs of one shape and size share."""
    later = {name: largest for name, largest in _LATER_FACTS.items() if name in tree}
    for name, largest in {**_FACTS, **later}.items():
        _require(_number(tree.get(name), largest), f"{name} is no number that can be")
    _shape(tree.get("shape"))


def _shape(shape: Any) -> None:
    """Check a shape. Its settings by dotted key become columns beside those of the runs, so all but
    the device need a dot.
    """
    _require(isinstance(shape, dict), "shape is no object")
    _require(
        all(isinstance(section, dict) or key == "device" for key, section in shape.items()),
        "shape has a setting outside a section",
    )
    _require(0 < _settings(shape, _DEEPEST) <= _MOST_SETTINGS, "shape is no tree of settings")
    for path in _NAMED:
        _require(isinstance(_at(shape, path), str), f"{'.'.join(path)} is no text")
    for path in _COUNTED:
        fits = _whole(_at(shape, path), 1, _MOST_STEPS)
        _require(fits, f"{'.'.join(path)} is no number that can be")
    compiled = _at(shape, ("train", "compile"))
    _require(isinstance(compiled, bool), "train.compile is neither true nor false")


def _settings(tree: Mapping[object, object], deepest: int) -> int:
    """Count the settings of a tree; more than `_MOST_SETTINGS` if one of them is invalid."""
    count = 0
    for key, value in tree.items():
        if isinstance(value, dict) and deepest > 1:
            count += _settings(value, deepest - 1) if _fits(_KEY, key) else _MOST_SETTINGS + 1
        else:
            count += 1 if _fits(_KEY, key) and _setting(value) else _MOST_SETTINGS + 1
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


def launch_record(tree: Any, number: int) -> None:
    """Check the record of the launch of this number, None if its checksum does not fit. Keys that
    only some readers need may be missing, but not be of another type.
    """
    _require(isinstance(tree, dict), "not what was written")
    _require(_whole(tree.get("launch"), 1, 10**9), "launch is no number of one")
    _require(_time(tree.get("started")), "started is no time")
    planned, engine = tree.get("planned"), tree.get("engine", {})
    _require(planned is None or _whole(planned, 0, 10**9), "planned is no count")
    _require(
        isinstance(engine, dict) and _settings(engine, 1) <= _MOST_SETTINGS,
        "engine is no list of settings",
    )
    _require(
        _whole(engine.get("retries", 0), 0, 10**6) and _number(engine.get("lease_seconds", 1), 1e9),
        "engine has a number that cannot be",
    )
    _excluded(tree.get("excluded", []))
    for name in ("asked", "swept", "jobs"):
        _require(_texts(tree.get(name, [])), f"{name} is no list of texts")
    grids = tree.get("overrides", [])
    _require(
        isinstance(grids, list) and all(map(_texts, grids)),
        "overrides is no list of lists of texts",
    )
    for name in ("versions", "fingerprint"):
        texts = tree.get(name, {})
        _require(
            isinstance(texts, dict) and _texts([*texts.keys(), *texts.values()]),
            f"{name} has something that is no text",
        )
    _require(tree["launch"] == number, f"is the record of launch {tree['launch']}")


def _excluded(rows: Any) -> None:
    _require(isinstance(rows, list), "excluded is no list")
    for row in rows:
        _require(
            isinstance(row, dict)
            and _text(row.get("reason"))
            and isinstance(row.get("settings"), dict),
            "what was excluded is not settings and a reason",
        )
        _require(
            all(_text(key) and _setting(value) for key, value in row["settings"].items()),
            "what was excluded has a setting that is none",
        )


def _time(text: object) -> bool:
    """Tell whether this is a time with a time zone, in years that all zones can show; a machine
    without a clock begins in 1970.
    """
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return False
    return time is not None and time.tzinfo is not None and 1 < time.year < 9999


def result(tree: Any, job_id: str) -> None:
    """Check the result of a job, None if its checksum does not fit."""
    _require(isinstance(tree, dict), "not what was written")
    _require(tree.get("job") == job_id, f"is of the job {tree.get('job')!r:.40}")
    _require(_whole(tree.get("attempt"), 1, 10**9), "attempt is no number of one")
    files = tree.get("files")
    _require(isinstance(files, dict), "files is no object")
    for name, facts in files.items():
        _require(_fits(_FILE, name), "files has a name that is none of a file")
        _require(
            isinstance(facts, dict)
            and _whole(facts.get("bytes"), 0, 2**53)
            and _fits(_HASH, facts.get("sha256")),
            f"files: {name} has no size and SHA-256",
        )


def timing(tree: Any) -> None:
    """Check the wall times of a job."""
    _require(
        isinstance(tree, dict) and _number(tree.get("seconds"), _MOST_SECONDS), "has no seconds"
    )
    _require(_whole(tree.get("at_once", 1), 1, 10**9), "at_once is no number of members")
    stretches = tree.get("stretches")
    _require(isinstance(stretches, list), "stretches is no list")
    for part in stretches:
        _require(
            isinstance(part, dict)
            and _whole(part.get("members"), 1, 10**9)
            and _whole(part.get("steps"), 1, _MOST_STEPS)
            and _number(part.get("seconds"), _MOST_SECONDS),
            "a stretch is not members, steps and seconds",
        )


def runs(table: pa.Table, members: Members) -> None:
    """Check the runs of a job against its planned members."""
    _columns(table, _RUNS)
    _require(len(table) == len(members), f"{len(table)} rows for {len(members)} members")
    rows = table.to_pylist()
    for row, member in zip(rows, members, strict=True):
        _require(
            row["seed"] == member["seed"] and row["lr"] == member["lr"],
            "its rows are not the members that were planned",
        )
    for row in rows:
        _run(row)


def _run(row: Mapping[str, Any]) -> None:
    """Check one run. A loss may be anything but negative: it is NaN where a member diverged. An
    accuracy is at most 1.
    """
    outcome, last_step = row["outcome"], row["last_step"]
    _require(outcome in _OUTCOMES, "an outcome is none")
    _require(
        not row["stalled"] or outcome == "unsolved", "a member that was not unsolved has stalled"
    )
    _require(0 <= last_step <= _MOST_STEPS, "a last step cannot be")
    for name in ("solved", "diverged"):
        step = row[f"{name}_step"]
        _require(
            (step is not None) == (outcome == name) and 0 <= (step or 0) <= last_step,
            f"a step at which a member {name} cannot be",
        )
    _require(
        not row["final_loss"] < 0 and row["final_accuracy"] <= 1,
        "a final loss or accuracy cannot be",
    )


def layers(table: pa.Table) -> None:
    """Check the probes of a job: a row per member, step and layer, from the embedding to an even
    layer.
    """
    measures = {name: _NUMBER for name in table.column_names if name not in _LAYERS}
    _columns(table, {**_LAYERS, **measures})
    numbers = table["layer"].to_pylist()
    count = max(numbers, default=0) + 1
    _require(
        count >= 3 and count % 2 and numbers == list(range(count)) * (len(numbers) // count),
        "its layers are not in their order",
    )


def curves(table: pa.Table) -> None:
    """Check the columns of the curves of a job."""
    _columns(table, _CURVES)


def _columns(table: pa.Table, types_of: Mapping[str, Sequence[pa.DataType]]) -> None:
    # pandas would follow metadata.
    _require(not table.schema.metadata, "says more than a table does")
    _require(table.column_names == list(types_of), "has other columns")
    for name, types in types_of.items():
        column = table[name]
        _require(column.type in types, f"column {name} is of another type")
        _require(not column.null_count or types is _MAYBE, f"column {name} has gaps")


def _require(condition: object, reason: str) -> None:
    if not condition:
        raise ValueError(reason)


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
