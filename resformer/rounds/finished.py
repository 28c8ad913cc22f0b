"""Finished members of a request, by the digest of their shape."""

from collections.abc import Iterable

import pandas as pd

from resformer.model.serial import digest, shape_to_json, without_recording
from resformer.model.shape import Member, Shape
from resformer.results.members import Findings
from resformer.store.plan import by_shape
from resformer.sweep.launch import of_this_code
from resformer.sweep.request import Request

DIGEST = "digest"
"""Column with the digest of the member's shape."""

ShapeMembers = tuple[Shape, list[Member]]


def with_digests(findings: Findings, request: Request) -> pd.DataFrame:
    """Members of one study with the digest of their shape; empty if none has finished.

    Those of other code than is here are left out: until the next launch is recorded, a report of
    the study shows them.
    """
    members = findings.members
    if members.empty:
        return members
    shapes = [shape_to_json(shape) for shape, _ in request.shapes]
    planned = of_this_code(findings.studies[0].plan(), shapes)
    digests = by_shape(planned, lambda job: digest(without_recording(job["shape"])))
    members = members[members["job"].isin(digests)]
    return members.assign(**{DIGEST: members["job"].map(digests)})


def chosen(members: pd.DataFrame, shapes: Iterable[ShapeMembers]) -> pd.DataFrame:
    """Rows, as of `with_digests`, of the members of these shapes."""
    if members.empty:
        return members
    keys = {
        (shape_digest(shape), member.seed, member.lr) for shape, own in shapes for member in own
    }
    rows = zip(members[DIGEST], members["seed"], members["lr"], strict=True)
    return members[[row in keys for row in rows]]


def complete(members: pd.DataFrame, shapes: Iterable[ShapeMembers]) -> bool:
    """True if all members of these shapes are among the rows."""
    listed = list(shapes)
    return len(chosen(members, listed)) == sum(len(own) for _, own in listed)


def shape_digest(shape: Shape) -> str:
    """The digest of a shape as `with_digests` gives it."""
    return digest(shape_to_json(shape))
