"""Memory of jobs and probes against that of the machine: what cannot fit is refused before it is
begun.
"""

from collections.abc import Mapping, Sequence

from resformer.engines.base import Engine
from resformer.errors import UserError
from resformer.keys import Json
from resformer.model.shape import Shape
from resformer.optimizers.base import Optimizer
from resformer.plugins import PACKAGES, load
from resformer.text import counted
from resformer.workers import resources

_FLOAT, _DOUBLE, _HALF, _TOKEN = 4, 8, 2, 8
"""Bytes of a float32, a float64, a bfloat16 and a token."""


def memory_note(
    engine: Engine, unfinished: Mapping[str, Json], device: str, *, recompute: bool = False
) -> str:
    """Note on jobs of which as many as run at once do not fit into this machine's memory; "" if
    they do, or where workers compute elsewhere. UserError if one alone does not. `recompute` is
    whether activations are computed again.
    """
    available = resources.memory()
    jobs = [job for job in unfinished.values() if job["shape"]["device"] == "cpu"]
    if available is None or engine.elsewhere or not jobs:
        return ""
    jobs.sort(key=lambda job: least_bytes(job, recompute=recompute), reverse=True)
    own = available if engine.memory_gib is None else int(engine.memory_gib * 2**30)
    sizes = [least_bytes(job, recompute=recompute) for job in jobs]
    if sizes[0] > min(own, available):
        raise UserError(_too_large(jobs[0], available, own, recompute=recompute))
    workers = engine.count(list(unfinished), device)
    if sum(sizes[:workers]) <= available:
        return ""
    fitting = next(count for count in range(workers, 0, -1) if sum(sizes[:count]) <= available)
    size = _gb(sum(sizes[:workers]))
    return (
        f"engine.workers={workers}: {workers} jobs at once take at least {size}, this machine has "
        f"{_gb(available)}; engine.workers={fitting} would fit"
    )


def check_probes(shapes: Sequence[Shape]) -> None:
    """Raise UserError for a shape of which a single member cannot be probed in this machine's
    memory.

    A probe in float64 ends with the N weights and their gradient, and the streams before and behind
    the 2·L sub-layers: (2·N + (2·L + 1)·R·D) · 8 bytes, of depth L, width D and R tokens.
    """
    available = resources.memory()
    if available is None:
        return
    for shape in shapes:
        transformer, model = shape.transformer(), shape.model
        tokens = min(shape.train.batch, shape.train.eval_sequences) * transformer.tokens
        streams = (2 * model.depth + 1) * tokens * model.width
        size = _DOUBLE * (2 * transformer.num_parameters + streams)
        if size > available:
            smaller = "model" if _DOUBLE * 2 * transformer.num_parameters > available else "batch"
            raise UserError(
                f"{_size_of(model.depth, model.width, shape.train.batch)}: a probe of 1 member "
                f"takes at least {_gb(size)}, this machine has {_gb(available)}; "
                f"a smaller {smaller} would fit"
            )


def _too_large(job: Json, available: int, own: int, *, recompute: bool) -> str:
    """Message for a job that does not fit into the machine, or into a worker's part of it."""
    shape, members = job["shape"], len(job["members"])
    least = min(own, available)
    limit = f"this machine has {_gb(available)}"
    if own < available:
        limit = f"engine.memory_gib leaves a worker {_gb(own)}"
    sizes = {
        f"engine.stack={count}": least_bytes(job, count, recompute=recompute)
        for count in range(members, 0, -1)
    }
    sizes["train.recompute=true"] = least_bytes(job, recompute=True)
    model_alone = _FLOAT * tensors_kept(job) * job["parameters"]
    smaller = f"a smaller {'model' if model_alone > least else 'batch'}"
    would_fit = next((setting for setting, size in sizes.items() if size <= least), smaller)
    return (
        f"{_size_of(shape['model']['depth'], shape['model']['width'], shape['train']['batch'])}: "
        f"{counted(members, 'member')} in a job take at least "
        f"{_gb(least_bytes(job, recompute=recompute))}, {limit}; {would_fit} would fit"
    )


def _size_of(depth: int, width: int, batch: int) -> str:
    """The settings that memory depends on."""
    return f"model.depth={depth}, model.width={width}, train.batch={batch}"


def least_bytes(job: Json, members: int | None = None, *, recompute: bool = False) -> int:
    """Bytes that a job takes at least, or would with so many members, trained one at a time if need
    be.

    After the backward pass of P members there are weights, gradient and the optimiser's M tensors
    in float32: 4·(M + 2)·P·N bytes. Before it, instead of the gradient, the drawn tokens of P
    members, and of one member K tensors of each block: 4·(M + 1)·P·N + 8·P·R + 4·K·L·R·D bytes, of
    depth L, width D and R = batch · sequence length tokens; in bfloat16 2·K·L·R·D.

    K is 3 where torch computes: the inputs of attention and FFN, and the mixed values before the
    output matrix; 2 where kernels compute sub-layers, which mix values again; 0 where they take
    whole steps, since these keep only a part of the batch; and else 1, the stream before each
    block, with `recompute`.
    """
    model, train = job["shape"]["model"], job["shape"]["train"]
    count = len(job["members"]) if members is None else members
    weights, tokens = _FLOAT * count * job["parameters"], job.get("tokens_per_step", 0)
    number = _HALF if train.get("precision") == "bf16" else _FLOAT
    per_block = 0 if job.get("whole_steps") else 1 if recompute else 2 if train["compile"] else 3
    activations = number * per_block * model["depth"] * tokens * model["width"]
    kept = tensors_kept(job)
    before = (kept - 1) * weights + _TOKEN * count * tokens + activations
    return int(max(kept * weights, before))


def tensors_kept(job: Json) -> int:
    """Numbers that a job keeps for each parameter: it, its gradient and the optimiser's."""
    name = job["shape"]["optimizer"]["name"]
    return 2 + len(load(PACKAGES["optimizer"], name, Optimizer).state)


def _gb(size: int) -> str:
    return f"{size / 1e9:,.1f} GB"
