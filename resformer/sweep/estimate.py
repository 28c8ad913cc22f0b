"""What a plan would cost, before it runs."""

import dataclasses
from collections.abc import Mapping

import torch

from resformer.numerics.process import configure_worker
from resformer.plan import jobs
from resformer.plan.jobs import Json
from resformer.training.loop import train

_STEPS = 3
_MEMBERS = 4


def seconds_at_most(wanted: Mapping[str, Json], workers: int) -> float:
    """Seconds if every member used up its budget: a few steps of the median job are timed, the rest
    is scaled.

    MemoryError or RuntimeError where those few steps already ask for too much, or for a GPU that is
    elsewhere.

    Scaled by floating-point operations in matrix products, evaluations included; good to a factor
    of about 1.5.
    """
    configure_worker()
    found = [jobs.from_json(job) for job in wanted.values()]
    sample = sorted(
        found, key=lambda job: job.shape.transformer().flops_per_step(job.shape.train.batch)
    )[len(found) // 2]
    if sample.shape.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("there is no GPU here")
    settings = dataclasses.replace(sample.shape.train, steps=_STEPS, eval_every=_STEPS)
    short = jobs.Job(dataclasses.replace(sample.shape, train=settings), sample.members[:_MEMBERS])
    timings = [
        train(short.shape, short.members, lambda _: None, lambda _: None).timing for _ in range(2)
    ]
    fastest: float = min(
        stretch["seconds"] for timing in timings for stretch in timing["stretches"]
    )
    rate = short.flops() / fastest
    work = 0.0
    for job in found:
        evaluated = job.shape.train.eval_sequences / (
            3 * job.shape.train.batch * job.shape.train.eval_every
        )
        work += job.flops() * (1 + evaluated)
    return work / rate / workers
