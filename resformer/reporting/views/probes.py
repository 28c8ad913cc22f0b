"""What a probe of untrained stacks found: a verdict on each, in a table and in words, and the
numbers behind it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pandas as pd
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from resformer.errors import DiskError, UserError
from resformer.keys import NAMES
from resformer.reporting.text.words import named
from resformer.stats.health import COLLAPSED, GROWTH, Health, health
from resformer.store import files

_SHORT = {**NAMES, "task": "task", "model.residual": "residual", "model.norm": "norm"}
_MEASURED = {
    "residual": "relative residual {} behind the last layer",
    "stream": "the stream ends {} times as large as the embedding",
    "gradient": "the gradient of the first block is {} times that of the last",
}


HEADINGS = {
    "rms": "size",
    "similarity": "alike",
    "relative_residual": "residual",
    "effective_rank": "rank",
    "branch_share": "branch",
    "attention_entropy": "entropy",
    "query_first": "query 1",
    "ffn_first": "FFN 1",
    "ffn_last": "FFN L",
}
"""Of `ends`."""
ENDS = (
    "Behind the last layer: size of the stream (RMS), how alike two tokens are (mean cosine), "
    "relative residual, "
    "effective rank, share of the branch in the stream; entropy of the last attention (nats); "
    "norms of the gradients "
    "of the query matrix of block 1 and of the FFN's second matrix in the first and the last block"
)


@final
@dataclass(frozen=True)
class Probed:
    """Medians over seeds of every measure, by stack."""

    axes: list[str]
    """What tells stacks apart besides their depth."""
    stacks: dict[tuple[Any, ...], dict[int, pd.DataFrame]]
    """By what the axes are and by depth: a row per layer, a column per measure."""

    def name(self, key: tuple[Any, ...]) -> str:
        """A stack's, but for its depth."""
        return " ".join(
            named(axis, value)
            for axis, value in zip(self.axes, key, strict=True)
            if value is not None
        )

    @property
    def depths(self) -> list[int]:
        """All there are."""
        return sorted({depth for stacks in self.stacks.values() for depth in stacks})


def probed(table: pd.DataFrame, swept: Sequence[str], measures: Sequence[str]) -> Probed:
    """The medians of a probe's table; `swept` are the keys that vary."""
    table = table.rename(columns=NAMES)
    keys = [_SHORT.get(key, key) for key in swept if key in _SHORT or key in table]
    axes = list(
        dict.fromkeys(["residual", "norm", *(key for key in keys if key not in ("depth", "seed"))])
    )
    stacks: dict[tuple[Any, ...], dict[int, pd.DataFrame]] = {}
    table[axes] = table[axes].astype(object).where(table[axes].notna(), None)
    place: Any
    for place, part in table.groupby([*axes, "depth"], sort=False, dropna=False):
        key, depth = [None if pd.isna(value) else value for value in place[:-1]], int(place[-1])
        stacks.setdefault(tuple(key), {})[depth] = medians(part, measures)
    return Probed(axes, stacks)


def medians(rows: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """By layer; NaN where at least half of the seeds have none, since a seed that broke is no
    reason to hide it.
    """
    by_layer = rows.groupby("layer")[list(measures)]
    return by_layer.median().where(by_layer.count().mul(2).gt(by_layer.size(), axis=0))


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


def verdict(stack: pd.DataFrame) -> Health:
    """On one stack."""
    gradients = stack.filter(regex="^gradient_").to_numpy()[1:]
    by_sublayer = np.sqrt(np.nansum(gradients**2, axis=1))
    by_block = np.hypot(by_sublayer[0::2], by_sublayer[1::2])
    return health(stack["rms"].to_numpy(), stack["relative_residual"].to_numpy(), by_block)


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
            here = verdict(stacks[depth]) if depth in stacks else None
            row.append(cell(here) if here else Text(""))
        table.add_row(*row)
    return table


def cell(one: Health) -> Text:
    """A verdict in a table."""
    healthy = one.word == "healthy"
    return Text(
        short(one.value) if healthy else f"{one.word[:3]} {short(one.value)}",
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
    verdicts = {depth: verdict(stack) for depth, stack in sorted(found.stacks[key].items())}
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
    table = columned(f"depth {deepest}", HEADINGS.values())
    for key, stacks in found.stacks.items():
        if deepest in stacks:
            table.add_row(Text(found.name(key)), *map(short, ends(stacks[deepest]).values()))
    return table


def ends(stack: pd.DataFrame) -> dict[str, float]:
    """What `HEADINGS` name of one stack, and `ENDS` explains."""
    behind = ["rms", "similarity", "relative_residual", "effective_rank", "branch_share"]
    feed = stack["gradient_ffn_out"]
    gradients = {
        "query_first": stack["gradient_query"].iloc[1],
        "ffn_first": feed.iloc[2],
        "ffn_last": feed.iloc[-1],
    }
    return {
        **{name: float(stack[name].iloc[-1]) for name in behind},
        "attention_entropy": float(stack["attention_entropy"].iloc[-2]),
        **{name: float(number) for name, number in gradients.items()},
    }


def _legend() -> Text:
    return Text(
        f"exp(loding): the stream, or the gradient on its way back, grows more than {GROWTH:g} "
        "times; col(lapsed): "
        f"less than {COLLAPSED:.0%} of the stream tells tokens apart (relative residual); "
        "van(ishing): stream or "
        f"gradient shrink more than {GROWTH:g} times; the number is what decided, of a healthy "
        "stack its relative "
        f"residual. {ENDS}. Medians over seeds"
    )
