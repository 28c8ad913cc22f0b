"""An estimate of the time that a launch takes."""

import dataclasses
from collections.abc import Mapping

import torch

from resformer.keys import Json
from resformer.numerics.process import configure_worker
from resformer.plan import jobs
from resformer.plan.jobs import Job
from resformer.training.loop import Training

_STEPS = 3
_MEMBERS = 4
_MOST_PARAMETERS = 2 * 10**7
"""Most parameters of a model that is drawn and updated in a moment."""
_MOST_FLOPS = 2 * 10**11
"""Most floating-point operations of a timed step, some seconds: a large model is timed with fewer
members and smaller batches, to whose size its time is proportional.
"""


def is_slow(planned: Mapping[str, Json]) -> bool:
    """True if an estimate takes longer than a few seconds."""
    return any(job["parameters"] > _MOST_PARAMETERS for job in planned.values())


def seconds_at_most(planned: Mapping[str, Json], workers: int) -> float:
    """Seconds if every member used up its budget, good to a factor of about 1.5.

    A few steps of the median job are timed and scaled by floating-point operations in matrix
    products, evaluations included. MemoryError or RuntimeError where those steps need too much
    memory, or a GPU that is elsewhere.
    """
    configure_worker()
    unfinished = [jobs.from_json(job) for job in planned.values()]
    sample = sorted(unfinished, key=_flops_per_step)[len(unfinished) // 2]
    if sample.shape.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("there is no GPU here")
    train = sample.shape.train
    members = max(1, min(_MEMBERS, _MOST_FLOPS // _flops_per_step(sample)))
    share = min(1.0, _MOST_FLOPS / _flops_per_step(sample))
    settings = dataclasses.replace(
        train,
        steps=_STEPS,
        eval_every=_STEPS - 1,
        warmup_steps=0,
        batch=max(1, int(share * train.batch)),
        eval_sequences=max(1, int(share * train.eval_sequences)),
    )
    short = dataclasses.replace(
        sample,
        shape=dataclasses.replace(sample.shape, train=settings),
        members=sample.members[:members],
    )
    runs = 1 if is_slow(planned) else 2
    timings = [Training(short.shape, short.members).run().timing for _ in range(runs)]
    fastest: float = min(
        stretch["seconds"] / stretch["steps"]
        for timing in timings
        for stretch in timing["stretches"]
    )
    rate = short.flops() / _STEPS / fastest
    work = 0.0
    for job in unfinished:
        train = job.shape.train
        per_step = train.num_evaluations / train.steps
        # A step is a forward pass and a backward pass of twice its cost.
        work += job.flops() * (1 + per_step * train.eval_sequences / (3 * train.batch))
    return work / rate / workers


def _flops_per_step(job: Job) -> int:
    """Floating-point operations of one member."""
    return job.shape.transformer().flops_per_step(job.shape.train.batch)
