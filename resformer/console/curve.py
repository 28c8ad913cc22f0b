"""The live display of one job that trains: held-out loss against step, drawn with characters."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live

from resformer.console.events import event_line
from resformer.workers.events import Emit, Event

_EIGHTHS = " ▁▂▃▄▅▆▇█"


@contextmanager
def follow_job(console: Console) -> Iterator[Emit]:
    """A receiver of the job's events, which shows them until the context ends."""
    losses: list[float] = []
    with Live("", console=console, refresh_per_second=8, transient=False) as live:

        def show(event: Event) -> None:
            now = event.progress
            if event.kind == "progress" and now is not None:
                losses.append(now.loss)
                line = f"step {now.step}/{now.steps}  held-out loss {now.loss:.3f}  "
                line += f"accuracy {now.accuracy:.3f}"
                if console.is_terminal:
                    live.update(f"{chart(losses, now.steps, now.step)}\n{line}")
                    return
            else:
                line = event_line(event) or ""
            if line:
                live.console.print(line, markup=False)

        yield show


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
