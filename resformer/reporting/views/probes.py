"""What a probe of untrained stacks found: a verdict on each, in a table and in words, and the
numbers behind it.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.errors import DiskError, UserError
from resformer.reporting.analysis.probes import Probed, ends, stack_health
from resformer.reporting.measures import ENDS, EXPLANATION
from resformer.stats.health import COLLAPSED, GROWTH, Health, Word
from resformer.store import files

_MEASURED = {
    "residual": "relative residual {} behind the last layer",
    "stream": "the stream ends {} times as large as the embedding",
    "gradient": "the gradient of the first block is {} times that of the last",
}


def write(table: pd.DataFrame, folder: Path) -> Path:
    """Write all of a probe's numbers to `layers.csv`, a row per stack, seed and layer; UserError if
    that cannot be.
    """
    path = folder / "layers.csv"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        files.write(path, table.to_csv(index=False).encode())
    except DiskError as error:
        raise UserError(f"--to {error}; name another folder") from error
    except OSError as error:
        raise UserError(
            f"--to {folder}: cannot be written: {error.strerror}; name another folder"
        ) from error
    return path


def picture(found: Probed) -> RenderableType:
    """The verdicts by stack and depth, in words as well, and what is measured behind the deepest
    stacks.
    """
    sentences = (_sentence(found, key) for key in found.stacks)
    return Group(_verdicts(found), "", *sentences, "", _at_the_end(found), "", _legend())


def _verdicts(found: Probed) -> Table:
    table = columned("by depth", map(str, found.depths))
    for key, stacks in found.stacks.items():
        row = [Text(found.name(key))]
        for depth in found.depths:
            health = stack_health(stacks[depth]) if depth in stacks else None
            row.append(verdict(health.word, health.value) if health else Text(""))
        table.add_row(*row)
    return table


def verdict(word: Word, value: float) -> Text:
    """The health of a stack in a table, and the number that decided it."""
    healthy = word == "healthy"
    return Text(
        short(value) if healthy else f"{word[:3]} {short(value)}",
        "green" if healthy else "red",
    )


def columned(title: str, headings: Iterable[str]) -> Table:
    """A table whose first column is a name, and numbers behind it."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, title=title)
    table.title_justify, table.title_style = "left", ""
    table.add_column("", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def short(number: float) -> str:
    """A number in at most six characters, – for none."""
    if math.isnan(number):
        return "–"
    if number == 0 or 0.01 <= abs(number) < 1000 or math.isinf(number):
        return f"{number:.2g}" if abs(number) < 100 else f"{number:.0f}"
    digits, exponent = f"{number:.0e}".split("e")
    return f"{digits}e{int(exponent)}"


def _sentence(found: Probed, key: tuple[Any, ...]) -> Text:
    """From which depth on a kind of stack is not healthy."""
    verdicts = {depth: stack_health(stack) for depth, stack in sorted(found.stacks[key].items())}
    bad = [depth for depth, one in verdicts.items() if one.word != "healthy"]
    deepest = max(verdicts)
    if not bad:
        return Text(f"{found.name(key)}: healthy to depth {deepest}; {_said(verdicts[deepest])}")
    first = verdicts[bad[0]]
    return Text(f"{found.name(key)}: {first.word} from depth {bad[0]}: {_said(first)}")


def _said(one: Health) -> str:
    return _MEASURED[one.measure].format(short(one.value))


def _at_the_end(found: Probed) -> Table:
    deepest = found.depths[-1]
    table = columned(f"depth {deepest}", (end.heading for end in ENDS))
    for key, stacks in found.stacks.items():
        if deepest in stacks:
            table.add_row(Text(found.name(key)), *map(short, ends(stacks[deepest]).values()))
    return table


def _legend() -> Text:
    return Text(
        f"exp(loding): the stream, or the gradient on its way back, grows more than {GROWTH:g} "
        "times; col(lapsed): "
        f"less than {COLLAPSED:.0%} of the stream tells tokens apart (relative residual); "
        "van(ishing): stream or "
        f"gradient shrink more than {GROWTH:g} times; the number is what decided, of a healthy "
        "stack its relative "
        f"residual. {EXPLANATION}. Medians over seeds"
    )
