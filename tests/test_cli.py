"""The command line as its user sees it: what is printed where, the exit code, and what is on disk
afterwards.
"""

import csv
import io
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.sweeps import TINY_SETTINGS
from typer.testing import Result

from resformer import __version__
from resformer.store import files
from resformer.training.loop import Training

Resformer = Callable[..., Result]
Command = Callable[..., subprocess.CompletedProcess[str]]

TINY = [
    "model.depth=1",
    *TINY_SETTINGS,
    "train.steps=20",
]


@pytest.fixture(scope="module")
def swept(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], Path]:
    """A sweep of two seeds that has run: what it printed, and its working directory."""
    here = tmp_path_factory.mktemp("swept")
    words = [sys.executable, "-m", "resformer", "sweep", *TINY, "member.seed=range(0,2)"]
    return subprocess.run(words, cwd=here, capture_output=True, text=True, check=False), here


@pytest.fixture
def study(swept: tuple[object, Path], tmp_path: Path) -> Path:
    """A copy of that study in this test's working directory."""
    shutil.copytree(swept[1] / "results", tmp_path / "results")
    (folder,) = (path for path in (tmp_path / "results").iterdir() if path.is_dir())
    return folder


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes, and every folder; but for what a report keeps, which may come and
    go.
    """
    paths = [path for path in sorted(folder.rglob("*")) if ".cache" not in path.parts]
    return {str(path): path.read_bytes() if path.is_file() else None for path in paths}


def jobs(plan: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in plan.read_text().splitlines()]


def check_refused(result: Result | subprocess.CompletedProcess[str], named: str) -> None:
    """One line on stderr that names the setting, nothing on stdout, exit code 2."""
    code = result.exit_code if isinstance(result, Result) else result.returncode
    assert code == 2, result
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert line.startswith("resformer: ")
    assert result.stderr.endswith("\n")
    assert named in line


# Help


@pytest.mark.parametrize("words", [[], ["train"], ["sweep"], ["report"]])
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help(resformer: Resformer, words: list[str], flag: str) -> None:
    result = resformer(*words, flag)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Usage:" in result.stdout
    for expected in {
        "": ["train", "sweep", "report"],
        "sweep": ["--study", "--dry-run"],
        "report": ["--format"],
    }.get("".join(words), ["KEY=VALUE"]):
        assert expected in result.stdout


def test_version(resformer: Resformer) -> None:
    result = resformer("--version")
    assert (result.exit_code, result.stdout, result.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("words", [["--help"], ["-h"], ["sweep", "--help"]])
def test_help_imports_nothing_heavy(words: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "atexit.register(lambda: print(*sys.modules, file=sys.stderr))\n"
        f"sys.argv = ['resformer', *{words}]\n"
        "from resformer.cli import main\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert "Usage:" in result.stdout
    loaded = set(result.stderr.split())
    assert "typer" in loaded
    assert not loaded & {"torch", "hydra", "omegaconf", "pandas", "numpy", "pyarrow", "matplotlib"}


# Bad input

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
    ("engine.workers=0", "engine.workers=0"),
    ("engine.stack=0", "engine.stack=0"),
    ("device=gpu", "device=gpu"),
    ("member.seed=-1", "member.seed=-1"),
    ("member.lr=-1", "member.lr=-1"),
    # numbers that are none, or too large
    ("member.lr=nan", "member.lr=nan"),
    ("member.lr=inf", "member.lr=inf"),
    ("train.beta1=nan", "train.beta1=nan"),
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
    assert refused.returncode == 2
    assert refused.stderr == f"resformer: train.compile=true: {reason}; auto or false would work\n"
    assert tree(tmp_path) == {}
    done = command("train", *TINY, **nowhere)
    assert done.returncode == 0
    assert done.stderr.startswith(
        f"train.compile=false: {reason}; training is slower without the kernels\n"
    )
    (plan,) = (tmp_path / "results" / "train").glob("plan-*.jsonl")
    assert json.loads(plan.read_text())["shape"]["train"]["compile"] is False


@pytest.mark.sweep
def test_a_process_with_a_bad_setting_exits_with_2_and_one_line(
    command: Command, tmp_path: Path
) -> None:
    check_refused(command("sweep", "model.depth=0"), "model.depth=0")
    assert tree(tmp_path) == {}


@pytest.mark.parametrize(
    "words",
    [
        ["sweep", "--depht=3"],
        ["sweep", "--workers", "two"],
        ["sweep", "--study"],
        ["train", "--study", "x"],
        ["report", "--format", "xml"],
        ["report", "--rows"],
        ["swep"],
        [],
    ],
)
def test_a_bad_flag_exits_with_2(resformer: Resformer, tmp_path: Path, words: list[str]) -> None:
    assert resformer(*words).exit_code == 2
    assert tree(tmp_path) == {}


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


def test_a_study_name_that_something_else_has_is_refused(
    resformer: Resformer, study: Path, tmp_path: Path
) -> None:
    (study.parent / "mine").mkdir()
    (study.parent / "mine" / "thesis.tex").write_text("…")
    (study.parent / "file").write_text("…")
    before = tree(tmp_path)
    for name in ("mine", "file"):
        check_refused(resformer("sweep", "--study", name, *TINY), name)
        check_refused(resformer("report", name), name)
    assert tree(tmp_path) == before


def test_a_study_without_results_has_nothing_to_report(
    resformer: Resformer, study: Path, tmp_path: Path
) -> None:
    shutil.rmtree(study / "jobs")
    shutil.rmtree(study / "done")
    before = tree(tmp_path)
    for form in ("table", "json"):
        check_refused(resformer("report", study.name, "--format", form), "nothing to report")
    assert tree(tmp_path) == before


def test_figures_are_refused_where_a_file_is(
    resformer: Resformer, study: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    before = tree(tmp_path)
    check_refused(resformer("report", study.name, "--figures", "file"), "--figures file")
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    ("entry", "named"), [("versions", "torch"), ("fingerprint", "backend was 0.0")]
)
def test_results_of_other_code_are_not_continued(
    resformer: Resformer, study: Path, tmp_path: Path, entry: str, named: str
) -> None:
    path = study / "launches" / "1.json"
    launch = files.verify_checksum(path.read_bytes())
    assert launch is not None
    path.write_bytes(files.with_checksum({**launch, entry: dict.fromkeys(launch[entry], "0.0")}))
    before = tree(tmp_path)
    check_refused(resformer("sweep", *TINY, "member.seed=range(0,4)"), named)
    assert tree(tmp_path) == before


def test_a_launch_that_was_tampered_with_is_refused(
    resformer: Resformer, study: Path, tmp_path: Path
) -> None:
    """Whose code made the results is not known any more."""
    path = study / "launches" / "1.json"
    path.write_bytes(path.read_bytes().replace(b'"python": "3', b'"python": "2'))
    before = tree(tmp_path)
    check_refused(
        resformer("sweep", *TINY, "member.seed=range(0,4)"), "1.json: not what was written"
    )
    assert tree(tmp_path) == before


# What a sweep would do


def test_a_dry_run_prints_the_plan_and_writes_nothing(resformer: Resformer, tmp_path: Path) -> None:
    result = resformer(
        "sweep",
        "--dry-run",
        *TINY[1:],
        "model.depth=1,2",
        "model.residual=true,false",
        "member.seed=range(0,3)",
    )
    assert result.exit_code == 0
    shown = " ".join(result.stdout.split())
    for expected in ("depth", "residual", "members", "parameters", "FLOPs", "add", "plain"):
        assert expected in shown
    assert "12 members in 4 jobs;" in shown
    assert "4 jobs to run, at most about" in shown
    embedding, block, head = (9 + 10) * 8, 4 * 72 + 8 * 32 + 32 + 32 * 8 + 8 + 2 * 16, 8 * 9 + 9
    for depth in (1, 2):
        assert f"{embedding + depth * block + head:,}" in shown
    assert tree(tmp_path) == {}


def test_a_dry_run_of_the_quick_study_counts_its_members(
    resformer: Resformer, tmp_path: Path
) -> None:
    result = resformer("sweep", "--dry-run")
    assert result.exit_code == 0
    assert "240 members in 16 jobs;" in " ".join(result.stdout.split())
    assert tree(tmp_path) == {}


def test_a_dry_run_says_which_combinations_are_left_out(resformer: Resformer) -> None:
    result = resformer("sweep", "--dry-run", *TINY, "model/residual=add,rezero", "model.norm=pre")
    assert result.exit_code == 0
    assert "1 member in 1 job" in " ".join(result.stdout.split())
    (line,) = result.stderr.splitlines()
    assert line.startswith("left out: ")
    assert "model.residual=rezero" in line
    assert "model.norm=pre" in line


def test_a_dry_run_of_a_finished_study_plans_new_members_only(
    resformer: Resformer, study: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    result = resformer("sweep", "--dry-run", *TINY, "member.seed=range(0,3)")
    shown = " ".join(result.stdout.split())
    assert "3 members in 1 job;" in shown
    assert f"{study.name}: 1 job to run" in shown
    assert tree(tmp_path) == before


def test_a_dry_run_with_nothing_to_run_asks_no_cluster(
    resformer: Resformer, study: Path, tmp_path: Path
) -> None:
    before = tree(tmp_path)
    result = resformer(
        "sweep",
        "--dry-run",
        *TINY,
        "member.seed=range(0,2)",
        "engine=ray",
        "engine.address=127.0.0.1:1",
    )
    assert result.stderr == ""
    assert "2 members, all finished" in " ".join(result.stdout.split())
    assert tree(tmp_path) == before


def test_show_prints_settings_as_they_resolve_and_the_grid(
    resformer: Resformer, tmp_path: Path
) -> None:
    result = resformer("show", "model.depth=1,4", "model.width=64")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    for expected in (
        "model.hidden=256",
        "model.attention=causal",
        "model.norm=post",
        "train.stop_when_solved=true",
    ):
        assert expected in lines
    assert not any(line.startswith("model.depth=") for line in lines)
    assert "2 members in 2 jobs;" in result.stdout
    assert tree(tmp_path) == {}
    assert resformer("show", "model.depth=0").exit_code == 2


# What a sweep does


@pytest.mark.sweep
def test_a_sweep_prints_its_report(swept: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    result, here = swept
    (plan,) = here.glob("results/*/plan-1.jsonl")
    name = plan.parent.name
    assert result.returncode == 0, result.stderr
    assert name.startswith("seed-")
    assert f"{name}: copy, length 5, 8 symbols" in result.stdout
    assert "0/2" in result.stdout
    assert "Within 20 steps" in " ".join(result.stdout.split())
    assert "2 members, 1 job to run, 1 worker" in result.stderr
    assert "copy depth 1 add post: 2 unsolved" in result.stderr
    assert "\x1b" not in result.stdout + result.stderr, "no colours and no cursor in a pipe"
    assert [member["seed"] for job in jobs(plan) for member in job["members"]] == [0, 1]


@pytest.mark.sweep
def test_the_same_sweep_again_trains_nothing(
    resformer: Resformer,
    study: Path,
    tmp_path: Path,
    swept: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    before = tree(tmp_path)
    result = resformer("sweep", *TINY, "member.seed=range(0,2)")
    assert (result.exit_code, result.stdout) == (0, swept[0].stdout)
    assert "2 members, all finished" in result.stderr
    assert tree(tmp_path) == before


@pytest.mark.sweep
def test_more_seeds_train_only_the_new_ones(command: Command, study: Path, tmp_path: Path) -> None:
    before = tree(study)
    result = command("sweep", *TINY, "member.seed=range(0,4)")
    assert result.returncode == 0, result.stderr
    assert "0/4" in result.stdout
    assert "4 members (2 finished before)" in result.stderr
    assert [
        member["seed"] for job in jobs(study / "plan-2.jsonl") for member in job["members"]
    ] == [2, 3]
    after = tree(study)
    assert {path: after[path] for path in before} == before, "what was committed is not touched"
    assert len(list((study / "jobs").glob("*/*/result.json"))) == 2


SABOTAGE = """
from resformer.training.loop import Training
honest = Training.run

def run(training, *rest):
    if training.shape.model.norm == "pre":
        raise RuntimeError("the dog has eaten it")
    return honest(training, *rest)

Training.run = run
"""


@pytest.mark.sweep
def test_a_job_that_fails_leaves_the_others_and_exits_with_1(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage = tmp_path / "sabotage"
    sabotage.mkdir()
    (sabotage / "sitecustomize.py").write_text(SABOTAGE)
    monkeypatch.setenv("PYTHONPATH", str(sabotage))
    result = command("sweep", *TINY, "model.norm=post,pre", "engine.retries=0", "--study", "some")
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert "post" in result.stdout, "the others finish and are reported"
    (error,) = tmp_path.glob("results/some/jobs/*/*/attempt-1/error.txt")
    assert error.read_text().startswith("Traceback")
    assert "the dog has eaten it" in error.read_text()
    assert len(list(tmp_path.glob("results/some/jobs/*/*/result.json"))) == 1
    last = result.stderr.splitlines()[-1]
    assert last.startswith("failed: ")
    assert str(error.parents[1].relative_to(tmp_path)) in last
    assert "the dog has eaten it" in last


# train


def test_train_prints_what_became_of_each_member(resformer: Resformer, tmp_path: Path) -> None:
    words = ["train", *TINY, "member.seed=0,1", "member.lr=1e-3,3e-3"]
    result = resformer(*words)
    assert result.exit_code == 0, result.stderr
    head, *lines = result.stdout.splitlines()
    assert "copy depth 1 add post" in head
    assert len(lines) == 4
    for seed in (0, 1):
        for lr in ("0.001", "0.003"):
            assert sum(f"seed {seed}, learning rate {lr}: unsolved" in line for line in lines) == 1
    assert "held-out loss" in result.stderr
    before = tree(tmp_path)
    again = resformer(*words)
    assert (again.exit_code, again.stdout, again.stderr) == (0, result.stdout, "")
    assert tree(tmp_path) == before


def test_train_that_fails_exits_with_1_and_says_why(
    resformer: Resformer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("the dog has eaten it")

    monkeypatch.setattr(Training, "run", broken)
    result = resformer("train", *TINY, "engine.retries=1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "the dog has eaten it" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(list(tmp_path.glob("results/train/jobs/*/*/attempt-*/error.txt"))) == 2


# report


def test_report_takes_the_study_launched_last_but_not_train(
    resformer: Resformer, study: Path
) -> None:
    assert resformer("train", *TINY).exit_code == 0
    bare, named, trained = (
        resformer("report"),
        resformer("report", study.name),
        resformer("report", "train"),
    )
    assert (bare.exit_code, bare.stderr) == (0, "")
    assert bare.stdout == named.stdout
    assert bare.stdout.startswith(f"{study.name}: ")
    assert trained.stdout.startswith("train: ")


def refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def test_report_prints_json(resformer: Resformer, study: Path) -> None:
    result = resformer("report", "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    summary = json.loads(result.stdout, parse_constant=refuse_constant)
    assert list(summary) == [
        *(
            "study",
            "settings",
            "cells",
            "rates",
            "limits",
            "comparisons",
            "excluded",
            "missing",
            "damaged",
            "failed",
        )
    ]
    assert summary["study"] == study.name
    assert (
        summary["missing"] == summary["damaged"] == summary["failed"] == summary["excluded"] == []
    )
    (cell,) = summary["cells"]
    expected = {
        **{"study": study.name, "task": "copy", "depth": 1, "residual": "add", "norm": "post"},
        **{"seeds": 2, "solved": 0, "unsolved": 2, "diverged": 0, "lr": 0.003},
        **{
            "median_steps": None,
            "median_low": None,
            "median_high": None,
            "mean_low": None,
            "mean_high": None,
        },
    }
    assert {key: cell[key] for key in expected} == expected
    assert cell["final_loss"] > 0
    assert cell["ms_per_member_step"] > 0
    (limit,) = summary["limits"]
    assert (limit["depth_limit"], limit["low"], limit["high"], limit["depth_floor"]) == (
        None,
        None,
        None,
        None,
    )


def test_report_prints_csv(resformer: Resformer, study: Path) -> None:
    result = resformer("report", "--format", "csv")
    assert (result.exit_code, result.stderr) == (0, "")
    (row,) = csv.DictReader(io.StringIO(result.stdout))
    assert (row["study"], row["depth"], row["seeds"], row["median_steps"]) == (
        study.name,
        "1",
        "2",
        "",
    )
    assert json.loads(row["lr_by_seed"]) == {"0": 0.003, "1": 0.003}


def test_report_prints_markdown(resformer: Resformer, study: Path) -> None:
    result = resformer("report", "--format", "markdown")
    assert (result.exit_code, result.stderr) == (0, "")
    rows = [line.split("|")[1:-1] for line in result.stdout.splitlines() if line.startswith("|")]
    head, rule, depth, limit = ([cell.strip() for cell in row] for row in rows)
    assert (head, rule) == (["depth", "add post"], ["---:", "---:"])
    assert depth[0] == "1"
    assert "0/2" in depth[1]
    assert limit == ["limit", "none"]


def test_report_prints_latex(resformer: Resformer, study: Path) -> None:
    result = resformer("report", "--format", "latex")
    assert (result.exit_code, result.stderr) == (0, "")
    source = [line for line in result.stdout.splitlines() if line and not line.startswith("%")]
    assert (source[0], source[-1]) == (r"\begin{tabular}{rr}", r"\end{tabular}")
    assert source.count(r"\toprule") == source.count(r"\bottomrule") == 1
    rows = [line for line in source if line.endswith(r"\\")]
    assert [row.count("&") for row in rows] == [1, 1, 1]
    assert rows[0] == r"depth & add post \\"
