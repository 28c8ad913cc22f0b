"""Figure of the comparisons: doublings of depth that an arm solves more than its baseline (forest
plot).
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from resformer.reporting.figures.axes import grid
from resformer.reporting.figures.data import PanelData
from resformer.reporting.figures.marks import Tips, line
from resformer.reporting.figures.style import FAINT, INK, SMALL, shortened, width_of
from resformer.reporting.schema import Comparison, Estimate
from resformer.reporting.text import words
from resformer.text import printable

CAPTION = (
    "Doublings of depth that the first of each pair solves more than the second, with their 95 % "
    "interval, the most first. Filled: the test of how deep is significant, corrected for all "
    "comparisons. An arrow: at least, or at most, so many, as the arm ahead solves the deepest "
    "tried."
)
_LINE, _SPACE = 0.2, 0.12
"""Height of a comparison, and space between the axes and texts, in inches."""
_LONGEST = 2.4
"""Inches of the longest name."""
MOST = 60
"""Comparisons that are drawn: those that are furthest apart."""


def draw(data: PanelData, tips: Tips) -> Figure | None:
    """Draw the figure; adds the tooltips of its points. None without comparisons, and where both
    arms of each have one depth only.
    """
    rows = [(row, row.doublings) for row in data.comparisons if row.doublings is not None]
    if not rows:
        return None
    apart = sorted(rows, key=lambda drawn: -abs(drawn[1].value))[:MOST]
    ranked = sorted(apart, key=lambda drawn: -drawn[1].value)
    names = [shortened(_name(row, data), _LONGEST, SMALL) for row, _ in ranked]
    texts = [_text(row) for row, _ in ranked]
    left = max(width_of(name, SMALL) for name in names) + 2 * _SPACE
    right = max(width_of(text, SMALL) for text in texts) + 3 * _SPACE
    page = grid(
        1,
        1,
        height=_LINE * (len(ranked) + 1),
        left=left,
        right=right,
        heading=data.panel.title,
    )
    (axes,) = page.panels
    _scale(axes, [estimate for _, estimate in ranked])
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(ranked) - 0.25, -0.75)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=0, label="baseline")
    axes.set_title("doublings of depth against the baseline")
    more = len(rows) - len(ranked)
    axes.set_xlabel(f"{more:,} comparisons that are less apart are not shown" if more else "")
    for y, ((row, estimate), text) in enumerate(zip(ranked, texts, strict=True)):
        gid = tips.add(f"{_name(row, data)}: {text}, {row.verdict}")
        _comparison(axes, row, estimate, y, gid)
        axes.annotate(
            text,
            (1, y),
            (_SPACE * 72, 0),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=SMALL,
            va="center",
        )
    return page.figure


def _scale(axes: Axes, estimates: list[Estimate]) -> None:
    """Set the x axis: all intervals, and zero."""
    values = [0.0]
    for estimate in estimates:
        values += [
            bound for bound in (estimate.value, estimate.low, estimate.high) if bound is not None
        ]
    low, high = min(values), max(values)
    room = 0.06 * (high - low or 1.0)
    low, high = low - room, high + room
    axes.set_xlim(low, high)
    locator = MaxNLocator(8, integer=high - low > 2)
    axes.set_xticks([tick for tick in locator.tick_values(low, high) if low <= tick <= high])


def _comparison(axes: Axes, row: Comparison, estimate: Estimate, y: int, gid: str) -> None:
    """Draw the interval of a comparison, and its value above it."""
    if estimate.low is not None and estimate.high is not None:
        ends = [(estimate.low, y), (estimate.high, y)]
        line(axes, ends, "interval", color=INK, linewidth=1.1, solid_capstyle="butt")
    significant = row.verdict != "undecided"
    line(
        axes,
        [(estimate.value, y)],
        "significant" if significant else "undecided",
        marker=">" if row.at_least else "<" if row.at_most else "o",
        markersize=5.5,
        color=INK,
        markeredgewidth=0.9,
        markerfacecolor=INK if significant else "white",
        gid=gid,
    )


def _name(row: Comparison, data: PanelData) -> str:
    """Names of the two arms, and the values of the axes that vary beside them."""
    apart = data.panel.layout.apart
    where = [
        words.value_label(axis, row.scheme.value(axis))
        for axis in data.panel.layout.columns
        if axis not in row.named_by and axis not in apart and axis != "depth"
    ]
    return printable(", ".join([" / ".join(row.labels), *where]))


def _text(row: Comparison) -> str:
    """The value with its interval and p-value."""
    value, interval = words.doublings(row)
    between = f" ({interval})" if interval else ""
    p = "" if row.p_adjusted is None else f", {words.p_is(row.p_adjusted)}"
    return f"{value}{between}{p}"
