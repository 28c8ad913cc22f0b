"""How deep can a transformer train, how fast, and why does it stop: a lab bench for residual
connections.

What a study found, as data: `runs`, `curves` and `report`. What they need is imported when they are
called.
"""

import os
from typing import TYPE_CHECKING, Any

# MKL reads this when it is first called. Without it the bits of a product depend on where in memory
# its matrices begin, and so a member's on who is stacked before it. Workers inherit it. Other
# libraries do not know it.
os.environ["MKL_CBWR"] = "AUTO,STRICT"

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pandas as pd

    from resformer.results.members import Findings

__version__ = "0.1.0"
__all__ = ["curves", "report", "runs"]


def runs(study: str, results: "str | Path" = "results") -> "pd.DataFrame":
    """A row per finished member of a study; `resformer export` writes the same as `runs`.

        study, job              the study's name, the job's id
        task, depth, residual, norm, task.*, model.*, train.*, device, seed, lr
                                every setting by its key; depth in blocks, lr is the learning rate
        outcome, stalled        solved, unsolved or diverged; whether an unsolved one learnt nothing
        solved_step, diverged_stepsteps; missing where it did not come to that
        last_step               steps that were taken, to the last evaluation
        final_loss, final_accuracyheld out, at the last evaluation: nats per token, share of tokens
        ms                      milliseconds per member and step, one value for the members of a job
        parameters, flops_per_stepof one member; FLOPs of matrix products in a training step
        blind_loss              nats per token of the best predictor that sees positions only

    Results that are damaged are left out with a warning. Raises UserError if there is no such study
    or no result.
    """
    from resformer.results import tables

    found = _findings(study, results)
    _warn(row["reason"] for row in found.problems["damaged"])
    return tables.runs(found)


def curves(study: str, results: "str | Path" = "results") -> "pd.DataFrame":
    """A row per finished member of a study and step, from 0 to its last; `resformer export` writes
    it as `curves`.

        study, job, seed, lr    which member, as in `runs`
        step                    steps that were taken
        loss                    nats per token, of the batch before its update; not at step 0
        gradient_norm           over all weights, of the same batch, before clipping
        held_out_loss           nats per token, after this step; missing between evaluations
        held_out_accuracy       share of tokens, likewise

    Results that are damaged are left out with a warning. Raises UserError if there is no such study
    or no result.
    """
    import pandas as pd

    from resformer.results import tables
    from resformer.store.checks import Damaged

    found = _findings(study, results)
    by_job = [part for _, part in tables.curves(found)]
    whole = [part for part in by_job if not isinstance(part, Damaged)]
    damaged = [str(part) for part in by_job if isinstance(part, Damaged)]
    if not whole:
        raise tables.nothing(found, damaged)
    _warn([*(row["reason"] for row in found.problems["damaged"]), *damaged])
    return pd.concat(whole, ignore_index=True)


def report(study: str, results: "str | Path" = "results") -> dict[str, Any]:
    """What `resformer report STUDY --format json` prints: a study's cells, rates, limits and
    comparisons.

    A quantity that does not exist is None, never 0 and never the budget. Results that are damaged
    are listed in it. Raises UserError if there is no such study or no result.
    """
    from resformer.reporting.analysis.summary import summarise

    return summarise(_findings(study, results))


def _findings(study: str, results: "str | Path") -> "Findings":
    from pathlib import Path

    from resformer.results.members import read
    from resformer.store.study import named

    return read([named(Path(results), study)])


def _warn(reasons: "Iterable[str]") -> None:
    import warnings

    for reason in reasons:
        warnings.warn(f"left out: {reason}", stacklevel=3)
