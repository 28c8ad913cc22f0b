"""Hints for requests that were mistyped: the setting, or the spelling, that would work."""

import difflib
import re
from collections.abc import Collection, Iterator, Sequence
from itertools import takewhile

from resformer import plugins
from resformer.keys import in_message
from resformer.plugins import GROUPS, PACKAGES
from resformer.text import shortened

_FIXED = {
    "optimizer": "AdamW is the only optimiser",
    "optimiser": "AdamW is the only optimiser",
    "momentum": "AdamW is the only optimiser; train.beta1 is its first moment's",
    "schedule": "the rate rises over train.warmup_steps and then stays",
    "scheduler": "the rate rises over train.warmup_steps and then stays",
    "dropout": "nothing drops out: every sequence is fresh",
    "epochs": "every sequence is fresh; the budget is train.steps",
    "qos": "engine.setup, engine.partition and engine.account are what Slurm is given",
}
"""Settings of other programs that are fixed here or have another name, by their last word."""
_ALIASES = {"seeds": "member.seed", "layers": "model.depth", "dim": "model.width"}
_RANGE = re.compile(r"(?P<first>\d{1,9})(?P<sign>\.\.|-|:)(?P<last>\d{1,9})")
_NUMBER = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?")
_TINY = re.compile(r"[+-]?(?P<digits>\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?")
_WRITTEN_OUT = 12
"""Most values that a hint writes out."""


def key(text: str, known: Sequence[str]) -> str:
    """The hint for a key that is not there: a known one of the same last word or with a similar
    one, a similar key, the reason why there is none, or the keys of its section.
    """
    *path, last = re.split(r"[./]", text)
    if last in _FIXED:
        return _FIXED[last]
    by_word = by_last_word(known)
    similar = difflib.get_close_matches(last, by_word, n=1, cutoff=0.7)
    if similar and by_word[similar[0]] != text:
        return f"did you mean {by_word[similar[0]]}?"
    section = [name for name in known if path and name.startswith(f"{path[0]}.")]
    if section:
        return f"the settings are {', '.join(section)}"
    sections = dict.fromkeys(name.partition(".")[0] for name in known)
    return f"the sections are {', '.join(sections)}"


def by_last_word(known: Sequence[str]) -> dict[str, str]:
    """Keys by their last word, the first of several, and by the names that other programs use."""
    return {**_ALIASES, **{name.rpartition(".")[2]: name for name in reversed(known)}}


def variant(group: str, value: object) -> str:
    """The hint for a variant that is not there: the one of a similar name, or all names."""
    names = plugins.names(PACKAGES[group])
    similar = difflib.get_close_matches(str(value).lower(), names, n=1, cutoff=0.7)
    if similar:
        return f"there is none; did you mean {GROUPS[group]}={similar[0]}?"
    return f"must be one of {', '.join(names)}"


def scheme(values: Sequence[object]) -> str:
    """The hint for schemes that were given to the shorthand `model.residual=true|false`."""
    names = plugins.names(PACKAGES["model.residual"])
    shorthand = {True: "add", False: "plain"}
    written_out = [
        shorthand[value] if isinstance(value, bool) else str(value).lower() for value in values
    ]
    if {*written_out} <= {*names}:
        return f"did you mean model/residual={','.join(written_out)}?"
    return "another scheme is model/residual=NAME"


def word(text: str, before: str | None, after: Sequence[str], studies: Collection[str]) -> str:
    """The hint for a word that is no KEY=VALUE, from the words around it; "" for none."""
    if "=" in text:
        return ""
    if before is not None and _NUMBER.fullmatch(text):
        more = takewhile(_NUMBER.fullmatch, after)
        return f"did you mean {shortened(','.join([before, text, *more]))}?"
    places = [f"--study {text}"] if text in studies else []
    for group, package in PACKAGES.items():
        if text in plugins.names(package):
            places.append(f"{GROUPS[group]}={text}")
    return f"did you mean {' or '.join(places)}?" if places else "one such is model.depth=8"


def elements(key: str, values: Sequence[object]) -> str:
    """The hint for a list in brackets: the same values without them."""
    return f"did you mean {key}={shortened(','.join(map(in_message, _plain(values))))}?"


def _plain(values: Sequence[object]) -> Iterator[int | float | bool | str | None]:
    for value in values:
        text = getattr(value, "text", value)  # of Hydra's quoted strings
        yield text if isinstance(text, int | float | bool | str | None) else str(text)


def span(setting: str, value: object) -> str:
    """The hint for numbers as other languages list them; "" for none. `a..b` and `a-b` end with b,
    `a:b` before it.
    """
    if not isinstance(value, str):
        return ""
    if len(values := value.split()) > 1 and all(map(_NUMBER.fullmatch, values)):
        return f"; did you mean {setting}={shortened(','.join(values))}?"
    bounds = _RANGE.fullmatch(value)
    if bounds is None:
        return ""
    first, end = int(bounds["first"]), int(bounds["last"]) + (bounds["sign"] != ":")
    if end - first < 1:
        return ""
    if end - first <= _WRITTEN_OUT:
        return f"; did you mean {setting}={','.join(map(str, range(first, end)))}?"
    return f"; did you mean '{setting}=range({first},{end})', with the quotes?"


def vanishing(text: str) -> str | None:
    """The first number in a text that is not zero but smaller than any that can be held."""
    numbers = (number for number in _TINY.finditer(text) if re.search("[1-9]", number["digits"]))
    return next((number[0] for number in numbers if float(number[0].replace("_", "")) == 0), None)
