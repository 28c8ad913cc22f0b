"""Held-out loss against step, drawn with characters while one job trains."""

import math
from collections.abc import Sequence

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def chart(losses: Sequence[float], steps: int, done: int, width: int = 60, height: int = 8) -> str:
    """Bars of the held-out loss (nats per token) from step 0 to the budget; the axis is labelled at
    its ends.
    """
    finite = [loss for loss in losses if math.isfinite(loss)]
    top = max(finite, default=1.0) or 1.0
    filled = max(1, round(width * done / steps)) if steps else width
    columns = [
        losses[min(len(losses) - 1, position * len(losses) // filled)] for position in range(filled)
    ]
    rows = []
    for row in range(height, 0, -1):
        label = f"{top:6.2f} ┤" if row == height else f"{0:6.2f} ┤" if row == 1 else "       │"
        rows.append(label + "".join(_block(loss / top * height - (row - 1)) for loss in columns))
    return "\n".join(
        [*rows, f"       └{'─' * width}", f"        0{'steps':^{width - 8}}{steps:>7}"]
    )


def _block(part: float) -> str:
    if not math.isfinite(part):
        return "×"
    return _EIGHTHS[max(0, min(8, round(part * 8)))]
