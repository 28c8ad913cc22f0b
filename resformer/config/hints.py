"""Hints for requests that were mistyped: the setting, or the spelling, that would work."""

import difflib
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import pairwise, takewhile

from resformer import plugins
from resformer.config.other_names import Meant, meant
from resformer.keys import in_message
from resformer.plugins import GROUPS, PACKAGES
from resformer.text import shortened

_RANGE = re.compile(r"(?P<first>\d{1,9})(?P<sign>\.\.|-|:)(?P<last>\d{1,9})")
_NUMBER = re.compile(r"[+-]?[\d.]+(?:[eE][+-]?\d+)?")
_SETTING = re.compile(r"(?P<key>[\w./]+) *(?:==|:=|[=:]) *(?P<value>[\w.+,-]*[\w.]),*")
_ENCLOSED = re.compile(r"(?P<key>[\w./]+)=[{(\[](?P<values>[\w.+-]+(?: *, *[\w.+-]+)*),?[)}\]]")
_SETTINGS = re.compile(r"\s*[\w./]+=\S+(?:\s+[\w./]+=\S+)+\s*")
_TINY = re.compile(r"[+-]?(?P<digits>\d[\d_]*\.?[\d_]*|\.\d[\d_]*)(?:[eE][+-]?\d+)?")
COMMANDS_WITH = {
    "study": ("sweep", "probe"),
    "results": ("train", "sweep", "probe"),
    "html": ("sweep", "report"),
    "figures": ("sweep", "report"),
}
"""Options that are mistaken for settings, and commands that have them."""
_SCHEME = "model.residual"
_NOUNS = {_SCHEME: "scheme", "optimizer": "optimiser"}
"""Kinds of variants in prose, where it is not the key."""
_WRITTEN_OUT = 12
"""Most values that a hint writes out."""


def key(text: str, values: Sequence[object], known: Sequence[str]) -> str:
    """The hint for a key that is not there: those that it may mean, the reason why there is none,
    or the keys of its section. `values` are those it was given.
    """
    if having := " or ".join(COMMANDS_WITH.get(text, ())):
        value = shortened(",".join(map(in_message, _plain(values))))
        return f"did you mean --{text} {value}, of resformer {having}?"
    *path, last = re.split(r"[./]", text)
    if path and (group := next((g for g in GROUPS if g.endswith(f".{path[-1]}")), "")):
        return f"did you mean {group}.{last}?"
    section = path[0] if path and any(name.startswith(f"{path[0]}.") for name in known) else ""
    meaning = meant(last, known, section)
    if meaning.reason:
        return meaning.reason
    if keys := [key for key in meaning.keys if key != text]:
        return f"did you mean {_counted_out(last, keys, values) or ' or '.join(keys)}?"
    if section:
        own = [name for name in known if name.startswith(f"{section}.")]
        return f"the settings are {', '.join(own)}"
    sections = dict.fromkeys(name.partition(".")[0] for name in known)
    return f"the sections are {', '.join(sections)}"


def option(name: str, value: str, known: Sequence[str], *, ranges: bool) -> tuple[list[str], str]:
    """Settings with this value, as typed, that an option may mean; and the reason if there is
    none. `ranges` is true where a value may be a range.
    """
    word = name.rpartition(".")[2].replace("-", "_")
    meaning = meant(word, known)
    given = [int(value)] if ranges and value.isdecimal() else []
    ranged = _counted_out(word, meaning.keys, given)
    settings = [f"{key}={shortened(value or 'VALUE')}" for key in meaning.keys]
    return [ranged] if ranged else settings, meaning.reason


def _counted_out(name: str, keys: Sequence[str], values: Sequence[object]) -> str:
    """The setting for as many seeds as the one value says, quoted for the shell; "" for another
    name, and for other values.
    """
    if keys != ["member.seed"] or "seeds" not in name or len(values) != 1:
        return ""
    (count,) = values
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        return ""
    return f"'member.seed=range(0,{count})'"


def of_variant(key: str, group: str, name: str, own: Sequence[str], known: Sequence[str]) -> str:
    """Reason why a variant has no such key, with the nearest hint: a similar setting of its own,
    other sections' but for a scheme's, or all of its own.
    """
    last = key.removeprefix(f"{group}.")
    if similar := difflib.get_close_matches(last, own, n=1, cutoff=0.7):
        return f"there is no such setting; did you mean {group}.{similar[0]}?"
    elsewhere = Meant([]) if group == _SCHEME else meant(last, known, group)
    if elsewhere.reason or elsewhere.keys:
        hint = elsewhere.reason or f"did you mean {' or '.join(elsewhere.keys)}?"
        return f"there is no such setting; {hint}"
    return f"the {_NOUNS.get(group, group)} {name} has {', '.join(own) or 'no settings'}"


def variant(group: str, value: object) -> str:
    """The hint for a variant that is not there: its module if it has a YAML, else the one of a
    similar name, or all names.
    """
    if plugins.has_settings(PACKAGES[group], str(value)):
        kind = PACKAGES[group].rpartition(".")[2]
        return f"there is configs/{GROUPS[group]}/{value}.yaml but no {kind}/{value}.py"
    names = plugins.names(PACKAGES[group])
    similar = difflib.get_close_matches(str(value).lower(), names, n=1, cutoff=0.7)
    if similar:
        return f"there is none; did you mean {GROUPS[group]}={similar[0]}?"
    return f"must be one of {', '.join(names)}"


def scheme(values: Sequence[object]) -> str:
    """The hint for schemes that were given to the shorthand `model.residual=true|false`."""
    names = plugins.names(PACKAGES[_SCHEME])
    shorthand = {True: "add", False: "plain"}
    written_out = [
        shorthand[value] if isinstance(value, bool) else str(value).lower() for value in values
    ]
    if {*written_out} <= {*names}:
        return f"did you mean model/residual={','.join(written_out)}?"
    return "another scheme is model/residual=NAME"


def word(text: str, before: str | None, after: Sequence[str], studies: Collection[str]) -> str:
    """The hint for a word that is no KEY=VALUE, from the words around it."""
    numbers = list(takewhile(_NUMBER.fullmatch, after))
    apart = after[:1] == ["="]
    if setting := _SETTING.fullmatch("".join([text, *after[:2]]) if apart else text):
        further = [] if apart else _continued(text, after)
        values = [value for value in setting["value"].split(",") if value]
        return f"did you mean {shortened(listed(setting['key'], [*values, *further]))}?"
    if _SETTINGS.fullmatch(text):
        return "several settings in one word: leave out the quotes"
    if "=" in text:
        return _value(text)
    if before is not None and _NUMBER.fullmatch(text):
        first = f"{before}{text}" if before.endswith("=") else f"{before},{text}"
        return f"did you mean {shortened(','.join([first, *numbers]))}?"
    places = [f"--study {text}"] if text in studies else []
    for group, package in PACKAGES.items():
        if text in plugins.names(package):
            places.append(f"{GROUPS[group]}={text}")
    return f"did you mean {' or '.join(places)}?" if places else "one such is model.depth=8"


def _continued(text: str, after: Sequence[str]) -> list[str]:
    """Words that go on with a list, as `0, 1, 2` of the shell: those behind a comma."""
    words: list[str] = []
    for index, (before, following) in enumerate(pairwise([text, *after])):
        if not before.endswith(",") or "=" in following:
            break
        words += filter(None, following.split(","))
        if _NUMBER.fullmatch(following):  # more may follow without a comma
            words += takewhile(_NUMBER.fullmatch, after[index + 1 :])
            break
    return words


def _value(text: str) -> str:
    """The hint for a value that the grammar of overrides does not have."""
    if enclosed := _ENCLOSED.fullmatch(text):
        values = [value.strip() for value in enclosed["values"].split(",")]
        return f"several values are {shortened(listed(enclosed['key'], values))}"
    for opened, closed in ("()", "[]", "{}"):
        if text.count(opened) > text.count(closed):
            value = shortened(text.partition("=")[2])
            return f"the bracket of {value} is not closed{_closing(text, closed)}"
        if text.count(opened) < text.count(closed):
            return f"{closed} closes a bracket that is not open"
    return "values are numbers, words, or several, as in model.depth=1,2"


def _closing(text: str, closed: str) -> str:
    """The hint for a bracket that is not closed; "" for several."""
    if _ENCLOSED.fullmatch(text + closed):
        return f"; {_value(text + closed)}"
    is_call = closed == ")" and text.count("(") == 1
    return f"; did you mean '{shortened(text)})'?" if is_call else ""


def listed(key: str, values: Iterable[str]) -> str:
    """The setting with several values, each once."""
    return f"{key}={','.join(dict.fromkeys(values))}"


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
