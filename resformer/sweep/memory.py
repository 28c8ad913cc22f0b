"""Memory of jobs against that of the machine: what cannot fit is refused before it is begun."""

from collections.abc import Mapping, Sequence

from resformer.engines.base import Engine
from resformer.errors import UserError
from resformer.keys import Json
from resformer.workers import resources

_BYTES_PER_PARAMETER = 16
"""Weight, gradient and two moments in float32; activations come on top."""


def memory_note(engine: Engine, unfinished: Mapping[str, Json], device: str) -> str:
    """Note on jobs of which as many as run at once do not fit into this machine's memory; "" if
    they do, or where workers compute elsewhere. UserError if one alone does not.
    """
    available = resources.memory()
    jobs = [job for job in unfinished.values() if job["shape"]["device"] == "cpu"]
    if available is None or engine.elsewhere or not jobs:
        return ""
    jobs.sort(key=_bytes, reverse=True)
    own = available if engine.memory_gib is None else int(engine.memory_gib * 2**30)
    if _bytes(jobs[0]) > min(own, available):
        raise UserError(_too_large(jobs[0], available, own))
    workers = engine.count(list(unfinished), device)
    if _sum(jobs[:workers]) <= available:
        return ""
    fitting = next(count for count in range(workers, 0, -1) if _sum(jobs[:count]) <= available)
    return (
        f"engine.workers={workers}: weights, gradients and moments of {workers} jobs at once take "
        f"{_gb(_sum(jobs[:workers]))}, this machine has {_gb(available)}; engine.workers={fitting} "
        "would fit"
    )


def _too_large(job: Json, available: int, own: int) -> str:
    """Message for a job that does not fit into the machine, or into a worker's part of it."""
    model, members = job["shape"]["model"], len(job["members"])
    limit = f"this machine has {_gb(available)}"
    if own < available:
        limit = f"engine.memory_gib leaves a worker {_gb(own)}"
    fitting = min(own, available) // (_bytes(job) // members)
    return (
        f"model.depth={model['depth']}, model.width={model['width']}: weights, gradient and "
        f"moments of {'1 member' if members == 1 else f'{members} members'} take "
        f"{_gb(_bytes(job))}, {limit}; "
        f"{f'engine.stack={fitting}' if fitting else 'a smaller model'} would fit"
    )


def _bytes(job: Json) -> int:
    """Bytes that a job takes at least."""
    return int(_BYTES_PER_PARAMETER * job["parameters"] * len(job["members"]))


def _sum(jobs: Sequence[Json]) -> int:
    return sum(map(_bytes, jobs))


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
