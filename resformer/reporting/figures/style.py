"""How figures look: type and ink, colours that tell schemes apart, lines and markers that tell
norms apart.
"""

import colorsys
from bisect import bisect_right
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, final

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from resformer.reporting.layout import Panel

INK, FAINT = "#1a1a1a", "#b3b3b3"
SIZE, SMALL = 8.0, 7.0
"""Points."""

RC: Any = {
    "font.family": ["sans-serif"],
    "font.size": SIZE,
    "text.color": INK,
    "text.parse_math": False,
    "axes.edgecolor": INK,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": SIZE,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.titlepad": 4.0,
    "axes.titlesize": SIZE,
    "hatch.linewidth": 0.5,
    "lines.markeredgewidth": 0.0,
    "svg.fonttype": "none",
    "svg.hashsalt": "resformer",
    "xtick.color": INK,
    "xtick.labelsize": SMALL,
    "xtick.major.size": 2.5,
    "xtick.major.width": 0.6,
    "ytick.color": INK,
    "ytick.labelsize": SMALL,
    "ytick.major.size": 2.5,
    "ytick.major.width": 0.6,
}

Column = tuple[Any, ...]
Dashes = Any
"""A line style as matplotlib takes it."""

# Okabe & Ito's colours, told apart by all common kinds of colour vision.
_SCHEMES = {
    "plain": "#D55E00",
    "add": "#0072B2",
    "rezero": "#009E73",
    "deepnorm": "#CC79A7",
    "layerscale": "#E69F00",
}
_SPARE = ("#56B4E9", "#7A7A7A")
# No pattern is dotted: dots say that a value is carried on.
_NORMS: dict[str, tuple[Dashes, str]] = {
    "post": ("-", "o"),
    "pre": ((0, (4.5, 1.6)), "s"),
    "none": ((0, (2.4, 2.4)), "^"),
    "sandwich": ((0, (7, 1.4, 1.6, 1.4)), "D"),
    "pre_post": ((0, (4, 1.2, 1.4, 1.2, 1.4, 1.2)), "v"),
    "branch": ((0, (9, 2)), "P"),
    "own": ((0, (6, 1.2, 6, 3.2)), "X"),
}


@final
@dataclass(frozen=True)
class Look:
    """What a column's lines and points look like."""

    colour: str
    dashes: Dashes
    marker: str


GREY = Look(FAINT, "-", "")
"""Of a line that belongs to no column."""


def looks(panel: Panel, schemes: Iterable[str]) -> dict[Column, Look]:
    """A look for each column of a panel. `schemes` are those of the whole report, so that all
    panels agree.

    Colour by residual scheme, lines and markers by norm placement, where these vary; else colour by
    column.
    """
    names = panel.layout.columns
    varying = [
        place for place in range(len(names)) if len({column[place] for column in panel.columns}) > 1
    ]
    scheme, norm = (names.index(name) if name in names else None for name in ("residual", "norm"))
    if scheme in varying or not varying:
        of_scheme = _coloured(schemes)
        colours = [
            of_scheme[str(column[scheme])] if scheme is not None else _COLUMNS[0]
            for column in panel.columns
        ]
        styled = [place for place in varying if place != scheme]
    else:
        colours = [colour for colour, _ in zip(_colours(_COLUMNS), panel.columns, strict=False)]
        styled = [norm] if norm in varying and norm is not None else []
    keys = [tuple(column[place] for place in styled) for column in panel.columns]
    lines = _lines(keys, by_norm=styled == [norm])
    return {
        column: Look(colour, *lines[key])
        for column, colour, key in zip(panel.columns, colours, keys, strict=True)
    }


_COLUMNS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", *_SPARE)


def _coloured(schemes: Iterable[str]) -> dict[str, str]:
    """The colour of every scheme; one that the palette does not know gets one that no other has."""
    names = sorted(set(schemes))
    free = _colours(_SPARE)
    return {name: _SCHEMES.get(name) or next(free) for name in names}


def _colours(first: Sequence[str]) -> Iterator[str]:
    """These colours, then others without end, around the colour circle in golden sections."""
    yield from first
    for number in count(1):
        red, green, blue = colorsys.hsv_to_rgb(0.618034 * number % 1, 0.75, 0.7)
        yield f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"


def _lines(
    keys: Sequence[tuple[Hashable, ...]], by_norm: bool
) -> dict[tuple[Hashable, ...], tuple[Dashes, str]]:
    distinct = list(dict.fromkeys(keys))
    if by_norm:
        return {key: _NORMS[str(key[0])] for key in distinct}
    patterns = list(_NORMS.values())
    return {key: patterns[number % len(patterns)] for number, key in enumerate(distinct)}


@cache
def width_of(text: str, size: float = SIZE) -> float:
    """How wide a text is, in inches."""
    outline = TextPath((0, 0), text, size=size, prop=FontProperties())
    return float(outline.vertices[:, 0].max(initial=0)) / 72


def shortened(text: str, width: float, size: float = SIZE) -> str:
    """The text, cut where it is wider than this (inches)."""
    if width_of(text, size) <= width:
        return text
    fits = bisect_right(
        range(1, len(text)), width, key=lambda kept: width_of(f"{text[:kept]}…", size)
    )
    return f"{text[: max(1, fits)]}…"
