"""The outcome of single members, in words."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from resformer.keys import job_label
from resformer.store.study import Study


def outcomes(
    study: Study, job_ids: Sequence[str], members: Iterable[tuple[int, float]]
) -> Iterator[str]:
    """A line for each job, and one for each of its members among these: seed, learning rate."""
    planned, requested = study.planned(), set(members)
    for job_id in job_ids:
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
