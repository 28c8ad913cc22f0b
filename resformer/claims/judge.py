"""Judgement of a claim: by the finished members of its study, or by models before training."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np

from resformer import config, plugins
from resformer.claims.bound import Verdict
from resformer.claims.evidence import Evidence, shared
from resformer.claims.file import Claim
from resformer.claims.quantities import Planned
from resformer.claims.starts import Start, Starts, starts
from resformer.claims.statistics.base import Measured, Statistic, Trained, Untrained
from resformer.errors import UserError
from resformer.keys import Json
from resformer.model.shape import RESULTS_ONLY
from resformer.results.members import read
from resformer.rounds.finished import DIGEST, chosen, complete, with_digests
from resformer.store.study import Study
from resformer.sweep.request import Request


class AtEdge(NamedTuple):
    """Best rates at the edge of the grid, beyond which a better one may lie."""

    seeds: int
    """Seeds of all cells whose best rate is the least or the largest tried."""
    of: int
    """Seeds of all cells."""


@final
@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim with what was measured, and its verdict."""

    claim: Claim
    measured: Measured
    verdict: Verdict
    needed: Measured | None
    """Statistic of the condition, None if the claim has none."""
    also: list[Measured]
    at_edge: AtEdge | None
    """Best rates of the judged statistic's cells; None where rates are not chosen."""
    stated: str
    """Hash of the statement."""
    planned_before: int | None
    """Jobs of its study that were planned before this version of the claim was stated: 0 if the
    statement came before every result, None if nothing is trained.
    """

    def to_json(self) -> Json:
        """The result as `resformer claim --format json` prints it."""
        claim = self.claim
        return {
            "claim": claim.name,
            "title": claim.title,
            "source": claim.source,
            "saw": claim.saw,
            "differs": claim.differs,
            "earlier": claim.earlier,
            "study": claim.study if claim.trains else None,
            "statistic": _to_json(self.measured),
            "bound": str(claim.bound),
            "needs": None
            if claim.needs is None or self.needed is None
            else {**_to_json(self.needed), "bound": str(claim.needs.holds)},
            "verdict": self.verdict,
            "at_edge": None if self.at_edge is None else self.at_edge._asdict(),
            "also": [_to_json(each) for each in self.also],
            "stated": self.stated,
            "planned_before": self.planned_before,
        }


def _to_json(measured: Measured) -> Json:
    """A statistic in plain values; a bound that is not known is null."""
    finite = {
        name: value if value is not None and math.isfinite(value) else None
        for name in ("value", "low", "high", "p")
        for value in [getattr(measured, name)]
    }
    return {"quantity": measured.quantity, **finite, "words": str(measured)}


def requested(claim: Claim, overrides: Sequence[str]) -> Request:
    """The request of a claim's study, which states the claim, with these overrides in every
    grid.
    """
    grids = [[*grid, *overrides] for grid in claim.grids]
    request = config.of_grids(claim.study, grids, claim.path)
    try:
        planned = starts(request.shapes)
        for statistic in claim.statistics:
            _check(statistic, planned, request)
    except UserError as error:
        raise UserError(f"{claim.path}: {error}") from error
    return replace(request, claim=claim.digest(request.shapes))


def _check(statistic: Statistic, planned: Starts, request: Request) -> None:
    """Raise UserError, before anything runs, for an arm of which the study has no member, several
    models at one place or too few seeds, a final loss of members that stop when they solve, a
    quantity that its members do not have, and weights that are not kept or not known.
    """
    name = plugins.name_of(statistic)
    starts_of_arms = [_placed(statistic, arm, planned) for arm in statistic.arms]
    every = [start for placed in starts_of_arms for start in placed]
    for group in [every] if statistic.paired else starts_of_arms:
        shared([start.seeds for start in group])
    if not isinstance(statistic, Trained):
        return
    for own_starts in starts_of_arms:
        shapes = [start.shape for start in own_starts]
        statistic.check_members(
            [
                Planned(start.shape, request.recordings.get(start.shape, RESULTS_ONLY), start.rates)
                for start in own_starts
            ]
        )
        if statistic.by_final_loss and any(shape.train.stop_when_solved for shape in shapes):
            raise UserError(
                f"{name}: compares final losses; the study needs train.stop_when_solved=false"
            )
        own = [shape.model.module for shape in shapes if shape.model.module is not None]
        if statistic.needs_weights and own:
            raise UserError(f"{name}: model.module={own[0]}: no sub-layer of it can be left out")
        kept = [request.recordings.get(shape, RESULTS_ONLY).keep_weights for shape in shapes]
        if statistic.needs_weights and not all(kept):
            raise UserError(f"{name}: needs what members learnt; train.keep_weights=true keeps it")


def _placed(statistic: Statistic, arm: str, planned: Starts) -> list[Start]:
    """Models of an arm, one at every place of the statistic's axes."""
    rows = planned.of(arm)
    for axis in statistic.axes:
        if rows[planned.column(axis)].nunique() < 2:
            raise UserError(f"on: {axis}: {arm} has one value of it")
    return [*planned.places(arm, statistic.axes).values()]


def judge(claim: Claim, request: Request, study: Study) -> Judged:
    """Judge a claim; UserError if members of its study are missing."""
    planned = starts(request.shapes)
    evidence = _evidence(request, study) if claim.trains else None

    def measured(statistic: Statistic) -> Measured:
        if isinstance(statistic, Untrained):
            return statistic.measure(planned)
        assert isinstance(statistic, Trained)
        assert evidence is not None
        return statistic.measure(evidence)

    stated = claim.digest(request.shapes) if request.claim is None else request.claim
    judged = measured(claim.statistic)
    needed = None if claim.needs is None else measured(claim.needs.statistic)
    return Judged(
        claim=claim,
        measured=judged,
        verdict=_verdict(claim, judged, needed),
        needed=needed,
        also=[measured(statistic) for statistic in claim.also],
        at_edge=None if evidence is None else at_edge(claim.statistic, evidence),
        stated=stated,
        planned_before=_planned_before(stated, study) if claim.trains else None,
    )


def _verdict(claim: Claim, judged: Measured, needed: Measured | None) -> Verdict:
    """Verdict of the bound; undecided unless the condition is certainly met."""
    if claim.needs and needed and claim.needs.holds.verdict(needed) != "holds":
        return "undecided"
    return claim.bound.verdict(judged)


def at_edge(statistic: Statistic, evidence: Evidence) -> AtEdge | None:
    """Best rates of the cells of a statistic's arms that are at the edge of their grid."""
    if not isinstance(statistic, Trained):
        return None
    cells = [cell for arm in dict.fromkeys(statistic.arms) for cell in evidence.cells(arm)]
    if statistic.by_final_loss:
        cells = evidence.by_loss(cells)
    seeds = edges = 0
    for cell in cells:
        for best, ran_R in zip(cell.chosen, cell.ran_SR, strict=True):
            rates = np.flatnonzero(ran_R)
            seeds += len(rates) > 1
            edges += len(rates) > 1 and best in (rates[0], rates[-1])
    return AtEdge(seeds=edges, of=seeds) if seeds else None


def _evidence(request: Request, study: Study) -> Evidence:
    findings = read([study])
    members = with_digests(findings, request)
    if not complete(members, request.shapes):
        raise UserError(f"study {study.name}: results are missing, so nothing is judged")
    requested = chosen(members, request.shapes).drop(columns=DIGEST)
    return Evidence(replace(findings, load=lambda: requested))


def _planned_before(stated: str, study: Study) -> int:
    earlier: set[str] = set()
    for launch in study.launches():
        if launch.get("claim") == stated:
            break
        earlier |= set(launch["jobs"])
    return len(earlier)
