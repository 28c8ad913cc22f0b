"""Events of workers in words."""

from resformer.text import printable
from resformer.workers.events import Event


def event_line(event: Event, label: str = "") -> str | None:
    """Describe an event of the job with this label in a line; None for kinds that need no line.

    Without a label it is for a display of one job.
    """
    detail, prefix = printable(event.detail), f"{label}: " if label else ""
    match event.kind:
        case "resumed":
            return f"{prefix}goes on {detail}"
        case "restarted":
            return f"{prefix}starts again: {detail}"
        case "halved":
            return f"{prefix}{detail}"
        case "retried":
            return f"{prefix}{detail}; tried again" if label else f"tried again: {detail}"
        case "failed" if label:
            return f"{prefix}failed: {detail}"
        case "waiting" if not label:
            return "another process holds this job: waiting for it"
    return None
