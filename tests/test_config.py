"""Overrides → plan: what composes, what is replaced, what is refused."""

import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from resformer import config, plugins
from resformer.claims.file import read
from resformer.claims.judge import requested
from resformer.config.machine import Machine
from resformer.errors import UserError
from resformer.keys import PRECISIONS
from resformer.model.shape import Shape
from resformer.sweep.request import Request

YAMLS = sorted(
    (path for path in plugins.config_folder().rglob("*.yaml") if path.stem != "base"), key=str
)
KEYS = config.keys()


def ask(*overrides: str) -> Request:
    return config.request("some", overrides)


def only(*overrides: str) -> Shape:
    ((shape, _),) = ask(*overrides).shapes
    return shape


def answer(plan: Callable[[], Request]) -> Request | UserError:
    """The request that is planned, or why there is none; any other exception is a bug."""
    try:
        return plan()
    except UserError as error:
        return error


def members(request: Request) -> int:
    return sum(len(planned) for _, planned in request.shapes)


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """TimeoutError if the body takes longer."""

    def ring(signum: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# What composes


@pytest.mark.parametrize(
    ("study", "count", "shapes"),
    [
        *(("quick", 384, 16), ("sort", 384, 16), ("depth", 3345, 223), ("schemes", 4680, 284)),
        *(("tasks", 960, 40), ("seeds", 1440, 16)),
    ],
)
def test_studies_have_the_members_they_promise(study: str, count: int, shapes: int) -> None:
    request = config.request(study, [])
    assert (members(request), len(request.shapes), request.excluded) == (count, shapes, [])
    assert request.study == study


@pytest.mark.parametrize(
    "path", YAMLS, ids=[path.relative_to(plugins.config_folder()).as_posix() for path in YAMLS]
)
def test_every_yaml_composes(path: Path) -> None:
    group = path.parent.relative_to(plugins.config_folder()).as_posix()
    if group.startswith("study"):
        assert config.request(path.stem, []).shapes
    elif group == "claim":
        assert requested(read(path), []).shapes
    elif group == ".":
        assert ask("member.seed=0").shapes
    else:
        assert ask(f"{group}={path.stem}").shapes


def test_the_settings_that_engines_share_are_no_engine() -> None:
    with pytest.raises(UserError, match="engine=base: must be one of local, ray, slurm"):
        ask("engine=base")


def test_without_words_the_quick_study_is_meant() -> None:
    assert config.request(None, []) == config.request("quick", [])


def test_the_quick_study_is_copy_at_width_32() -> None:
    for shape, planned in config.request("quick", []).shapes:
        assert type(shape.task).__name__ == "Copy"
        assert (shape.task.length, shape.task.symbols) == (8, 16)
        assert (shape.model.width, shape.model.heads, shape.train.batch, shape.train.steps) == (
            32,
            4,
            32,
            600,
        )
        assert {(member.seed, member.lr) for member in planned} == {
            (seed, lr) for seed in range(6) for lr in (1e-3, 3e-3, 1e-2, 3e-2)
        }


@pytest.mark.parametrize(("task", "accuracy"), [("copy", 0.99), ("reverse", 0.99), ("sort", 0.95)])
def test_a_task_brings_its_target(task: str, accuracy: float) -> None:
    assert only(f"task={task}").train.target_accuracy == accuracy


def test_members_are_evaluated_by_a_list_or_at_an_interval() -> None:
    assert only("model.depth=2").train.eval_every is None
    assert only("train.eval_every=7").train.eval_every == 7
    unstopped = only("train.eval_every=600", "train.stop_when_solved=false")
    assert unstopped.train.eval_every == 600


def test_a_budget_within_the_default_warmup_is_noted_and_a_given_warmup_refused() -> None:
    (note,) = config.request(None, ["train.steps=20", "train.compile=false"]).notes
    assert note.startswith("train.steps=20: ends within the warm-up of 50 steps")
    with pytest.raises(UserError, match=r"train\.warmup_steps=30: must be at most train\.steps=20"):
        config.request(None, ["train.steps=20", "train.warmup_steps=30"])


# What is resolved


@pytest.mark.parametrize(
    ("scheme", "norm"),
    [
        ("plain", "post"),
        ("add", "post"),
        ("rezero", "none"),
        ("deepnorm", "post"),
        ("layerscale", "pre"),
    ],
)
def test_own_norm_is_the_schemes(scheme: str, norm: str) -> None:
    assert only(f"model/residual={scheme}").model.norm == norm


@pytest.mark.parametrize(
    ("task", "attention"), [("copy", "causal"), ("reverse", "causal"), ("sort", "bidirectional")]
)
def test_own_attention_is_the_tasks(task: str, attention: str) -> None:
    assert only(f"task={task}").model.attention == attention
    assert only(f"task={task}", "model.attention=causal").model.attention == "causal"


def test_hidden_is_four_times_the_width_unless_it_is_set() -> None:
    assert only("model.width=48").model.hidden == 192
    assert only("model.width=48", "model.hidden=null").model.hidden == 192
    assert only("model.width=48", "model.hidden=10").model.hidden == 10


def test_device_auto_is_the_gpu_where_there_is_one() -> None:
    assert only("device=auto").device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert only("device=cpu").device == "cpu"


@pytest.mark.parametrize(("short", "scheme"), [("true", "add"), ("false", "plain")])
def test_shorthand_of_the_residual_schemes(short: str, scheme: str) -> None:
    assert ask(f"model.residual={short}") == Request(
        **{**vars(ask(f"model/residual={scheme}")), "overrides": [[f"model.residual={short}"]]}
    )


def test_a_member_is_never_counted_twice() -> None:
    assert (
        members(
            ask(
                "task=copy,copy",
                "device=cpu,cpu",
                "member.lr=0.001,1e-3,0.003",
                "member.seed=1,1,2",
            )
        )
        == 4
    )
    assert members(ask("model.norm=own,post", "model.hidden=null,128")) == 1


def test_members_share_jobs_and_the_rest_makes_more() -> None:
    request = ask(
        "member.seed=range(0,4)", "member.lr=1e-3,1e-2", "model.depth=1,2,4", "engine.workers=1"
    )
    assert (len(request.shapes), len(request.jobs()), members(request)) == (3, 3, 24)
    assert {shape.model.depth for shape, _ in request.shapes} == {1, 2, 4}
    assert [job.shape.model.depth for job in request.jobs()] == [4, 2, 1], "the longest first"
    assert [
        len(job.members) for job in ask("member.seed=range(0,5)", "engine.stack=2").jobs()
    ].count(2) == 2


@pytest.mark.parametrize(
    ("workers", "steps", "jobs"), [(1, 600, 1), (2, 600, 2), (16, 600, 16), (16, 2, 1)]
)
def test_members_of_a_shape_are_divided_among_the_workers(
    workers: int, steps: int, jobs: int
) -> None:
    """But not where a job costs more than its members."""
    more = [f"engine.workers={workers}", f"train.steps={steps}", "train.warmup_steps=0"]
    request = ask("member.seed=range(0,16)", "train.stop_when_solved=false", *more)
    assert len(request.jobs()) == jobs
    assert len(ask("member.seed=range(0,16)", "engine.stack=16", *more[:1]).jobs()) == 1


# The command line replaces a study's keys


@pytest.mark.parametrize("study", ["quick", "sort", "tasks"])
def test_an_override_replaces_the_key_in_every_grid(study: str) -> None:
    before, after = (
        config.request(study, []),
        config.request(study, ["model.depth=3", "train.batch=8"]),
    )
    assert len(after.overrides) == len(before.overrides)
    for grid in after.overrides:
        assert [text for text in grid if text.startswith("model.depth=")] == ["model.depth=3"]
    assert {(shape.model.depth, shape.train.batch) for shape, _ in after.shapes} == {(3, 8)}
    depths = len({shape.model.depth for shape, _ in before.shapes})
    assert members(after) * depths == members(before)


@pytest.mark.parametrize("override", ["model.residual=false", "model/residual=plain"])
def test_both_spellings_of_the_residual_scheme_replace_a_studys(override: str) -> None:
    shapes = config.request("depth", [override, "model.norm=own"]).shapes
    assert {type(shape.residual).__name__ for shape, _ in shapes} == {"Plain"}


def test_a_study_file_here_hides_the_packages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "configs" / "study"
    folder.mkdir(parents=True)
    (folder / "quick.yaml").write_text("- model.depth=3\n- member.seed=range(0,2)\n")
    (folder / "mine.yaml").write_text(
        "- [model.depth=1, task=copy]\n- [model.depth=2, task=sort]\n"
    )
    assert members(config.request("quick", [])) == members(config.request(None, [])) == 2
    assert [shape.model.depth for shape, _ in config.request("mine", []).shapes] == [1, 2]
    assert members(config.request("sort", [])) == 384, "the package's others are still there"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"model.depth=1",
        b"model.depth: 1",
        b"- model.depth=1\n- [model.depth=2]",
        b"- [1, 2]",
        b"- null",
        b"- {model.depth: 1}",
        b"- a: [",
        b"\xff\xfe\x00",
        b"- model.depth=1\n- model.depth=2",
        b"- ~model.depth",
        b"- &a [x, x]\n- &b [*a, *a]\n- [*b, *b]",
        b"- !!python/object/apply:os.getcwd []",
        b"[" * 5000,
    ],
)
def test_a_study_file_that_makes_no_sense_is_refused(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "study").mkdir(parents=True)
    (tmp_path / "configs" / "study" / "mine.yaml").write_bytes(content)
    with pytest.raises(UserError):
        config.request("mine", [])


def test_a_study_file_that_is_a_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "study" / "mine.yaml").mkdir(parents=True)
    with pytest.raises(UserError, match=r"mine\.yaml"):
        config.request("mine", [])


def test_an_unknown_study_needs_overrides() -> None:
    with pytest.raises(
        UserError,
        match="depth, modern, probe, quick, schemes, seeds, sort, tasks",
    ):
        config.request("nowhere", [])
    assert config.request("nowhere", ["model.depth=1"]).study == "nowhere"


# Axes that move together

PAIRS = "zip(model.depth=4,16,64 model.width=128,64,32)"


def sizes(request: Request) -> list[tuple[int, int]]:
    return [(shape.model.depth, shape.model.width) for shape, _ in request.shapes]


def test_axes_of_a_zip_move_together() -> None:
    request = config.request(None, [PAIRS])
    assert sizes(request) == [(4, 128), (16, 64), (64, 32)]
    assert request.swept == ["model.depth", "model.width"]
    assert request.overrides == [[PAIRS]]
    assert request.study.startswith("depth-width-")


def test_zips_and_plain_axes_are_combined() -> None:
    request = ask(
        "zip(model.residual=true,false model.norm=pre,post)",
        "zip(model.depth=range(1, 4, step=1) model.width=choice(8,4,8))",
        "task=copy,sort",
        "member.lr=auto",
    )
    assert len(request.shapes) == 2 * 3 * 2
    assert members(request) == 4 * len(request.shapes)
    assert {(type(shape.residual).__name__, shape.model.norm) for shape, _ in request.shapes} == {
        ("Add", "pre"),
        ("Plain", "post"),
    }
    assert {*sizes(request)} == {(1, 8), (2, 4), (3, 8)}


def test_a_combination_of_a_zip_that_makes_no_sense_is_left_out() -> None:
    request = ask("zip(model.heads=3,4 model.width=8,8)")
    (row,) = request.excluded
    assert row["settings"] == {"model.heads": 3, "model.width": 8}
    assert [shape.model.heads for shape, _ in request.shapes] == [4]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            ["zip(model.depth=1,2,3 model.width=8,16)"],
            "must have as many values of each: model.depth has 3, model.width has 2",
        ),
        (["zip(model.depth=1,2 member.lr=1e-3,1e-2)"], "give member.lr outside the zip"),
        (["zip(model.depth=1,2 model.width=8,4)", "model.width=8"], "model.width is given twice"),
        (["model.width=8", "zip(model.depth=1,2 model.width=8,4)"], "model.width is given twice"),
        (["zip(model.depth=1,2 model.depth=2,1)"], "model.depth is given twice"),
        (["zip(model.depth=1,2", "model.width=8,4)"], "quote all of it"),
        (["zip(model.depth=1,2 model.widht=8,4)"], "did you mean model.width?"),
        (["zip(model.depth=1,2,model.width=8,4)"], "a zip has settings with spaces between"),
        (["zip(model.depth=1,2 model.width=8,4"], "quote all of it"),
        (["zip()"], "has no settings"),
    ],
)
def test_a_zip_that_makes_no_sense_is_refused(overrides: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=re.escape(reason)):
        ask(*overrides)


def test_the_command_line_replaces_a_zip_of_a_study_as_a_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs" / "study").mkdir(parents=True)
    (tmp_path / "configs" / "study" / "mine.yaml").write_text(f"- {PAIRS}\n- task=copy\n")
    assert len(sizes(config.request("mine", ["task=sort"]))) == 3
    for other in (["model.depth=4", "model.width=8"], ["zip(model.width=8 model.depth=4)"]):
        assert sizes(config.request("mine", other)) == [(4, 8)]
    with pytest.raises(UserError, match=r"replaced as a whole; give model\.width, too"):
        config.request("mine", ["model.depth=4"])


def test_train_refuses_a_zip_of_several_shapes() -> None:
    with pytest.raises(UserError, match="train runs one job"):
        config.single([PAIRS])
    assert len(config.single(["zip(model.depth=1 model.width=8)"]).jobs()) == 1


# Names of studies that were given none

seeds = st.sets(st.integers(0, 2**32 - 1), min_size=1, max_size=6).map(sorted)


@pytest.mark.fuzz
@settings(deadline=None, max_examples=50)
@given(seeds, seeds)
def test_a_made_up_name_does_not_depend_on_the_seeds_swept(
    some: Sequence[int], others: Sequence[int]
) -> None:
    names = {
        config.request(
            None, ["model.depth=1,2", f"member.seed=choice({','.join(map(str, values))})"]
        ).study
        for values in (some, others)
    }
    (name,) = names
    assert name.startswith("depth-seed-")


def test_a_made_up_name_tells_fixed_settings_apart() -> None:
    def name(*overrides: str) -> str:
        return config.request(None, overrides).study

    assert name("model.depth=1,2") == name("model.depth=1,2") == name("model.depth=1,2,4")
    assert name("model.depth=1,2") == name("model.depth=1,2", "task=copy"), "a default written out"
    assert name("model.residual=true,false") == name("model/residual=add,plain")
    different = [
        ("model.depth=1,2",),
        ("model.depth=1,2", "task=sort"),
        ("model.depth=1,2", "model.norm=pre"),
    ]
    assert len({name(*overrides) for overrides in different}) == 3
    assert name("model.depth=3").startswith("single-")


# Combinations that make no sense


@pytest.mark.parametrize(
    ("overrides", "left", "excluded", "reason"),
    [
        (["model/residual=deepnorm,rezero", "model.norm=post,pre"], 1, 3, "model.norm="),
        (["model.heads=3,4"], 1, 1, "model.heads=3"),
        (["model.heads=2,3", "model.width=8,9"], 2, 2, "model.heads="),
        (["task.length=2,8"], 1, 1, "task.length=2"),
        (
            ["model/residual=rezero,add", "model.residual.initial=0.5"],
            1,
            1,
            "model.residual.initial=0.5",
        ),
    ],
)
def test_combinations_without_sense_are_left_out(
    overrides: list[str], left: int, excluded: int, reason: str
) -> None:
    request = ask(*overrides)
    swept = {
        "model.residual" if "/" in text else text.partition("=")[0]
        for text in overrides
        if "," in text
    }
    assert (len(request.shapes), len(request.excluded)) == (left, excluded)
    for row in request.excluded:
        assert set(row["settings"]) == swept
        assert reason in row["reason"]


@pytest.mark.parametrize(
    "overrides",
    [
        ["model/residual=rezero", "model.norm=post,pre"],
        ["model.heads=3,5,7"],
        ["model.residual.initial=1"],
    ],
)
def test_a_grid_needs_one_combination_with_sense(overrides: list[str]) -> None:
    with pytest.raises(UserError, match=r"model\."):
        ask(*overrides)


# train


def test_train_is_one_job() -> None:
    assert len(config.single([]).jobs()) == 1
    assert config.single([]).study == "train"
    (job,) = config.single(
        ["model.depth=2", "member.seed=range(0,4)", "member.lr=1e-3,1e-2"]
    ).jobs()
    assert len(job.members) == 8


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["model.depth=1,2"], "model.depth"),
        (["task=copy,sort"], "task"),
        (["model.norm=choice(pre,post)"], "model.norm"),
        (["train.steps=range(1,4)"], "train.steps"),
        (["member.seed=range(0,17)"], "engine.stack"),
    ],
)
def test_train_refuses_a_sweep(overrides: list[str], named: str) -> None:
    with pytest.raises(UserError, match=named):
        config.single(overrides)


def test_a_bigger_stack_is_one_job_again() -> None:
    (job,) = config.single(["member.seed=range(0,17)", "engine.stack=17"]).jobs()
    assert len(job.members) == 17


# Whatever is typed is an answer or a UserError

small = st.integers(-5, 20).map(str)
atoms = st.one_of(
    small,
    st.integers(min_value=10**24).map(str),
    st.floats().map(str),
    st.text(max_size=6),
    st.sampled_from(
        [
            *(
                "true",
                "false",
                "null",
                "???",
                "copy",
                "add",
                "rezero",
                "post",
                "pre",
                "'x'",
                '"1"',
                "[1,2]",
                "{a:1}",
            ),
            *("${oc.env:HOME}", "glob(*)", "1e400", "\\", "'", "$", "@"),
        ]
    ),
)
calls = st.builds(
    lambda name, words: f"{name}({','.join(words)})",
    st.sampled_from(
        [
            "choice",
            "range",
            "interval",
            "sort",
            "shuffle",
            "tag",
            "int",
            "float",
            "str",
            "bool",
            "glob",
        ]
    ),
    st.lists(small | st.sampled_from(["1.5", "nan", "true", "x", "reverse=true"]), max_size=3),
)
values = atoms | calls | st.lists(atoms | calls, max_size=3).map(",".join)
typed = st.text(max_size=20) | st.builds(
    lambda sign, key, equals, value: sign + key + equals + value,
    st.sampled_from(["", "", "", "", "+", "++", "~"]),
    st.sampled_from(
        [*KEYS, "model/residual", "model.residual.initial", "model", "member", "hydra", "_target_"]
    ),
    st.sampled_from(["=", "=", "=", "=", "", "@x="]),
    values,
)


zips = st.lists(typed, max_size=3).map(lambda words: f"zip({' '.join(words)})")


@pytest.mark.fuzz
@settings(deadline=None, max_examples=200)
@given(st.lists(typed | zips, min_size=1, max_size=2))
def test_any_overrides_are_planned_or_refused(overrides: list[str]) -> None:
    for plan in (lambda: config.request("some", overrides), lambda: config.single(overrides)):
        outcome = answer(plan)
        if isinstance(outcome, UserError):
            assert str(outcome)
        else:
            assert sum(len(job.members) for job in outcome.jobs()) == members(outcome) > 0


@pytest.mark.fuzz
@settings(deadline=None, max_examples=100)
@given(st.sampled_from(KEYS), atoms)
def test_any_value_of_a_setting_is_taken_or_refused(key: str, value: str) -> None:
    outcome = answer(lambda: ask(f"{key}={value}"))
    if isinstance(outcome, UserError):
        assert key.rpartition(".")[2] in str(outcome)
    else:
        assert members(outcome) > 0


@pytest.mark.parametrize("key", [key for key in KEYS if key not in plugins.GROUPS])
@pytest.mark.parametrize("value", ["nan", "1" + "0" * 400])
def test_no_setting_takes_nan_or_what_no_float_holds(key: str, value: str) -> None:
    with pytest.raises(UserError, match=key.rpartition(".")[2]):
        ask(f"{key}={value}")


@pytest.mark.parametrize(
    "override",
    [
        "model.depth=1,true",
        "train.stop_when_solved=true,1",
        "train.stop_when_solved=1,true",
        "model.residual=true,1",
    ],
)
def test_a_wrong_type_does_not_hide_behind_an_equal_value(override: str) -> None:
    with pytest.raises(UserError, match=override.partition("=")[0]):
        ask(override)


@pytest.mark.parametrize(
    "sweep",
    [
        "interval(0,1)",
        "range(0,inf)",
        "range(0,1e12)",
        "range(0,1000000000000)",
        "range(0,1,1e-20)",
        "range(0,1,0)",
        "range(0,1,nan)",
        "range(nan,1)",
        "range(3,0)",
        "sort(range(0,1e12))",
        "shuffle(range(0,1e12))",
    ],
)
def test_a_grid_without_end_or_values_is_refused(sweep: str) -> None:
    with within(5), pytest.raises(UserError, match=r"member\.seed"):
        ask(f"member.seed={sweep}")


def test_a_grid_too_large_to_plan_is_refused() -> None:
    keys = ["model.depth", "model.width", "model.hidden", "train.steps"]
    with within(5), pytest.raises(UserError, match="combinations"):
        ask(*(f"{key}=range(1,100)" for key in keys))


@pytest.mark.parametrize(
    "words", [["engine.workers=1"], ["device=cpu"], ["engine=local", "engine.stack=4"]]
)
def test_settings_of_engines_are_no_part_of_an_experiment(words: list[str]) -> None:
    """`resformer sweep --workers 1` is the quick study on one worker."""
    request = config.request(None, words)
    assert request.study == "quick"
    assert len(request.shapes) == 16


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("optimizers", "rates"),
    [
        ("adamw", {1e-3, 3e-3, 1e-2, 3e-2}),
        ("sgd", {3e-2, 1e-1, 3e-1, 1.0}),
        ("adamw,lion", {1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2}),
    ],
)
def test_auto_starts_around_the_usual_rates_of_the_optimisers(
    optimizers: str, rates: set[float]
) -> None:
    request = ask(f"optimizer={optimizers}", "member.lr=auto")
    assert [{member.lr for member in members} for _, members in request.shapes] == [
        rates for _ in request.shapes
    ]
    assert any(f"starts with {min(rates):g}, " in note for note in request.notes)


def test_auto_takes_the_kernels_where_they_fit() -> None:
    def compiled(*overrides: str) -> set[bool]:
        return {shape.train.compile for shape, _ in ask("device=cpu", *overrides).shapes}

    assert compiled() == compiled("train.compile=auto") == compiled("train.compile=true") == {True}
    assert compiled("train.compile=false") == compiled("train.precision=bf16") == {False}
    assert compiled("train.compile=true,false") == {True, False}
    assert ask("train.compile=false").notes == ask("train.precision=bf16").notes == []


@pytest.mark.parametrize("precision", PRECISIONS)
def test_auto_takes_the_kernels_of_a_gpu_where_they_are_right(precision: str) -> None:
    """Of whatever precision; the reason why they are not used is said."""
    words = ["device=cuda", f"train.precision={precision}"]

    def asked(reason: str | None, *overrides: str) -> Request:
        reasons = {("cuda", precision): reason}
        gpu = Machine(
            has_gpu=True,
            missing_kernels=lambda *where: reasons[where],
            kernels_note=lambda: "of the CPU only",
        )
        return config.request("some", [*words, *overrides], gpu)

    request = asked(None)
    (taken,) = (shape for shape, _ in request.shapes)
    assert request.notes == []
    assert (taken.device, taken.train.compile) == ("cuda", True)
    reason = "Triton's kernels compute attention wrongly"
    left = asked(reason)
    assert not any(shape.train.compile for shape, _ in left.shapes)
    assert f"train.compile=false: {reason}" in left.notes  # what is faster on a GPU is not known
    with pytest.raises(UserError, match=f"train.compile=true: {reason}; auto or false would work"):
        asked(reason, "train.compile=true")


def test_a_value_is_checked_by_its_type_and_not_by_what_it_equals() -> None:
    """1, 1.0 and true are equal: what was allowed for one of them says nothing of the others."""
    assert ask("train.clip=1").shapes[0][0].train.clip == 1.0
    for wrong in (
        "train.clip=true",
        "train.steps=true",
        "train.steps=1.5",
        "train.stop_when_solved=1",
    ):
        with pytest.raises(UserError, match=wrong):
            ask(wrong)


def test_a_reason_names_the_preset_whose_setting_it_is() -> None:
    """And what would work beside the preset; a setting that was typed is the user's."""
    words = ["model=classic,modern", "model/residual=deepnorm,add", "train.compile=false"]
    (left_out,) = config.request("some", words).excluded
    assert left_out["settings"] == {"model": "modern", "model.residual": "deepnorm"}
    scheme = "the scheme deepnorm goes with post (or own) only"
    assert left_out["reason"] == (
        f"model.norm=pre, of model=modern: {scheme}; model.norm=own would work"
    )
    assert config.request("some", [*words, "model.norm=own"]).excluded == []
    typed = config.request("some", [*words, "model.norm=pre,own"]).excluded
    assert {row["reason"] for row in typed} == {f"model.norm=pre: {scheme}"}
    with pytest.raises(UserError, match=r"model\.position=rope, of model=modern: turns pairs"):
        config.request("some", ["model=modern", "model.width=12", "model.heads=4"])


def test_a_scheme_is_named_as_it_is_typed() -> None:
    words = ["model/residual=t_fixup", "model.norm=pre"]
    with pytest.raises(UserError, match=r"the scheme t_fixup goes with"):
        config.request("some", words)
