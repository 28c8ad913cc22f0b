"""A study's results as two tables, a row per member and a row per step: what the library and the
export give out.
"""

from collections.abc import Iterator, Sequence

import pandas as pd

from resformer.errors import UserError
from resformer.keys import NAMES
from resformer.results.members import Findings, selectable
from resformer.store.checks import Damaged

KEYS = ("study", "job", "seed", "lr", "step")
CURVES = ("loss", "gradient_norm", "held_out_loss", "held_out_accuracy")
_HELPERS = ("shape",)
_STEPS = ("solved_step", "diverged_step", "last_step")


def runs(findings: Findings) -> pd.DataFrame:
    """A row per finished member, in an order that its settings decide; UserError if there is none.

    The columns are those of `Findings.members` but its helpers: study, job, what the member was,
    what became of it.
    """
    members = findings.members
    if members.empty:
        raise nothing(findings, left_out(findings))
    settings = [
        *NAMES.values(),
        *sorted(name for name in selectable(members) if "." in name),
        "device",
        "seed",
        "lr",
    ]
    rest = [name for name in members.columns if name not in ("study", "job", *settings, *_HELPERS)]
    table = members[["study", "job", *settings, *rest]].astype(dict.fromkeys(_STEPS, "Int64"))
    return table.sort_values(["study", *NAMES.values(), "job", "seed", "lr"], ignore_index=True)


def curves(findings: Findings) -> Iterator[tuple[str, pd.DataFrame | Damaged]]:
    """By job, in the order of `runs`: a row per member and step (columns KEYS and CURVES), or what
    is wrong with it.
    """
    for (_, job), members in runs(findings).groupby(["study", "job"], sort=False):
        try:
            yield str(job), findings.curves(members, CURVES)[[*KEYS, *CURVES]]
        except Damaged as damage:
            yield str(job), damage


def nothing(findings: Findings, reasons: Sequence[str]) -> UserError:
    """The error that there are no rows to give out, and why."""
    names = ", ".join(study.name for study in findings.studies)
    return UserError(f"study {names}: no job has a result that can be read; {'; '.join(reasons)}")


def left_out(findings: Findings) -> list[str]:
    """What of the plan is not in the tables, a line each."""
    problems = findings.problems
    lines = [str(row["reason"]) for row in problems["damaged"]]
    if failed := problems["failed"]:
        lines.append(f"jobs that failed: {len(failed)}, the first: {failed[0]['reason']}")
    if missing := problems["missing"]:
        lines.append(f"jobs that have not finished: {len(missing)}")
    return lines
