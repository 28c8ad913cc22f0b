"""Results as data frames, a row per member or per step: for the library and for the export."""

from collections.abc import Iterator, Sequence

import pandas as pd

from resformer.errors import UserError
from resformer.keys import NAMES
from resformer.results.members import Findings, selectable
from resformer.store.checks import Damaged

CURVE_KEYS = ("study", "job", "seed", "lr", "step")
CURVE_VALUES = ("loss", "gradient_norm", "held_out_loss", "held_out_accuracy")
_STEPS = ("solved_step", "diverged_step", "last_step")


def runs(findings: Findings) -> pd.DataFrame:
    """Row per finished member, in an order that its settings decide; UserError if there is none.

    The columns are those of `Findings.members` but for `shape`: study, job, settings, outcome.
    """
    members = findings.members
    if members.empty:
        raise no_results(findings, left_out(findings))
    settings = [
        *NAMES.values(),
        *sorted(name for name in selectable(members) if "." in name),
        *("device", "seed", "lr"),
    ]
    first = ["study", "job", *settings]
    rest = [name for name in members.columns if name not in (*first, "shape")]
    table = members[[*first, *rest]].astype(dict.fromkeys(_STEPS, "Int64"))
    return table.sort_values(["study", *NAMES.values(), "job", "seed", "lr"], ignore_index=True)


def curves_by_job(findings: Findings) -> Iterator[tuple[str, pd.DataFrame | Damaged]]:
    """Row per member and step (columns CURVE_KEYS and CURVE_VALUES), or the damage to its file, by
    job in the order of `runs`.
    """
    for (_, job), members in runs(findings).groupby(["study", "job"], sort=False):
        try:
            yield (
                str(job),
                findings.read_curves(members, CURVE_VALUES)[[*CURVE_KEYS, *CURVE_VALUES]],
            )
        except Damaged as damage:
            yield str(job), damage


def no_results(findings: Findings, reasons: Sequence[str]) -> UserError:
    """Error that there are no rows, with the reasons."""
    names = ", ".join(study.name for study in findings.studies)
    return UserError(f"study {names}: no job has a result that can be read; {'; '.join(reasons)}")


def left_out(findings: Findings) -> list[str]:
    """Results of the study that the tables lack, a line each."""
    problems = findings.problems
    lines = [*problems.reasons, *(part.line for part in problems.other_code)]
    if failed := problems.failed:
        lines.append(f"jobs that failed: {len(failed)}, the first: {failed[0].reason}")
    if missing := problems.missing:
        lines.append(f"jobs that have not finished: {len(missing)}")
    return lines
