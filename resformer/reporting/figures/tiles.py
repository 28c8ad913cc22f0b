"""Tiles of the heat maps: darker for less, hatched where nothing is known, with a text."""

from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_hex, to_rgb
from matplotlib.patches import Rectangle

from resformer.reporting.figures.style import FAINT, INK, SMALL

_MARGIN = 0.05
"""Share of a tile between it and its edge."""


def tile(
    axes: Axes, x: float, y: float, text: str, *, colour: str | None, label: str, gid: str
) -> None:
    """Draw a tile of side 1 around (x, y); hatched without a colour."""
    side = 1 - 2 * _MARGIN
    fill: dict[str, Any] = (
        {"facecolor": "none", "edgecolor": FAINT, "hatch": "////"}
        if colour is None
        else {"facecolor": colour}
    )
    corner = (x - side / 2, y - side / 2)
    axes.add_patch(Rectangle(corner, side, side, linewidth=0, label=label, gid=gid, **fill))
    if text:
        style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": SMALL}
        axes.text(x, y, text, linespacing=1.05, color=_ink(colour), **style)


def bare(axes: Axes, columns: int, lines: int) -> None:
    """Set the limits of axes of so many tiles, and remove their frame."""
    axes.set_xlim(-0.5, columns - 0.5)
    axes.set_ylim(-0.5, lines - 0.5)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def colour_of(number: float, scale: tuple[float, float]) -> str:
    """Colour of steps or of a loss: logarithmic, darker for less, on a scale from least to most."""
    low, high = scale
    return to_hex(mpl.colormaps["cividis"](LogNorm(low, max(high, 2 * low))(max(low, number))))


def _ink(background: str | None) -> str:
    """Colour of a text that can be read on this background."""
    if background is None:
        return INK
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in to_rgb(background)
    ]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    # Black and white have the same contrast at this luminance (WCAG 2).
    return "white" if luminance < 0.179 else "black"
