"""From a request to the jobs to run: only members that are neither finished nor planned make new
jobs, and those that have trained within a smaller budget go on from there.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

from resformer import plugins
from resformer.errors import DiskError, UserError
from resformer.keys import Json, in_message
from resformer.model.serial import digest, shape_to_json, without_recording
from resformer.model.shape import RESULTS_ONLY, Member, Shape
from resformer.plan import code, jobs, provenance
from resformer.plan.jobs import Job
from resformer.store.checks import Damaged, Unreadable
from resformer.store.folder import TRAINED
from resformer.store.plan import by_shape
from resformer.store.study import PlannedJobs, Study
from resformer.sweep.memory import memory_note
from resformer.sweep.request import Request
from resformer.workers.assignment import Assignment


@final
@dataclass(frozen=True)
class Launch:
    """The jobs of a request in a study folder, before anything is written."""

    request: Request
    study: Study
    new: list[Job]
    """Jobs to add to the plan."""
    unfinished: dict[str, Json]
    """Unfinished jobs that hold a requested member, by id, the longest first."""
    jobs: list[str]
    """All jobs that hold a requested member, finished ones too."""
    finished: int
    """Requested members whose job is finished."""
    continued: int
    """Requested members that go on from a finished job with a smaller budget."""
    unrecorded: int
    """Requested members whose job was planned before, to keep less than is requested now."""
    damaged: dict[Path, str]
    """Damaged results of requested jobs with the reason: these jobs run again."""
    retrained: int
    """Requested members that were planned with other code, and train anew."""
    returns: bool
    """True if all requested members have finished, and reports would leave some out, as later
    launches of the study used other code.
    """
    shapes: Mapping[Shape, Json]
    """The requested shapes as they are planned."""

    @property
    def members(self) -> int:
        """Number of requested members."""
        return sum(len(members) for _, members in self.request.shapes)

    def workers(self) -> int:
        """Number of workers that the engine starts for the unfinished jobs; 0 if there are none."""
        jobs = list(self.unfinished)
        return self.request.engine.count(jobs, self.request.device) if jobs else 0

    def start(self, command: Sequence[str]) -> Assignment:
        """Write the launch, its whole plan in one durable write; returns the workers' assignment.

        `command` is the command line.
        """
        engine = self.request.engine
        record = {
            "asked": list(command),
            "overrides": self.request.overrides,
            "swept": self.request.swept,
            "excluded": self.request.excluded,
            "jobs": list(self.unfinished),
            "checkpoint_seconds": self.request.checkpoint_seconds,
            "keep_checkpoint": self.request.keep_checkpoint,
            "recompute": self.request.recompute,
            "engine": {"name": plugins.name_of(engine), **vars(engine)},
            "versions": _versions(self.request),
            "fingerprint": self._fingerprint(),
            **({} if self.request.claim is None else {"claim": self.request.claim}),
        }
        number = self.study.launch(record, [self.unfinished[job.id] for job in self.new])
        for result, reason in self.damaged.items():
            self.study.results.quarantine(result, reason)
        return Assignment(
            study=self.study.path,
            launch=number,
            jobs=tuple(self.unfinished),
            retries=engine.retries,
            lease_seconds=engine.lease_seconds,
            checkpoint_seconds=self.request.checkpoint_seconds,
            keep_checkpoint=self.request.keep_checkpoint,
            recompute=self.request.recompute,
        )

    def _fingerprint(self) -> dict[str, str]:
        """Fingerprint of all requested shapes, and of unfinished jobs as they were planned."""
        planned = [job["shape"] for job in self.unfinished.values()]
        return provenance.fingerprint([*self.shapes.values(), *planned])


def plan(request: Request, study: Study) -> Launch:
    """Plan a launch; UserError if the study's results come from other versions.

    Members that were planned with other code train anew, in jobs beside the old ones. The bytes of
    all requested results are verified: DiskError if one cannot be read.
    """
    _check_versions(request, study)
    every, shapes = study.plan(), _planned_shapes(request)
    _check_compile(request, every.jobs.values())
    planned = of_this_code(every, shapes.values())
    finished = study.results.finished(planned)
    keys = _keys(every.jobs)
    # A member that two plans hold counts as finished if it is in either.
    where = {
        key: job_id for job_id in sorted(planned, key=finished.__contains__) for key in keys[job_id]
    }
    digests = {shape: digest(shape_to_json(shape)) for shape, _ in request.shapes}
    others = {key for job_id in every.jobs.keys() - planned for key in keys[job_id]}
    known = {
        (shape, member): where[digests[shape], member]
        for shape, members in request.shapes
        for member in members
        if (digests[shape], member) in where
    }
    to_verify = set(known.values()) & finished
    # In the order of the plan: results that were gathered lie so, and are read in groups.
    damaged = _damaged(study, planned, [job_id for job_id in planned if job_id in to_verify])
    finished -= damaged.keys()
    rest = [
        (shape, [member for member in members if (shape, member) not in known])
        for shape, members in request.shapes
    ]
    new = _new_jobs(request, shapes, _by_earlier_job(request, rest, planned, finished))
    recorded = {job_id: jobs.recording(planned[job_id]["shape"]) for job_id in known.values()}
    open_ids = dict.fromkeys(job_id for job_id in known.values() if job_id not in finished)
    unfinished = [*(planned[job_id] for job_id in open_ids), *(job.to_json() for job in new)]
    unfinished.sort(key=jobs.place)
    notes = _notes(request, study, {job["id"]: job for job in unfinished}) if unfinished else []
    hashes = code.newest(study.launches())
    return Launch(
        request=dataclasses.replace(request, notes=[*request.notes, *notes]),
        study=study,
        new=new,
        unfinished={job["id"]: job for job in unfinished},
        jobs=list(dict.fromkeys([*known.values(), *(job.id for job in new)])),
        finished=sum(job_id in finished for job_id in known.values()),
        continued=sum(len(job.members) for job in new if job.continues is not None),
        unrecorded=sum(
            not recorded[job_id].covers(request.recordings.get(shape, RESULTS_ONLY))
            for (shape, _), job_id in known.items()
        ),
        damaged=dict(damaged.values()),
        retrained=sum(
            (digests[shape], member) in others for shape, members in rest for member in members
        ),
        returns=not unfinished
        and any(
            code.digest(shape, hashes) != provenance.code_digest(shape) for shape in shapes.values()
        ),
        shapes=shapes,
    )


def of_this_code(every: PlannedJobs, shapes: Iterable[Json]) -> dict[str, Json]:
    """The jobs that were planned with the code that is here, of those that depend on no other code
    than these planned shapes: no other is looked at, and may be broken.
    """
    requested = {role for shape in shapes for role in code.roles(shape)}
    candidates = {
        job_id: job
        for job_id, job in every.jobs.items()
        if requested.issuperset(code.roles(job["shape"]))
    }
    here = by_shape(candidates, lambda job: provenance.code_digest(job["shape"]))
    return {job_id: job for job_id, job in candidates.items() if every.code[job_id] == here[job_id]}


def _planned_shapes(request: Request) -> dict[Shape, Json]:
    """The request's shapes as they are planned."""
    return {
        shape: shape_to_json(shape, request.recordings.get(shape, RESULTS_ONLY))
        for shape, _ in request.shapes
    }


def _new_jobs(
    request: Request,
    shapes: Mapping[Shape, Json],
    members: Mapping[tuple[Shape, str | None], Sequence[Member]],
) -> list[Job]:
    """Jobs of these members, by shape and the id of the job they go on from; the longest first."""
    digests = {shape: provenance.code_digest(shapes[shape]) for shape, _ in members}
    packed = request.packed([(shape, group) for (shape, _), group in members.items()])
    return jobs.longest_first(
        dataclasses.replace(job, continues=earlier, code=digests[shape])
        for (shape, earlier), group in zip(members, packed, strict=True)
        for job in group
    )


def _by_earlier_job(
    request: Request,
    rest: Sequence[tuple[Shape, Sequence[Member]]],
    planned: Mapping[str, Json],
    finished: Container[str],
) -> dict[tuple[Shape, str | None], list[Member]]:
    """The members by shape and the id of the finished job of the largest smaller budget that has
    trained them; None for those that nothing trained.

    Where both budgets are requested, they are to be compared: each trains on its own.
    """
    groups: dict[tuple[Shape, str | None], list[Member]] = defaultdict(list)
    both = {_budget(shape_to_json(shape)) for shape, _ in request.shapes}
    trained: dict[tuple[str, Member], list[tuple[int, str]]] = defaultdict(list)
    earlier_jobs = planned if any(members for _, members in rest) else {}
    budgets = by_shape(earlier_jobs, lambda job: _budget(without_recording(job["shape"])))
    for job_id, job in earlier_jobs.items():
        settings, steps = budgets[job_id]
        if job_id in finished and (settings, steps) not in both:
            for member in job["members"]:
                trained[settings, Member(**member)].append((steps, job_id))
    for shape, members in rest:
        settings, budget = _budget(shape_to_json(shape))
        for member in members:
            known = trained[settings, member] if shape.train.begins_longer_ones else []
            earlier = [job for job in known if job[0] < budget]
            groups[shape, max(earlier)[1] if earlier else None].append(member)
    return groups


def _budget(shape: Json) -> tuple[str, int]:
    """Digest of a shape's settings but for its budget, and the budget in steps."""
    train = dict(shape["train"])
    steps = train.pop("steps")
    return digest({**shape, "train": train}), steps


def _damaged(
    study: Study, planned: Mapping[str, Json], job_ids: Iterable[str]
) -> dict[str, tuple[Path, str]]:
    """The damaged results of these jobs with the reason, by job."""
    damaged = {}
    for job_id in job_ids:
        result = study.results.path(job_id)
        try:
            study.results.whole(planned[job_id])
        except Unreadable as trouble:
            raise DiskError(str(trouble)) from trouble
        except Damaged as damage:
            damaged[job_id] = (result, str(damage))
    return damaged


def _versions(request: Request) -> dict[str, str]:
    """Versions that a request's results are computed with."""
    return provenance.versions(provenance.compiled_on(shape for shape, _ in request.shapes))


def _check_compile(request: Request, planned: Iterable[Json]) -> None:
    """Raise UserError if `train.compile=auto` resolves otherwise than in all jobs of the study."""
    requested = {shape.train.compile for shape, _ in request.shapes}
    before = {job["shape"]["train"]["compile"] for job in planned}
    explicit = any(
        "train.compile=" in text and "auto" not in text
        for grid in request.overrides
        for text in grid
    )
    if before and not explicit and not requested & before:
        was, would_be = in_message(before.pop()), in_message(requested.pop())
        raise UserError(
            f"train.compile=auto: would be {would_be} here, the study {request.study} was planned "
            f"with {was}; say train.compile={would_be} to have both, or use another --results "
            "folder"
        )


def _keys(planned: Mapping[str, Json]) -> dict[str, list[tuple[str, Member]]]:
    """The members of each planned job, each with the digest of its shape."""
    shapes = by_shape(planned, lambda job: digest(without_recording(job["shape"])))
    return {
        job_id: [(shapes[job_id], Member(**member)) for member in job["members"]]
        for job_id, job in planned.items()
    }


def _check_versions(request: Request, study: Study) -> None:
    """Raise UserError if a launch of the study was computed by other versions."""
    with_what = _versions(request)
    other = "use another --results folder"
    if study.name != TRAINED:
        other = f"name a new study beside it, --study NAME, or {other}"
    for damage in study.damaged_launches():
        raise UserError(
            f"study {study.name}: {damage}, so what made its results is unknown; {other}"
        )
    for launch in study.launches():
        if not launch.get("fingerprint") or not launch.get("versions"):
            raise UserError(
                f"study {study.name}: launch {launch['launch']} does not say what computed; {other}"
            )
        if difference := provenance.unlike_versions(launch, with_what):
            raise UserError(f"study {study.name}: {difference}; {other}")


def _notes(request: Request, study: Study, unfinished: Mapping[str, Json]) -> list[str]:
    """Notes on memory, and on earlier results if they were computed with another processor."""
    here = _versions(request)
    others = {provenance.other_processor(launch, here) for launch in study.launches()}
    notes = [f"study {study.name}: {difference}" for difference in sorted(others) if difference]
    memory = memory_note(request.engine, unfinished, request.device, recompute=request.recompute)
    return [*notes, *filter(None, [memory])]
