"""Probe of untrained models as a terminal shows it: verdicts, sentences, and the numbers."""

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
from resformer.reporting.analysis.probes import Probed, ends, model_health
from resformer.reporting.measures import ENDS, EXPLANATION
from resformer.reporting.text.words import kind_of_model
from resformer.stats.health import COLLAPSED, GROWTH, Health, Word
from resformer.store import files

_MEASURED = {
    "residual": "relative residual {} behind the last layer",
    "stream": "the stream ends {} times as large as the embedding",
    "gradient": "the gradient of the first block is {} times that of the last",
}


def write(table: pd.DataFrame, folder: Path) -> Path:
    """Write a probe's table to `layers.csv`, a row per model, seed and layer; UserError if the disk
    refuses.
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


def picture(probed: Probed) -> RenderableType:
    """Verdicts by kind of model and depth, in words as well, and the numbers of the deepest."""
    sentences = (_sentence(probed, key) for key in probed.models)
    return Group(_verdicts(probed), "", *sentences, "", _ends(probed), "", _legend())


def _verdicts(probed: Probed) -> Table:
    table = columned("by depth", map(str, probed.depths))
    for key, models in probed.models.items():
        row = [Text(kind_of_model(probed.axes, key))]
        for depth in probed.depths:
            health = model_health(models[depth]) if depth in models else None
            row.append(verdict(health.word, health.value) if health else Text(""))
        table.add_row(*row)
    return table


def verdict(word: Word, value: float) -> Text:
    """Health of a model and the number that decided it, as a table shows them."""
    healthy = word == "healthy"
    return Text(
        short(value) if healthy else f"{word[:3]} {short(value)}",
        "green" if healthy else "red",
    )


def columned(title: str, headings: Iterable[str]) -> Table:
    """Table whose first column is a name, the others numbers."""
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, title=title)
    table.title_justify, table.title_style = "left", ""
    table.add_column("", overflow="fold")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def short(number: float) -> str:
    """Number in at most six characters, – for NaN."""
    if math.isnan(number):
        return "–"
    if number == 0 or 0.01 <= abs(number) < 1000 or math.isinf(number):
        return f"{number:.2g}" if abs(number) < 100 else f"{number:.0f}"
    digits, exponent = f"{number:.0e}".split("e")
    return f"{digits}e{int(exponent)}"


def _sentence(probed: Probed, key: tuple[Any, ...]) -> Text:
    """The depth from which a kind of model is not healthy, and the number that decided."""
    name = kind_of_model(probed.axes, key)
    by_depth = {
        depth: model_health(by_layer) for depth, by_layer in sorted(probed.models[key].items())
    }
    bad = [depth for depth, health in by_depth.items() if health.word != "healthy"]
    if not bad:
        deepest = max(by_depth)
        return Text(f"{name}: healthy to depth {deepest}; {_number(by_depth[deepest])}")
    first = by_depth[bad[0]]
    return Text(f"{name}: {first.word} from depth {bad[0]}: {_number(first)}")


def _number(health: Health) -> str:
    return _MEASURED[health.measure].format(short(health.value))


def _ends(probed: Probed) -> Table:
    deepest = probed.depths[-1]
    table = columned(f"depth {deepest}", (end.heading for end in ENDS))
    for key, models in probed.models.items():
        if deepest in models:
            numbers = map(short, ends(models[deepest]).values())
            table.add_row(Text(kind_of_model(probed.axes, key)), *numbers)
    return table


def _legend() -> Text:
    return Text(
        f"exp(loding): the stream, or the gradient on its way back, grows more than {GROWTH:g} "
        f"times; col(lapsed): less than {COLLAPSED:.0%} of the stream tells tokens apart (relative "
        f"residual); van(ishing): stream or gradient shrink more than {GROWTH:g} times; the number "
        f"is what decided, of a healthy stack its relative residual. {EXPLANATION}. Medians over "
        "seeds"
    )
