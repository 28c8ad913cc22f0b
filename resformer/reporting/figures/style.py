"""Style of the figures: type and ink, a colour per scheme or norm placement, lines and markers."""

import colorsys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, cycle
from typing import Any, final

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from resformer.keys import Value, by_value
from resformer.reporting.layout import Layout
from resformer.reporting.schema import Report

INK, FAINT = "#1a1a1a", "#b3b3b3"
SIZE, SMALL = 8.0, 7.0
"""Sizes of type, in points."""

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

Series = tuple[Value, ...]
"""Values of the axes across: a column of the report's table, a line of its figures."""
Dashes = Any
"""A line style as matplotlib takes it."""

MOST_SERIES = 8
"""Series that lines tell apart; of more, there are heat maps and small multiples."""

# Okabe and Ito's colours, for all common kinds of colour vision.
_SCHEMES = {
    "plain": "#D55E00",
    "add": "#0072B2",
    "rezero": "#009E73",
    "deepnorm": "#CC79A7",
    "layerscale": "#E69F00",
}
_SPARE = ("#56B4E9", "#7A7A7A")
# Paul Tol's muted colours, for all common kinds of colour vision, none of them a scheme's.
_NORMS = {
    "post": "#332288",
    "pre": "#44AA99",
    "none": "#882255",
    "sandwich": "#999933",
    "pre_post": "#CC6677",
    "branch": "#DDCC77",
    "own": "#88CCEE",
}
_COLOURS: Mapping[str, tuple[Mapping[str, str], Sequence[str]]] = {
    "residual": (_SCHEMES, _SPARE),
    "norm": (_NORMS, ()),
}
"""Colours of an axis: those of its values, and first ones for values without."""
# No pattern is dotted: dots mark a loss that is carried on.
_LINES: dict[str, tuple[Dashes, str]] = {
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
class SeriesStyle:
    """Colour, line style and marker of a series."""

    colour: str
    dashes: Dashes
    marker: str


GREY = SeriesStyle(FAINT, "-", "")
"""Style of a line that belongs to no series."""


def series_styles(report: Report, layout: Layout) -> dict[Series, SeriesStyle]:
    """Styles of the series of all panels.

    One axis has the colours: the residual scheme if it varies, else the norm placement, else the
    first of the columns that varies; the others have lines and markers.
    """
    varying = [axis for axis in layout.columns if axis in report.varying]
    first = [axis for axis in _COLOURS if axis in varying] or varying
    coloured = first[0] if first else "residual"
    colour_of = colours(coloured, {cell.key.value(coloured) for cell in report.cells})
    styled = [axis for axis in varying if axis != coloured or axis == "norm"]
    keys = dict.fromkeys(cell.key.of(styled) for cell in report.cells)
    lines = (
        {key: _LINES[str(key[0])] for key in keys}
        if styled == ["norm"]
        else dict(zip(keys, cycle(_LINES.values()), strict=False))
    )
    several = len(colour_of) > 1
    return {
        cell.key.of(layout.columns): SeriesStyle(
            colour_of[cell.key.value(coloured)] if first or not several else INK,
            *lines[cell.key.of(styled)],
        )
        for cell in report.cells
    }


def colours(axis: str, values: Iterable[Value]) -> dict[Value, str]:
    """Colours of an axis's values: the same in all figures, or one that none of the others has."""
    own, spare = _COLOURS.get(axis, ({}, tuple(_NORMS.values())))
    free = _distinct(spare)
    return {value: own.get(str(value)) or next(free) for value in sorted(values, key=by_value)}


def _distinct(first: Sequence[str]) -> Iterator[str]:
    """Yield these colours, then others without end, around the colour circle by golden sections."""
    yield from first
    for number in count(1):
        red, green, blue = colorsys.hsv_to_rgb(0.618034 * number % 1, 0.75, 0.7)
        yield f"#{round(red * 255):02X}{round(green * 255):02X}{round(blue * 255):02X}"


@cache
def width_of(text: str, size: float = SIZE) -> float:
    """Width of a text, in inches."""
    outline = TextPath((0, 0), text, size=size, prop=FontProperties())
    return float(outline.vertices[:, 0].max(initial=0)) / 72


def shortened(text: str, width: float, size: float = SIZE) -> str:
    """Cut a text that is wider than `width` inches."""
    if width_of(text, size) <= width:
        return text
    fits = bisect_right(
        range(1, len(text)), width, key=lambda kept: width_of(f"{text[:kept]}…", size)
    )
    return f"{text[: max(1, fits)]}…"
