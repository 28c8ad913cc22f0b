"""Finished members of a request, by the digest of their shape."""

from collections.abc import Iterable

import pandas as pd

from resformer.keys import Json
from resformer.model.serial import digest, shape_to_json, without_recording
from resformer.model.shape import Member, Shape
from resformer.results.members import Findings

DIGEST = "digest"
"""Column with the digest of the member's shape."""

ShapeMembers = tuple[Shape, list[Member]]


def with_digests(findings: Findings) -> pd.DataFrame:
    """Members of one study with the digest of their shape; empty if none has finished."""
    members = findings.members
    if members.empty:
        return members
    planned = findings.studies[0].planned()
    # Jobs of one shape share its tree.
    digests: dict[int, str] = {}
    of_job: dict[str, str] = {}
    for job_id, job in planned.items():
        tree: Json = job["shape"]
        if id(tree) not in digests:
            digests[id(tree)] = digest(without_recording(tree))
        of_job[job_id] = digests[id(tree)]
    return members.assign(**{DIGEST: members["job"].map(of_job)})


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
