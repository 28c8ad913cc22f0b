"""Layers of a report's cells, as the probe measured them last while their members trained."""

import math
from collections.abc import Sequence

import pandas as pd

from resformer.plan.code import PROBES
from resformer.reporting.analysis.cells import CellMembers
from resformer.reporting.analysis.probes import ends, medians, model_health
from resformer.reporting.schema import LayerSummary
from resformer.results.members import Findings
from resformer.results.problems import DamagedJob
from resformer.store.checks import Damaged
from resformer.store.study import Study

_MEASURES = slice(4, None)
"""Columns of `layers.parquet` behind seed, learning rate, step and layer."""


def layer_summaries(
    findings: Findings, cells: Sequence[CellMembers]
) -> tuple[list[LayerSummary], list[DamagedJob]]:
    """A summary per cell that was probed, and the tables that are damaged.

    Medians over a cell's seeds, each at the learning rate it is scored at and at its last probe.
    """
    if "probe.every" not in findings.members:
        return [], []
    probed = findings.members[findings.members["probe.every"].notna()].set_index(
        ["job", "seed", "lr"]
    )
    if probed.empty:
        return [], []
    summaries, damaged = [], []
    for cell in cells:
        scored = [
            tuple(cell.arrays[name][row] for name in ("job", "seed", "lr")) for row in cell.rows
        ]
        members = probed.loc[probed.index.intersection(scored)].reset_index()
        if members.empty:
            continue
        try:
            summaries.append(_summary(findings, cell, members))
        except Damaged as damage:
            job = str(members["job"].iloc[0])
            damaged.append(DamagedJob(study=cell.key.arm.study, job=job, reason=str(damage)))
    return summaries, damaged


def mixed_probes(studies: Sequence[Study], layers: Sequence[LayerSummary]) -> list[str]:
    """Names of the studies whose launches used several versions of the probes, with any of which
    these layers may have been measured: no job depends on them.
    """
    probed = {summary.key.arm.study for summary in layers}
    names = []
    for study in studies:
        fingerprints = [launch.get("fingerprint", {}) for launch in study.launches()]
        versions = {hashes[PROBES] for hashes in fingerprints if PROBES in hashes}
        if study.name in probed and len(versions) > 1:
            names.append(study.name)
    return names


def _summary(findings: Findings, cell: CellMembers, members: pd.DataFrame) -> LayerSummary:
    table = findings.read_layers(members)
    each = ["job", "seed", "lr"]
    last = table[table["step"] == table.groupby(each)["step"].transform("max")]
    measures = [name for name in last.columns[_MEASURES] if name not in ("study", "job")]
    by_layer = medians(last, measures)
    health = model_health(by_layer)
    return LayerSummary(
        key=cell.key,
        seeds=len(members),
        solved=int((members["outcome"] == "solved").sum()),
        step=float(last.drop_duplicates(each)["step"].median()),
        health=health.word,
        measure=health.measure,
        value=_finite(health.value),
        ends={name: _finite(number) for name, number in ends(by_layer).items()},
    )


def _finite(number: float) -> float | None:
    return number if math.isfinite(number) else None
