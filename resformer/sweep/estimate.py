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

    Of each residual scheme a few steps of the median job are timed and scaled by floating-point
    operations in matrix products, evaluations included. MemoryError or RuntimeError where those
    steps need too much memory, or a GPU that is elsewhere.
    """
    configure_worker()
    by_scheme: dict[str, list[Job]] = {}
    for each in planned.values():
        job = jobs.from_json(each)
        by_scheme.setdefault(type(job.shape.residual).__name__, []).append(job)
    runs = 1 if is_slow(planned) else 2
    seconds = 0.0
    for of_scheme in by_scheme.values():
        sample = sorted(of_scheme, key=_flops_per_step)[len(of_scheme) // 2]
        seconds += sum(map(_flops, of_scheme)) / _flops_per_second(sample, runs)
    return seconds / workers


def _flops_per_second(job: Job, runs: int) -> float:
    """Floating-point operations a second of the fastest of some steps of a job."""
    if job.shape.device == "cuda" and not torch.cuda.is_available():
        raise RuntimeError("there is no GPU here")
    train = job.shape.train
    members = max(1, min(_MEMBERS, _MOST_FLOPS // _flops_per_step(job)))
    share = min(1.0, _MOST_FLOPS / _flops_per_step(job))
    settings = dataclasses.replace(
        train,
        steps=_STEPS,
        eval_every=_STEPS - 1,
        warmup_steps=0,
        batch=max(1, int(share * train.batch)),
        eval_sequences=max(1, int(share * train.eval_sequences)),
    )
    short = dataclasses.replace(
        job,
        shape=dataclasses.replace(job.shape, train=settings),
        members=job.members[:members],
    )
    timings = [Training(short.shape, short.members).run().timing for _ in range(runs)]
    fastest: float = min(
        stretch["seconds"] / stretch["steps"]
        for timing in timings
        for stretch in timing["stretches"]
    )
    return short.flops() / _STEPS / fastest


def _flops(job: Job) -> float:
    """Floating-point operations of a job and its evaluations; a step is a forward pass and a
    backward pass of twice its cost.
    """
    train = job.shape.train
    per_step = train.num_evaluations / train.steps
    return job.flops() * (1 + per_step * train.eval_sequences / (3 * train.batch))


def _flops_per_step(job: Job) -> int:
    """Floating-point operations of one member."""
    return job.shape.transformer().flops_per_step(job.shape.train.batch)
