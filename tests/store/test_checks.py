"""Checks of a study folder's contents: all that was written is taken, and all else that stands
there gets a reason.
"""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.faults.trees import GONE, Path, changed, mutated
from resformer import config
from resformer.model.shape import Member, Shape
from resformer.plan import jobs
from resformer.plan.jobs import Job
from resformer.store import checks
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.training.loop import Trained, Training

MEMBERS = [Member(seed=0, lr=3e-3), Member(seed=1, lr=3e-3), Member(seed=1, lr=1e30)]


def refusal(check: Callable[..., None], *record: Any) -> str | None:
    """The reason why a record is refused; None if it passes."""
    try:
        check(*record)
    except ValueError as error:
        return str(error)
    return None


def written(tree: object) -> Any:
    return json.loads(json.dumps(tree))


def planned(*schemes: str) -> list[dict[str, Any]]:
    """Jobs of some tasks and these schemes, as they stand in a plan."""
    return [
        written(job.to_json())
        for scheme in schemes
        for job in config.request(
            "some",
            [
                "task=copy,reverse,sort",
                f"model/residual={scheme}",
                "member.seed=0,1",
                "engine.stack=2",
            ],
        ).jobs()
    ]


@pytest.fixture(scope="session")
def record(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A launch as a sweep writes it, with something left out."""
    study = Study(tmp_path_factory.mktemp("results") / "some")
    plan = launch.plan(config.request("some", ["model.heads=3,4", "train.compile=false"]), study)
    plan.start(["resformer", "sweep", "model.heads=3,4"])
    (launched,) = study.launches()
    return launched


@pytest.fixture
def trained(shape: Shape) -> Trained:
    return Training(shape, MEMBERS).run()


JOB = planned("add")[0]
RESULT = {"job": "x", "attempt": 2, "files": {"runs.parquet": {"bytes": 3, "sha256": "0a" * 32}}}
STRETCH = {"members": 3, "steps": 10, "seconds": 0.5}
TIMING = {"seconds": 1.5, "stretches": [STRETCH, STRETCH]}
PLANNED = [{"seed": 0, "lr": 0.1}, {"seed": 1, "lr": 0.1}, {"seed": 1, "lr": 0.2}]
RUNS: dict[str, list[Any]] = {
    "seed": [0, 1, 1],
    "lr": [0.1, 0.1, 0.2],
    "outcome": ["solved", "unsolved", "diverged"],
    "stalled": [False, True, False],
    "solved_step": [20, None, None],
    "diverged_step": [None, None, 7],
    "last_step": [30, 40, 10],
    "final_loss": [0.1, 2.0, float("nan")],
    "final_accuracy": [1.0, 0.1, 0.0],
}


# What is written is taken


def test_every_job_that_can_be_planned_passes() -> None:
    lines = planned("add", "plain", "rezero", "deepnorm", "layerscale")
    assert len(lines) == 15
    for job in lines:
        checks.planned_job(job)


def test_a_job_with_the_largest_settings_passes(shape: Shape) -> None:
    overrides = [
        "model.depth=1024",
        "model.width=4096",
        "model.hidden=65536",
        "train.batch=65536",
        "task.length=512",
    ]
    overrides += [
        "task.symbols=4096",
        "train.steps=10000000",
        "train.compile=false",
        "member.lr=1e30",
    ]
    (job,) = config.request(
        "some", [*overrides, "member.seed=4294967295", "train.clip=1e30", "device=cpu"]
    ).jobs()
    checks.planned_job(written(job.to_json()))


def test_launch_records_pass(record: dict[str, Any]) -> None:
    assert record["excluded"]
    checks.launch_record(record, 1)
    checks.launch_record({key: record[key] for key in ("launch", "started")}, 1)
    checks.launch_record({"launch": 1, "started": "1970-01-01T00:00:07.5+00:00"}, 1)


@pytest.mark.parametrize("keep", [False, True])
def test_committed_tables_pass(shape: Shape, trained: Trained, tmp_path: Any, keep: bool) -> None:
    job = written(Job(shape=shape, members=tuple(MEMBERS)).to_json())
    assert {"solved", "unsolved", "diverged"} & set(trained.runs["outcome"]) >= {"diverged"}
    checks.runs(pa.table(trained.runs), job["members"])
    checks.curves(pa.table(trained.curves))
    checks.timing(written(trained.timing))
    assert jobs.from_json(job).shape == shape


def test_tables_written_by_hand_pass() -> None:
    checks.result(RESULT, "x")
    checks.timing(TIMING)
    checks.timing({"seconds": 0, "stretches": []})
    checks.runs(pa.table(RUNS), PLANNED)


def test_columns_of_nothing_but_gaps_pass() -> None:
    table = pa.table({name: [column[1]] for name, column in RUNS.items()})
    assert table.schema.field("solved_step").type == pa.null()
    checks.runs(table, PLANNED[1:2])


# What is not, gets a reason

WRONG_JOBS: list[tuple[Path, object]] = [
    *(
        (("id",), value)
        for value in (
            "",
            "..",
            "../x",
            "a/b",
            "-x",
            "_x",
            "x" * 65,
            "x\n",
            "é",
            "x\0",
            7,
            None,
            GONE,
        )
    ),
    *((("shape",), value) for value in (GONE, None, [], {}, "x", {"task": {}}, {"depth": 3})),
    *(
        (("shape", "task", "name"), value)
        for value in (GONE, None, 7, ["x"], {}, "w" * 201, "\x1b[31m", "\ud800")
    ),
    *(
        (("shape", "model", "depth"), value)
        for value in (GONE, None, True, 1.5, "4", 0, -1, 10**30, float("nan"))
    ),
    *((("shape", "model", "residual"), value) for value in (GONE, "add", {}, {"name": 1})),
    *((("shape", "model", "norm"), value) for value in (GONE, 3, [])),
    *((("shape", "train", "steps"), value) for value in (GONE, 0, 10**9, True, "600", 6e2)),
    *((("shape", "train", "compile"), value) for value in (GONE, "auto", 1, None)),
    *(
        (("shape", "train", "batch"), value)
        for value in ([], [1], 10**16, float("inf"), float("nan"), {"": 1})
    ),
    (("shape", "device"), GONE),
    (("shape", "device"), 3),
    *((("shape", key), 3) for key in ("seed", "lr", "study", "job", "outcome", "")),
    *((("shape", "model", key), 3) for key in ("a.b", "", "a b", "\x1b", "w" * 65, "é")),
    (("shape", "model", "deep"), {"a": {"a": {"a": {"a": {"a": 1}}}}}),
    (("shape", "model", "many"), {f"a{number}": 1 for number in range(600)}),
    *(
        (("members",), value)
        for value in (GONE, None, [], {}, "x", [None], [[]], [{}], [{"seed": 1}])
    ),
    (("members", 0, "more"), 1),
    *((("members", 0, "seed"), value) for value in (GONE, None, True, 1.0, "1", -1, 2**32, 10**30)),
    *(
        (("members", 0, "lr"), value)
        for value in (GONE, None, True, "1", -1.0, float("nan"), float("inf"), 1e31)
    ),
    *(
        ((name,), value)
        for name in ("parameters", "flops_per_step", "flops", "blind_loss")
        for value in (GONE, None, True, "1", -1, float("nan"), float("inf"), 10**400, [1])
    ),
    *((("tokens_per_step",), value) for value in (None, True, "1", -1, float("nan"), [1])),
]
WRONG_LAUNCHES: list[tuple[Path, object]] = [
    *((("launch",), value) for value in (GONE, None, True, "1", 0, 1.5, 10**30)),
    *(
        (("started",), value)
        for value in (GONE, None, 7, "", "yesterday", "0001-01-01T00:00:00+00:00")
    ),
    *(
        (("started",), value)
        for value in ("2026-01-01T00:00:00", "9999-12-31T23:59:59-14:00", "w" * 10**5)
    ),
    *((("planned",), value) for value in (True, "1", -1, 1.5, [])),
    *(
        (("engine",), value)
        for value in (None, [], "local", {"retries": "1"}, {"retries": -1}, {"retries": None})
    ),
    *((("engine", "lease_seconds"), value) for value in (None, "60", -1, float("nan"), [])),
    (("engine", "workers"), []),
    *(
        (("excluded",), value)
        for value in (None, {}, "x", [None], [{}], [{"settings": {}}], [{"reason": "x"}])
    ),
    (("excluded",), [{"settings": {"a": []}, "reason": "x"}]),
    (("excluded",), [{"settings": [], "reason": "x"}]),
    (("excluded",), [{"settings": {}, "reason": 7}]),
    *(
        ((name,), value)
        for name in ("asked", "swept", "jobs")
        for value in (None, "x", {}, [7], [["x"]])
    ),
    *((("overrides",), value) for value in (None, "x", ["x"], [[7]], {})),
    *(
        ((name,), value)
        for name in ("versions", "fingerprint")
        for value in (None, [], "x", {"a": 7}, {"a": {}})
    ),
]
WRONG_RESULTS: list[tuple[Path, object]] = [
    *((("job",), value) for value in (GONE, None, "y", 7, ["x"])),
    *((("attempt",), value) for value in (GONE, None, True, "1", 0, -1, 1.0, 10**30)),
    *((("files",), value) for value in (GONE, None, [], "x")),
    *(
        (("files", name), {"bytes": 1, "sha256": "0" * 64})
        for name in ("../x", "/x", "a/b", "..", ".x", "", "a\0", "-")
    ),
    *(
        (("files", "runs.parquet"), value)
        for value in (None, [], {}, {"bytes": 1}, {"sha256": "0" * 64})
    ),
    *((("files", "runs.parquet", "bytes"), value) for value in (None, True, -1, 1.5, 2**60)),
    *(
        (("files", "runs.parquet", "sha256"), value)
        for value in (None, "", "0" * 63, "G" * 64, "0" * 64 + "\n", 7)
    ),
]
WRONG_TIMINGS: list[tuple[Path, object]] = [
    *(
        (("seconds",), value)
        for value in (GONE, None, True, "1", -1, float("nan"), float("inf"), 1e13)
    ),
    *((("at_once",), value) for value in (None, True, 0, 1.5, "x")),
    *((("stretches",), value) for value in (GONE, None, {}, "x", [None], [{}], [[]])),
    *(
        (("stretches", 0, name), value)
        for name in STRETCH
        for value in (GONE, None, True, "1", -1, float("inf"))
    ),
    *((("stretches", 0, name), 0) for name in ("members", "steps")),
]


@pytest.mark.parametrize(
    ("check", "good", "wrong"),
    [
        (checks.planned_job, JOB, WRONG_JOBS),
        (partial(checks.result, job_id="x"), RESULT, WRONG_RESULTS),
        (checks.timing, TIMING, WRONG_TIMINGS),
    ],
    ids=["job", "result", "timing"],
)
def test_a_wrong_job_is_refused_with_the_reason(
    check: Callable[[object], None], good: Any, wrong: list[tuple[Path, object]]
) -> None:
    check(good)
    silent = [change for change in wrong if refusal(check, changed(good, *change)) is None]
    assert silent == []
    assert all(refusal(check, tree) for tree in (None, [], "x", 7, {}))


def test_a_wrong_launch_record_is_refused(record: dict[str, Any]) -> None:
    silent = [
        change
        for change in WRONG_LAUNCHES
        if refusal(checks.launch_record, changed(record, *change), 1) is None
    ]
    assert silent == []
    assert all(refusal(checks.launch_record, tree, 1) for tree in (None, [], "x", 7, {}))
    assert refusal(checks.launch_record, record, 2) == "is the record of launch 1"


def test_an_accuracy_of_real_numbers_may_be_under_zero() -> None:
    accuracies = pa.table({**RUNS, "final_accuracy": [1.0, -3.5, float("-inf")]})
    assert refusal(checks.runs, accuracies, PLANNED) is None


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("seed", [0, 1, 2]),
        ("seed", [0.0, 1.0, 1.0]),
        ("seed", [0, 1, None]),
        ("lr", [0.1, 0.2, 0.1]),
        ("lr", [0.1, 0.1, float("nan")]),
        ("outcome", ["solved", "unsolved", "lost"]),
        ("outcome", ["solved", "unsolved", None]),
        ("outcome", ["unsolved", "unsolved", "diverged"]),
        ("outcome", [b"solved", b"unsolved", b"diverged"]),
        ("stalled", [True, True, False]),
        ("stalled", [0, 1, 0]),
        ("solved_step", [None, None, None]),
        ("solved_step", [20, 20, None]),
        ("solved_step", [31, None, None]),
        ("solved_step", [-1, None, None]),
        ("solved_step", [20.0, None, None]),
        ("diverged_step", [None, None, 11]),
        ("diverged_step", [None, 3, 7]),
        ("last_step", [30, 40, 10**8]),
        ("last_step", [30, -1, 10]),
        ("final_loss", [0.1, -2.0, float("nan")]),
        ("final_loss", [0.1, 2.0, None]),
        ("final_loss", ["0", "1", "2"]),
        ("final_accuracy", [1.1, 0.1, 0.0]),
        ("final_accuracy", [1.0, 0.1, float("nan")]),
    ],
)
def test_impossible_runs_are_refused(column: str, values: list[Any]) -> None:
    assert refusal(checks.runs, pa.table({**RUNS, column: values}), PLANNED)


def test_tables_of_another_form_are_refused(trained: Trained) -> None:
    runs, curves = pa.table(RUNS), pa.table(trained.curves)
    for table in (
        runs.drop_columns("lr"),
        runs.append_column("job", pa.array(["x"] * 3)),
        runs[:2],
        curves,
        runs[:0],
    ):
        assert refusal(checks.runs, table, PLANNED)
    assert refusal(checks.runs, runs, PLANNED[:2])
    assert refusal(checks.runs, runs.replace_schema_metadata({"pandas": "{"}), PLANNED)
    assert refusal(checks.runs, runs.select([1, 0, *range(2, 9)]), PLANNED)
    for table in (
        runs,
        curves.drop_columns("loss"),
        curves.replace_schema_metadata({"pandas": "{"}),
    ):
        assert refusal(checks.curves, table)
    assert refusal(checks.curves, curves.set_column(2, "step", pa.array(np.zeros(len(curves)))))
    assert refusal(checks.curves, pa.table({name: [None] for name in curves.column_names}))


# Whatever stands anywhere, nothing else is raised


@pytest.mark.fuzz
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_no_tree_crashes_a_check(record: dict[str, Any], data: st.DataObject) -> None:
    for check, good in (
        (checks.planned_job, JOB),
        (partial(checks.launch_record, number=1), record),
        (partial(checks.result, job_id="x"), RESULT),
        (checks.timing, TIMING),
    ):
        assert len(refusal(check, data.draw(mutated(good))) or "") < 200
