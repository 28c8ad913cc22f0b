"""Style of the figures: type and ink, a colour per scheme, lines and markers per norm placement."""

import colorsys
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, cycle, islice
from typing import Any, final

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from resformer.keys import Value
from resformer.reporting.layout import Panel

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

# Okabe & Ito's colours, told apart by all common kinds of colour vision.
_SCHEMES = {
    "plain": "#D55E00",
    "add": "#0072B2",
    "rezero": "#009E73",
    "deepnorm": "#CC79A7",
    "layerscale": "#E69F00",
}
_SPARE = ("#56B4E9", "#7A7A7A")
_PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", *_SPARE)
# No pattern is dotted: dots mark a loss that is carried on.
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
class SeriesStyle:
    """Colour, line style and marker of a series."""

    colour: str
    dashes: Dashes
    marker: str


GREY = SeriesStyle(FAINT, "-", "")
"""Style of a line that belongs to no series."""


def series_styles(panel: Panel, schemes: Iterable[str]) -> dict[Series, SeriesStyle]:
    """Styles of a panel's series; `schemes` are those of the whole report, so that panels agree.

    Colour by residual scheme, lines and markers by norm placement, where these vary; else colour by
    series.
    """
    axes = panel.layout.columns
    values = [dict(zip(axes, series, strict=True)) for series in panel.columns]
    varying = [axis for axis in axes if len({by_axis[axis] for by_axis in values}) > 1]
    if "residual" in varying or not varying:
        by_scheme = _scheme_colours(schemes)
        colours = [by_scheme.get(str(by_axis.get("residual")), _PALETTE[0]) for by_axis in values]
        styled = [axis for axis in varying if axis != "residual"]
    else:
        colours = list(islice(_colours(_PALETTE), len(values)))
        styled = [axis for axis in varying if axis == "norm"]
    keys = [tuple(by_axis[axis] for axis in styled) for by_axis in values]
    lines = (
        {key: _NORMS[str(key[0])] for key in keys}
        if styled == ["norm"]
        else dict(zip(dict.fromkeys(keys), cycle(_NORMS.values()), strict=False))
    )
    return {
        series: SeriesStyle(colour, *lines[key])
        for series, colour, key in zip(panel.columns, colours, keys, strict=True)
    }


def _scheme_colours(schemes: Iterable[str]) -> dict[str, str]:
    """Colours of the schemes; one without a colour of its own gets one that no other has."""
    names = sorted(set(schemes))
    free = _colours(_SPARE)
    return {name: _SCHEMES.get(name) or next(free) for name in names}


def _colours(first: Sequence[str]) -> Iterator[str]:
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
