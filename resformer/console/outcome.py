"""The outcome of single members, in words."""

from collections.abc import Iterator
from typing import Any

from resformer.store.shapes import job_label
from resformer.sweep.launch import Launch


def outcomes(launch: Launch) -> Iterator[str]:
    """A line for each job of a launch that has run, and one for each requested member of it."""
    study, planned = launch.study, launch.study.planned()
    requested = {
        (member.seed, member.lr) for _, members in launch.request.shapes for member in members
    }
    for job_id in launch.jobs:
        job = planned[job_id]
        yield f"{job_label(job)}, {job['parameters']:,} parameters ({study.job(job_id)})"
        for run in study.results.runs(job).to_pylist():
            if (run["seed"], run["lr"]) in requested:
                yield f"  seed {run['seed']}, learning rate {run['lr']:g}: {_outcome(run)}"


def _outcome(run: dict[str, Any]) -> str:
    final = f"held-out loss {run['final_loss']:.3f}, accuracy {run['final_accuracy']:.3f}"
    match run["outcome"]:
        case "solved":
            return f"solved at step {run['solved_step']}; {final}"
        case "diverged":
            return f"diverged at step {run['diverged_step']}; {final}"
    stalled = "; stalled: it learnt nothing from its input" if run["stalled"] else ""
    return f"unsolved within {run['last_step']} steps; {final}{stalled}"
