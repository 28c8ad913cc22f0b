"""Plain-text tables and their numbers."""

from collections.abc import Sequence


def table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], notes: Sequence[str] = ()
) -> str:
    """First column left, the others right, two spaces between; the notes stand under it."""
    widths = [max(len(row[column]) for row in [head, *rows]) for column in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cells[0].ljust(widths[0]),
            *(c.rjust(w) for c, w in zip(cells[1:], widths[1:], strict=True)),
        ]
        return f"  {'  '.join(aligned)}".rstrip()

    rule = " " + "─" * (sum(widths) + 2 * len(widths))
    return "\n".join(
        [title, "", line(head), rule, *map(line, rows), *([""] if notes else []), *notes]
    )


def number(value: float) -> str:
    """Three significant digits, never with an exponent."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def spread(low: float, high: float) -> str:
    """From the smallest to the largest."""
    return f"{number(low)} – {number(high)}"
