"""An estimate of the time that a launch takes."""

import dataclasses
from collections.abc import Mapping

import torch

from resformer.keys import Json
from resformer.numerics.process import configure_worker
from resformer.plan import jobs
from resformer.training.loop import Training

_STEPS = 3
_MEMBERS = 4


def seconds_at_most(planned: Mapping[str, Json], workers: int) -> float:
    """Seconds if every member used up its budget, good to a factor of about 1.5.

    A few steps of the median job are timed and scaled by floating-point operations in matrix
    products, evaluations included. MemoryError or RuntimeError where those steps need too much
    memory, or a GPU that is elsewhere.
    """
    configure_worker()
    unfinished = [jobs.from_json(job) for job in planned.values()]
    sample = sorted(
        unfinished, key=lambda job: job.shape.transformer().flops_per_step(job.shape.train.batch)
    )[len(unfinished) // 2]
    if sample.shape.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("there is no GPU here")
    settings = dataclasses.replace(
        sample.shape.train, steps=_STEPS, eval_every=_STEPS - 1, warmup_steps=0
    )
    short = dataclasses.replace(
        sample,
        shape=dataclasses.replace(sample.shape, train=settings),
        members=sample.members[:_MEMBERS],
    )
    timings = [Training(short.shape, short.members).run().timing for _ in range(2)]
    fastest: float = min(
        stretch["seconds"] for timing in timings for stretch in timing["stretches"]
    )
    rate = short.flops() / fastest
    work = 0.0
    for job in unfinished:
        train = job.shape.train
        per_step = train.num_evaluations / train.steps
        # A step is a forward pass and a backward pass of twice its cost.
        work += job.flops() * (1 + per_step * train.eval_sequences / (3 * train.batch))
    return work / rate / workers
