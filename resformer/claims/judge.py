"""Judgement of a claim: by the finished members of its study, or by models before training."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

from resformer import config, plugins
from resformer.claims.bound import Verdict
from resformer.claims.evidence import Evidence
from resformer.claims.file import Claim
from resformer.claims.starts import Starts, starts
from resformer.claims.statistics.base import Measured, Statistic, Trained, Untrained
from resformer.errors import UserError
from resformer.keys import Json
from resformer.model.shape import RESULTS_ONLY
from resformer.results.members import read
from resformer.rounds.finished import DIGEST, chosen, complete, with_digests
from resformer.store.study import Study
from resformer.sweep.request import Request


@final
@dataclass(frozen=True, kw_only=True)
class Judged:
    """A claim with what was measured, and its verdict."""

    claim: Claim
    measured: Measured
    verdict: Verdict
    also: list[Measured]
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
            "verdict": self.verdict,
            "also": [_to_json(each) for each in self.also],
            "stated": claim.digest,
            "planned_before": self.planned_before,
        }


def _to_json(measured: Measured) -> Json:
    """A statistic in plain values; a bound that is not known is null."""
    finite = {
        name: None if value is None or value != value or abs(value) == float("inf") else value  # noqa: PLR0124  (NaN)
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
        for statistic in (claim.statistic, *claim.also):
            _check(statistic, planned, request)
    except UserError as error:
        raise UserError(f"{claim.path}: {error}") from error
    return replace(request, claim=claim.digest)


def _check(statistic: Statistic, planned: Starts, request: Request) -> None:
    """Raise UserError, before anything runs, for an arm of which the study has no member, a final
    loss of members that stop when they solve, and weights that are not kept or not known.
    """
    name = plugins.name_of(statistic)
    for arm in statistic.arms:
        rows = planned.of(arm)
        for axis in statistic.axes:
            if rows[planned.column(axis)].nunique() < 2:
                raise UserError(f"on: {axis}: {arm} has one value of it")
        if not isinstance(statistic, Trained):
            continue
        shapes = planned.shapes_of(arm)
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

    judged = measured(claim.statistic)
    return Judged(
        claim=claim,
        measured=judged,
        verdict=claim.bound.verdict(judged),
        also=[measured(statistic) for statistic in claim.also],
        planned_before=_planned_before(claim, study) if claim.trains else None,
    )


def _evidence(request: Request, study: Study) -> Evidence:
    findings = read([study])
    members = with_digests(findings, request)
    if not complete(members, request.shapes):
        raise UserError(f"study {study.name}: results are missing, so nothing is judged")
    requested = chosen(members, request.shapes).drop(columns=DIGEST)
    return Evidence(replace(findings, load=lambda: requested))


def _planned_before(claim: Claim, study: Study) -> int:
    earlier: set[str] = set()
    for launch in study.launches():
        if launch.get("claim") == claim.digest:
            break
        earlier |= set(launch["jobs"])
    return len(earlier)
