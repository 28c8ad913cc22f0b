"""A wrong request is refused in one line with exit code 2, and nothing is written."""

import json
from pathlib import Path

import pytest
from support.commands import Command, Resformer, check_refused, tree
from support.launches import record_of
from support.studies import WrittenStudy, unsolved
from support.sweeps import TINY

from resformer import config
from resformer.store import files
from resformer.store.folder import TRAINED
from resformer.store.study import Study
from resformer.sweep import launch

BAD_SETTINGS = [
    # unknown keys
    ("model.dpeth=2", "model.dpeth=2"),
    ("nope=1", "nope=1"),
    ("task.attention=causal", "task.attention=causal"),
    ("model.residual.initial=1", "model.residual.initial=1"),
    ("member.nope=1,2", "member.nope="),
    ("hydra.run.dir=x", "hydra.run.dir=x"),
    ("hydra/launcher=x", "hydra/launcher=x"),
    ("model._target_=os.system", "model._target_=os.system"),
    ("_target_=os.system", "_target_=os.system"),
    # groups of settings, and variants
    ("model=1", "model=1"),
    ("task=nope", "task=nope"),
    ("task=../copy", "task=../copy"),
    ("task.name=sort", "task.name=sort"),
    ("engine=nope", "engine=nope"),
    ("model/residual=nope", "model/residual=nope"),
    ("model.residual=rezero", "model.residual=rezero"),
    ("model/residual=null", "model/residual="),
    # wrong types
    ("model.depth=two", "model.depth=two"),
    ("model.depth=2.5", "model.depth=2.5"),
    ("model.depth=true", "model.depth="),
    ("model.depth=null", "model.depth="),
    ("model.depth=", "model.depth="),
    ("model.norm=null", "model.norm="),
    ("member.lr=x", "member.lr=x"),
    ("member.seed=1.5", "member.seed=1.5"),
    ("train.stop_when_solved=1", "train.stop_when_solved=1"),
    ("train.stop_when_solved=maybe", "train.stop_when_solved=maybe"),
    ("model.depth=[1,2]", "model.depth=[1,2]"),
    ("model.depth=[1],[2]", "model.depth=[1],[2]"),
    ("model.depth={a:1}", "model.depth={a:1}"),
    ("model={depth:2}", "model={depth:2}"),
    ("task={name:copy}", "task={name:copy}"),
    # outside of what is allowed
    ("model.depth=0", "model.depth=0"),
    ("model.depth=-1", "model.depth=-1"),
    ("model.heads=5", "model.heads=5"),
    ("model.heads=0", "model.heads=0"),
    ("model.hidden=0", "model.hidden=0"),
    ("model.norm=inner", "model.norm=inner"),
    ("model.activation=tanh", "model.activation=tanh"),
    ("task.length=513", "task.length=513"),
    ("task.length=0", "task.length=0"),
    ("task.length=2", "task.length=2"),
    ("task.symbols=1", "task.symbols=1"),
    ("task.symbols=4097", "task.symbols=4097"),
    ("train.steps=0", "train.steps=0"),
    ("train.eval_every=???", "train.eval_every"),
    ("train.eval_every=600", "train.eval_every=600: must be under train.steps=600"),
    ("train.steps=1", "train.steps=1: must be over 2, where members are evaluated first"),
    ("train.warmup_steps=601", "train.warmup_steps=601: must be at most train.steps=600"),
    ("engine.workers=0", "engine.workers=0"),
    ("engine.stack=0", "engine.stack=0"),
    ("device=gpu", "device=gpu"),
    ("member.seed=-1", "member.seed=-1"),
    ("member.lr=-1", "member.lr=-1"),
    # numbers that are none, or too large
    ("member.lr=nan", "member.lr=nan"),
    ("member.lr=inf", "member.lr=inf"),
    ("optimizer.beta1=nan", "optimizer.beta1=nan"),
    ("train.clip=nan", "train.clip=nan"),
    ("engine.lease_seconds=nan", "engine.lease_seconds=nan"),
    ("member.seed=123456789012345678901234", "member.seed=123456789012345678901234"),
    ("model.depth=123456789012345678901234", "model.depth=123456789012345678901234"),
    ("train.steps=123456789012345678901234", "train.steps=123456789012345678901234"),
    pytest.param("member.lr=1" + "0" * 400, "member.lr=1", id="member.lr=10^400"),
    # nothing is interpolated, added, deleted or moved
    ("device=${oc.env:HOME}", "device=${oc.env:HOME}"),
    ("model.norm='${oc.env:HOME}'", "model.norm="),
    ("member.lr=${train.clip}", "member.lr=${train.clip}"),
    ("~model", "~model"),
    ("~model.depth", "~model.depth"),
    ("~task", "~task"),
    ("+foo=1", "+foo=1"),
    ("+model._target_=os.system", "+model._target_=os.system"),
    ("++model.depth=2", "++model.depth=2"),
    ("task@model=copy", "task@model=copy"),
    ("model/residual@foo=add", "model/residual@foo=add"),
    # sweeps without an end, without values, or whose values are not written out
    ("member.lr=interval(0,1)", "member.lr=interval(0,1)"),
    ("member.seed=range(0,inf)", "member.seed=range(0,inf)"),
    ("member.seed=range(0,9,0)", "member.seed=range(0,9,0)"),
    ("member.seed=range(0,9,nan)", "member.seed=range(0,9,nan)"),
    ("member.seed=range(9,0)", "member.seed=range(9,0)"),
    ("model.depth=glob(*)", "model.depth=glob(*)"),
    ("task=glob(*)", "task=glob(*)"),
    # what is no KEY=VALUE
    ("model.depth", "model.depth"),
    ("model.depth=1,", "model.depth=1,"),
    ("model.depth=choice()", "model.depth=choice()"),
    ("model.norm=po\0st", "model.norm=po"),
    ("model.norm=po\nst", "model.norm=po"),
    ("", "KEY=VALUE"),
]


@pytest.mark.parametrize("command", ["train", "sweep"])
@pytest.mark.parametrize(("setting", "named"), BAD_SETTINGS)
def test_a_bad_setting_is_refused_by_its_name(
    resformer: Resformer, tmp_path: Path, command: str, setting: str, named: str
) -> None:
    check_refused(resformer(command, setting), named)
    assert tree(tmp_path) == {}


BAD_REQUESTS = [
    (["train", "model.depth=1,2"], "model.depth=1,2"),
    (["train", "task=copy,sort"], "task=copy,sort"),
    (["train", "member.seed=range(0,17)"], "engine.stack=17"),
    (["sweep", "train.compile=maybe"], "train.compile=maybe: must be one of auto, true, false"),
    (["sweep", "train.compile=1"], "train.compile=1: must be one of auto, true, false"),
    (["sweep", "train.precision=fp8"], "train.precision=fp8"),
    (["sweep", "train.precision=tf32", "device=cpu"], "train.precision=tf32"),
    (["sweep", "train.precision=bf16", "train.compile=true", "device=cpu"], "train.precision=fp32"),
    (["sweep", "model.depth=1", "model.depth=2"], "model.depth"),
    (["sweep", "task=copy", "task=copy"], "task"),
    (["sweep", "model.residual=true", "model/residual=rezero"], "model.residual"),
    (["sweep", "--workers", "2", "engine.workers=2"], "engine.workers"),
    (["sweep", "--workers", "0"], "engine.workers=0"),
    (["sweep", "--engine", "nope"], "engine=nope"),
    (["sweep", "engine.stack=1,2"], "engine"),
    (
        ["sweep", "--engine", "ray", "engine.address=here"],
        "engine.address=here: must be auto, local, or host:port",
    ),
    (["sweep", "--engine", "ray", "engine.cpus=0"], "engine.cpus=0"),
    (["sweep", "--engine", "slurm"], "engine.workers=null: with engine=slurm, say how many pilots"),
    (
        ["sweep", "--engine", "slurm", "engine.workers=2", "engine.stack=1", "device=cuda"],
        "engine.gpus=0: with device=cuda, say how many GPUs a pilot gets",
    ),
    (
        ["sweep", "--engine", "ray", "engine.stack=1", "device=cuda"],
        "engine.gpus=0: with device=cuda, say what part of a GPU a worker gets",
    ),
    (
        ["sweep", "--engine", "ray", "engine.gpus=2"],
        "engine.gpus=2.0: must be from 0 to 1: a worker computes on one",
    ),
    (
        ["sweep", "--engine", "ray", "engine.address=ray://here"],
        "engine.address=ray://here: must be auto, local, or host:port",
    ),
    (
        ["sweep", "--engine", "slurm", "engine.extra=qos"],
        "engine.extra=qos: must be options of sbatch",
    ),
    (["sweep", "--engine", "slurm", "engine.extra='--qos=\"a'"], "must be options of sbatch"),
    (["sweep", "--engine", "slurm", "engine.minutes=1"], "engine.minutes=1: must be from 2"),
    (
        ["sweep", "--engine", "slurm", "engine.account=''"],
        "engine.account=: must be one line, or null",
    ),
    (
        ["sweep", "--engine", "slurm", "device=cuda", "--workers", "2"],
        "engine.stack=null: this machine has no GPU",
    ),
    (["sweep", "--detach"], "--detach: the workers of engine=local end with their sweep"),
    (
        ["sweep", "--detach", "engine=ray", "engine.address=local"],
        "--detach: the cluster of engine.address=local",
    ),
    (["sweep", "--", "~task"], "~task"),
    (["sweep", "--", "~model.depth=4"], "~model.depth=4"),
    (["sweep", "--", "--depht=3"], "--depht=3"),
    (["sweep", "model/residual=rezero", "model.norm=pre,post"], "model.norm="),
    (["sweep", "model.heads=3,5"], "model.heads="),
    (
        ["sweep", "model/residual=rezero", "model.residual.initial=nan"],
        "model.residual.initial=nan",
    ),
    (["sweep", "--study", "nowhere"], "nowhere"),
    (["sweep", "--study", "train", "model.depth=1"], "resformer train"),
    (["sweep", "model.depth=1", "--dry-run", "--html", "page.html"], "--html"),
    *(
        (["sweep", "--study", name, "model.depth=1"], "study")
        for name in ("../x", "/etc/x", "a/b", "..", ".", "", "~")
    ),
    *((["report", name], "study") for name in ("../x", "/etc/x", "a/b", "..", ".", "")),
    (["report"], "--results results"),
    (["report", "nowhere"], "nowhere"),
    (["report", "--results", "nowhere"], "--results nowhere"),
]


@pytest.mark.parametrize(
    ("words", "named"), BAD_REQUESTS, ids=[" ".join(words) for words, _ in BAD_REQUESTS]
)
def test_a_bad_request_is_refused_by_its_words(
    resformer: Resformer, tmp_path: Path, words: list[str], named: str
) -> None:
    check_refused(resformer(*words), named)
    assert tree(tmp_path) == {}


@pytest.mark.sweep
def test_without_a_compiler_it_trains_all_the_same_and_says_so(
    command: Command, tmp_path: Path
) -> None:
    nowhere = {"PATH": str(tmp_path / "bin"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    refused = command("sweep", *TINY, "train.compile=true", **nowhere)
    reason = "there is no C++ compiler (c++, g++ or clang++) here"
    check_refused(refused, f"train.compile=true: {reason}; auto or false would work")
    assert tree(tmp_path) == {}
    done = command("train", *TINY, **nowhere)
    assert done.returncode == 0
    assert done.stderr.startswith(
        f"train.compile=false: {reason}; training is slower without the kernels\n"
    )
    (plan,) = (tmp_path / "results" / "train").glob("plan-*.jsonl")
    assert json.loads(plan.read_text())["shape"]["train"]["compile"] is False


def test_no_word_at_all_is_answered_with_the_help(resformer: Resformer) -> None:
    answer = resformer()
    assert (answer.exit_code, answer.stdout) == (2, "")
    assert answer.stderr.startswith("Usage: ")


@pytest.mark.parametrize(
    "words", [["train", *TINY], ["sweep", *TINY], ["report"], ["report", "some"]]
)
@pytest.mark.parametrize("place", ["other", "other/file", "other/file/below"])
def test_a_results_folder_that_is_a_file_is_refused(
    resformer: Resformer, tmp_path: Path, words: list[str], place: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "file").write_text("mine")
    before = tree(tmp_path)
    check_refused(resformer(*words, "--results", place), place)
    assert tree(tmp_path) == before


def test_the_name_of_a_folder_or_file_that_is_no_study_is_refused(
    resformer: Resformer, study: Study, tmp_path: Path
) -> None:
    study.launch({}, [])
    (study.path.parent / "mine").mkdir()
    (study.path.parent / "mine" / "thesis.tex").write_text("…")
    (study.path.parent / "file").write_text("…")
    before = tree(tmp_path)
    for name in ("mine", "file"):
        check_refused(resformer("sweep", "--study", name, *TINY), name)
        check_refused(resformer("report", name), name)
    assert tree(tmp_path) == before


def test_a_study_without_results_has_nothing_to_report(
    resformer: Resformer, made: WrittenStudy, tmp_path: Path
) -> None:
    made.cell([unsolved()], depth=1)
    made.write(finished=0)
    before = tree(tmp_path)
    for form in ("table", "json"):
        check_refused(resformer("report", "made", "--format", form), "nothing to report")
    assert tree(tmp_path) == before


def test_figures_are_refused_where_a_file_is(
    resformer: Resformer, made: WrittenStudy, tmp_path: Path
) -> None:
    made.cell([unsolved()], depth=1)
    made.write()
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    check_refused(resformer("report", "made", "--figures", "file"), "--figures file")
    assert tree(tmp_path) == before


@pytest.fixture
def planned_words(study: Study) -> list[str]:
    """A sweep whose study was planned with two seeds fewer."""
    request = config.request(study.name, [*TINY, "member.seed=range(0,2)"])
    launch.plan(request, study).start(["sweep"])
    return ["sweep", *TINY, "member.seed=range(0,4)", "--study", study.name]


def test_a_study_of_other_versions_is_not_extended(
    resformer: Resformer, study: Study, planned_words: list[str], tmp_path: Path
) -> None:
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    versions = dict.fromkeys(record["versions"], "0.0")
    path.write_bytes(files.with_checksum({**record, "versions": versions}))
    before = tree(tmp_path)
    check_refused(resformer(*planned_words), "torch")
    assert tree(tmp_path) == before
    beside = resformer(*planned_words, "--dry-run", "--study", "beside")
    assert beside.exit_code == 0, beside.stderr


def test_a_study_whose_launch_was_tampered_with_is_not_extended(
    resformer: Resformer, study: Study, planned_words: list[str], tmp_path: Path
) -> None:
    """The code that made its results is not known any more."""
    path = study.path / "launches" / "1.json"
    path.write_bytes(path.read_bytes().replace(b'"python": "3', b'"python": "2'))
    before = tree(tmp_path)
    check_refused(resformer(*planned_words), "1.json: not what was written")
    for words in (planned_words, ["status", study.name]):
        refused = resformer(*words).stderr
        assert "--study NAME" in refused
        assert "delete" not in refused
    assert tree(tmp_path) == before


def test_what_was_trained_alone_with_other_versions_has_no_study_to_name(
    resformer: Resformer, tmp_path: Path
) -> None:
    study = Study(tmp_path / "results" / TRAINED)
    request = config.single([*TINY, "member.seed=0"])
    launch.plan(request, study).start(["train"])
    path = study.path / "launches" / "1.json"
    record = record_of(path)
    versions = dict.fromkeys(record["versions"], "0.0")
    path.write_bytes(files.with_checksum({**record, "versions": versions}))
    refused = resformer("train", *TINY)
    check_refused(refused, "torch")
    assert refused.stderr.endswith("; use another --results folder\n")
