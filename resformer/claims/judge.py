"""Judgement of a claim by the finished members of its study."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import final

import pandas as pd

from resformer import config, plugins
from resformer.claims.bound import Verdict
from resformer.claims.evidence import PARAMETERS, Evidence
from resformer.claims.file import Claim
from resformer.claims.statistics.base import Measured
from resformer.errors import UserError
from resformer.keys import Json, short
from resformer.model.serial import shape_to_json
from resformer.results import presets
from resformer.results.members import parse_conditions, read, select, selectable
from resformer.rounds.finished import DIGEST, chosen, complete, with_digests
from resformer.store.shapes import shape_settings
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
    planned_before: int
    """Jobs of its study that were planned before this version of the claim was stated: 0 if the
    statement came before every result.
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
            "study": claim.study,
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
    return {"quantity": measured.quantity, **finite}


def requested(claim: Claim, overrides: Sequence[str]) -> Request:
    """The request of a claim's study, which states the claim, with these overrides in every
    grid.
    """
    grids = [[*grid, *overrides] for grid in claim.grids]
    request = config.of_grids(claim.study, grids, claim.path)
    try:
        _check(claim, request)
    except UserError as error:
        raise UserError(f"{claim.path}: {error}") from error
    return replace(request, claim=claim.digest)


def _check(claim: Claim, request: Request) -> None:
    """Raise UserError, before anything runs, for an arm of which the study has no member, and for a
    final loss of members that stop when they solve.
    """
    rows = [
        {
            **settings,
            "study": request.study,
            PARAMETERS: shape.transformer().num_parameters,
            "seed": member.seed,
            "lr": member.lr,
        }
        for shape, members in request.shapes
        for settings in [presets.named(shape_settings({"shape": shape_to_json(shape)}))]
        for member in members
    ]
    planned = pd.DataFrame(rows)
    for statistic in (claim.statistic, *claim.also):
        for arm in statistic.arms:
            of_arm = select(planned, parse_conditions(arm.split(), "arm"), "arm")
            if statistic.axis and of_arm[_column(statistic.axis, of_arm)].nunique() < 2:
                raise UserError(f"on: {statistic.axis}: {arm} has one value of it")
        if statistic.by_final_loss and any(
            shape.train.stop_when_solved for shape, _ in request.shapes
        ):
            name = plugins.name_of(statistic)
            raise UserError(
                f"{name}: compares final losses; the study needs train.stop_when_solved=false"
            )


def _column(key: str, members: pd.DataFrame) -> str:
    """Column of a setting, or of the number of parameters; UserError if there is none."""
    if key == PARAMETERS:
        return key
    if short(key) not in selectable(members):
        raise UserError(f"on: {key}: is no setting of this study")
    return short(key)


def judge(claim: Claim, request: Request, study: Study) -> Judged:
    """Judge a claim; UserError if members of its study are missing."""
    findings = read([study])
    members = with_digests(findings, request)
    if not complete(members, request.shapes):
        raise UserError(f"study {study.name}: results are missing, so nothing is judged")
    requested = chosen(members, request.shapes).drop(columns=DIGEST)
    evidence = Evidence(replace(findings, load=lambda: requested))
    measured = claim.statistic.measure(evidence)
    return Judged(
        claim=claim,
        measured=measured,
        verdict=claim.bound.verdict(measured),
        also=[statistic.measure(evidence) for statistic in claim.also],
        planned_before=_planned_before(claim, study),
    )


def _planned_before(claim: Claim, study: Study) -> int:
    earlier: set[str] = set()
    for launch in study.launches():
        if launch.get("claim") == claim.digest:
            break
        earlier |= set(launch["jobs"])
    return len(earlier)
