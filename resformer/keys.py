"""Keys of settings: the words they take, their short names, their values as text. Without torch."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeGuard

from resformer.text import shortened

Json = dict[str, Any]

Value = int | float | bool | str | None
"""A setting's value."""

NORMS = ("none", "pre", "post", "sandwich", "pre_post", "branch")
SKIPS = ("both", "attention", "ffn", "none")
ATTENTIONS = ("bidirectional", "causal")
NORM_KINDS = ("layer", "rms", "dyt", "derf")
POSITIONS = ("learned", "rope", "sinusoidal", "none")
ACTIVATIONS = ("relu", "gelu", "silu", "relu2", "swiglu", "geglu")
PARAMETRISATIONS = ("standard", "depth_mup", "completep")
SCHEDULES = ("constant", "cosine", "linear", "wsd")
DEVICES = ("auto", "cpu", "cuda")
COMPILE = ("auto", "true", "false")
PRECISIONS = ("fp32", "tf32", "bf16")
OWN = "own"

CHOICES: dict[str, tuple[str, ...]] = {
    "model.norm": (OWN, *NORMS),
    "model.skip": SKIPS,
    "model.attention": (OWN, *ATTENTIONS),
    "model.norm_kind": NORM_KINDS,
    "model.position": POSITIONS,
    "model.activation": ACTIVATIONS,
    "model.parametrisation": PARAMETRISATIONS,
    "train.schedule": SCHEDULES,
    "train.compile": COMPILE,
    "member.lr": ("auto",),
    "train.precision": PRECISIONS,
    "device": DEVICES,
}
"""Words that a setting takes, by key; a setting may take numbers, too."""

NAMES = {
    "task.name": "task",
    "model.depth": "depth",
    "model.residual.name": "residual",
    "model.norm": "norm",
    "optimizer.name": "optimizer",
}
"""Short names of settings in reports."""
_SHORT = {
    **NAMES,
    "model.residual": "residual",
    "model/residual": "residual",
    "member.seed": "seed",
    "member.lr": "lr",
}
LEARNT = 0.95
"""Share of the blind loss under which a member has learnt something from its input: above it, one
that is unsolved is stalled.
"""
FINE = ((100, 2), (200, 5), (1000, 10))
"""With `train.eval_every=null`: steps up to which members are evaluated every so many steps, finely
while the fast ones solve.
"""
COARSE = 20
"""Steps between two evaluations from then on."""
RECORDING = ("train.keep_weights", "probe.every")
"""Settings of a job's recording, which tell neither jobs nor cells apart."""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Leaves of nested settings by dotted key: {"a": {"b": 1}} → {"a.b": 1}."""
    leaves: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            leaves |= flatten(value, f"{prefix}{key}.")
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def short(key: str) -> str:
    """The name of a setting in reports."""
    return _SHORT.get(key, key)


def in_message(value: Value) -> str:
    """A value as a user types it, in a message; a long one is shortened."""
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else shortened(str(value))


def as_typed(value: Any) -> str:
    """A value from a table as it is typed on the command line: NaN is null, numbers have six
    digits.
    """
    value = value.item() if hasattr(value, "item") else value  # of NumPy
    if value is None or value != value:  # noqa: PLR0124  (a missing value, NaN in pandas)
        return "null"
    if isinstance(value, list):
        return " ".join(map(as_typed, value))
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def is_number(value: object) -> TypeGuard[int | float]:
    """True of an int or a float, but not of a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def by_value(value: Any) -> tuple[bool, float, str]:
    """Sort key of a value: numbers by size, then words."""
    return (False, float(value), "") if is_number(value) else (True, 0.0, str(value))


def exclusion_lines(rows: Iterable[tuple[Mapping[str, Value], str]]) -> list[str]:
    """Combinations of settings that are left out, a line per reason: the values that they have."""
    by_reason: dict[tuple[str, tuple[str, ...]], list[Mapping[str, Value]]] = {}
    for settings, reason in rows:
        by_reason.setdefault((reason, tuple(settings)), []).append(settings)
    lines = []
    for (reason, keys), group in by_reason.items():
        values = {key: dict.fromkeys(in_message(row[key]) for row in group) for key in keys}
        words = ", ".join(f"{key}={','.join(of_key)}" for key, of_key in values.items())
        count = f", {len(group):,} combinations" if len(group) > 1 else ""
        lines.append(f"left out: {words} ({reason}){count}")
    return lines
