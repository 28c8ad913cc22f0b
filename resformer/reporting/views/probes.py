"""Probe of untrained models as a terminal shows it: verdicts, sentences, and the numbers."""

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.errors import writing
from resformer.reporting.analysis.probes import Probed, ends, model_health
from resformer.reporting.measures import ENDS, EXPLANATION
from resformer.reporting.text.words import kind_of_model
from resformer.stats.health import COLLAPSED, GROWTH, Health, Word
from resformer.store import files

_LEGEND = (
    f"exp(loding): the stream, or the gradient on its way back, grows more than {GROWTH:g} times; "
    f"col(lapsed): less than {COLLAPSED:.0%} of the stream tells tokens apart (relative residual); "
    f"van(ishing): stream or gradient shrink more than {GROWTH:g} times; the number is what "
    f"decided, of a healthy stack its relative residual. {EXPLANATION}. Medians over seeds"
)
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
    with writing("--to", folder):
        folder.mkdir(parents=True, exist_ok=True)
        files.write(path, table.to_csv(index=False).encode())
    return path


def picture(probed: Probed) -> RenderableType:
    """Verdicts by kind of model and depth, in words as well, and the numbers of the deepest."""
    verdicts = columned("by depth", map(str, probed.depths))
    sentences = []
    deepest = probed.depths[-1]
    numbers = columned(f"depth {deepest}", (end.heading for end in ENDS))
    for key, models in probed.models.items():
        name = kind_of_model(probed.axes, key)
        health = {depth: model_health(models[depth]) for depth in sorted(models)}
        cells = (
            verdict(health[depth].word, health[depth].value) if depth in health else ""
            for depth in probed.depths
        )
        verdicts.add_row(Text(name), *cells)
        sentences.append(_sentence(name, health))
        if deepest in models:
            numbers.add_row(Text(name), *map(short, ends(models[deepest]).values()))
    return Group(verdicts, "", *sentences, "", numbers, "", Text(_LEGEND))


def verdict(word: Word, value: float | None) -> Text:
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


def short(number: float | None) -> str:
    """Number in at most six characters, – for None and NaN."""
    if number is None or math.isnan(number):
        return "–"
    if number == 0 or 0.01 <= abs(number) < 1000 or math.isinf(number):
        return f"{number:.2g}" if abs(number) < 100 else f"{number:.0f}"
    digits, exponent = f"{number:.0e}".split("e")
    return f"{digits}e{int(exponent)}"


def _sentence(name: str, by_depth: Mapping[int, Health]) -> Text:
    """The depth from which a kind of model is not healthy, and the number that decided."""
    bad = [depth for depth, health in by_depth.items() if health.word != "healthy"]
    depth = bad[0] if bad else max(by_depth)
    health = by_depth[depth]
    reach = f"{health.word} from depth {depth}:" if bad else f"healthy to depth {depth};"
    return Text(f"{name}: {reach} {_MEASURED[health.measure].format(short(health.value))}")
