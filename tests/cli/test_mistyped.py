"""Requests as people mistype them: each is refused in a line that names what would work."""

from pathlib import Path

import pytest
import typer
from support.commands import Resformer, check_refused, tree
from support.studies import WrittenStudy, unsolved

from resformer import config
from resformer.cli import app
from resformer.config import hints
from resformer.config.other_names import meant
from resformer.errors import UserError
from resformer.model.shape import Member
from resformer.plugins import GROUPS

SETTINGS = [
    # a section too few, or another one
    ("lr=1e-3", "did you mean member.lr?"),
    ("norm=pre", "did you mean model.norm?"),
    ("seed=3", "did you mean member.seed?"),
    ("seeds=3", "did you mean 'member.seed=range(0,3)'?"),
    ("member.num_seeds=3", "did you mean 'member.seed=range(0,3)'?"),
    ("seeds=1,2", "seeds=1,2: there is no such setting; did you mean member.seed?"),
    ("seeds=many", "did you mean member.seed?"),
    ("depth=8", "did you mean model.depth?"),
    ("train.lr=1e-3", "did you mean member.lr?"),
    ("model.dpeth=8", "did you mean model.depth?"),
    ("task.attention=causal", "did you mean model.attention?"),
    # the typed section, of which nothing is alike
    ("train.alpha=2", "there is no such setting; the settings are train.steps, train.batch"),
    ("model.residual.alpha=2", "model.residual.alpha=2: the scheme add has no settings"),
    ("model.residual.decay=2", "model.residual.decay=2: the scheme add has no settings"),
    ("residual.alpha=2", "there is no such setting; did you mean model.residual.alpha?"),
    ("task.nothing=1", "task.nothing=1: the task copy has length, symbols"),
    ("optimizer.nothing=1", "optimizer.nothing=1: the optimiser adamw has beta1, beta2, eps"),
    # what is not a setting here
    ("train.optimizer=sgd", "did you mean optimizer?"),
    ("train.schedule=step", "must be one of constant, cosine, linear, wsd"),
    ("model.norm=rms", "post, sandwich, pre_post, branch; model.norm_kind=rms would work"),
    ("model.norm_kind=null", "model.norm_kind=null: must be one of layer, rms, dyt, derf"),
    ("train.schedule=null", "train.schedule=null: must be one of constant, cosine, linear, wsd"),
    ("model.rope_base=0.5", "must be from 1 to 1000000000"),
    ("model.dropout=0.1", "did you mean train.dropout?"),
    ("model=new", "model=new: must be one of classic, modern"),
    ("train.nothing=1", "the settings are train.steps, train.batch"),
    ("nothing=1", "the sections are task, model, optimizer, engine, train"),
    ("engine.qos=high", "there is no such setting; engine.extra is for it, with engine=slurm"),
    # schemes and tasks
    ("model.residual=rezero", "did you mean model/residual=rezero?"),
    ("model.residual=ReZero", "did you mean model/residual=rezero?"),
    ("model.residual=add,plain", "did you mean model/residual=add,plain?"),
    ("model.residual=true,rezero", "did you mean model/residual=add,rezero?"),
    ("model.residual=nothing", "another scheme is model/residual=NAME"),
    ("model/residual=ReZero", "did you mean model/residual=rezero?"),
    ("model/residual=deepnrom", "did you mean model/residual=deepnorm?"),
    ("model/residual=nothing", "must be one of add, admin"),
    ("task=sorting", "did you mean task=sort?"),
    # several values
    ("member.seed=0..4", "did you mean member.seed=0,1,2,3,4?"),
    ("member.seed=0:5", "did you mean member.seed=0,1,2,3,4?"),
    ("model.depth=1-8", "did you mean model.depth=1,2,3,4,5,6,7,8?"),
    ("member.seed=1..80", "did you mean 'member.seed=range(1,81)', with the quotes?"),
    ("member.seed=4..1", "member.seed=4..1: must be a whole number"),
    ("model.depth=[1,2,4]", "did you mean model.depth=1,2,4?"),
    ("member.lr=[0.001,0.003]", "did you mean member.lr=0.001,0.003?"),
    ("model.norm=['pre',\"post\"]", "did you mean model.norm=pre,post?"),
    ("model.depth=1 2 4", "did you mean model.depth=1,2,4?"),
    # numbers
    ("train.steps=1000.5", "must be a whole number"),
    ("member.lr=1e-400", "1e-400 is too small for a number; 0 or 1e-30 would work"),
    ("member.lr=1e-3,-.5e-999", "-.5e-999 is too small for a number"),
    ("member.lr=1e-40", "must be 0, or from 1e-30 to 1e30"),
    ("probe.every=None", "did you mean probe.every=null?"),
    # words
    ("sort", "did you mean --study sort or task=sort?"),
    ("quick", "did you mean --study quick?"),
    ("nothing", "one such is model.depth=8"),
    # other signs
    ("model.depth==4", "did you mean model.depth=4?"),
    ("model.depth: 4", "did you mean model.depth=4?"),
    ("model/residual:=add", "did you mean model/residual=add?"),
    ("member.seed=0,5,", "did you mean member.seed=0,5?"),
    # lists and brackets
    ("model.depth=1,,2", "did you mean model.depth=1,2?"),
    ("model.depth={1,2}", "several values are model.depth=1,2"),
    ("model.depth=(1, 2)", "several values are model.depth=1,2"),
    ("member.seed=range(0,5", "range(0,5 is not closed; did you mean 'member.seed=range(0,5)'?"),
    ("member.seed=[1,2", "the bracket of [1,2 is not closed; several values are member.seed=1,2"),
    ("member.seed=range(0,5))", ") closes a bracket that is not open"),
    ("model.depth=1 model.norm=pre,post", "several settings in one word: leave out the quotes"),
    ("model.norm=a;b", "values are numbers, words, or several, as in model.depth=1,2"),
    # options
    ("study=quick", "did you mean --study quick, of resformer sweep or probe?"),
    ("results=r2", "did you mean --results r2, of resformer train or sweep or probe?"),
    ("html=x", "did you mean --html x, of resformer sweep or report?"),
]


@pytest.mark.parametrize(("setting", "hint"), SETTINGS)
def test_a_mistyped_setting_is_answered_with_what_would_work(
    resformer: Resformer, tmp_path: Path, setting: str, hint: str
) -> None:
    check_refused(resformer("sweep", setting), hint)
    assert tree(tmp_path) == {}


ELSEWHERE = {
    "member.lr": "learning_rate train.learning_rate learningrate lrs",
    "model.depth": "layers n_layers num_layers model.n_layer numlayers blocks depths",
    "model.width": "d_model dim n_embd hidden_size",
    "model.heads": "n_heads num_heads head model.nhead",
    "model.hidden": "hidden d_ff ffn_dim",
    "model.norm": "norm_type prenorm",
    "model.norm_kind": "layernorm rmsnorm rms",
    "model.qk_norm": "qk_layernorm model.qknorm",
    "model.position": "positional rotary rope",
    "model.activation": "swiglu",
    "optimizer": "optim optimiser sgd muon",
    "train.schedule": "lr_schedule scheduler wsd",
    "train.final_lr": "min_lr",
    "train.dropout": "dropout_rate",
    "model/residual": "scheme residual_scheme",
    "train.batch": "batch_size train.batch_size batchsize",
    "train.warmup_steps": "warmup train.warmup train.warmups",
    "optimizer.weight_decay": "wd weightdecay",
    "train.clip": "grad_clip max_grad_norm clip_norm",
    "train.steps": "iterations max_steps train.num_steps",
    "train.eval_every": "eval_interval",
    "optimizer.beta1 or optimizer.beta2": "beta",
    "model.hidden or model.width": "model.hidden_dim",
    "task.length": "seq_len sequence_length model.block_size",
    "task.symbols": "vocab vocab_size",
    "device": "gpu cuda device_type",
    "engine.workers": "num_workers n_jobs",
}
"""Names that other programs give to settings, by what they mean here."""


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for key, names in ELSEWHERE.items() for name in names.split()]
)
def test_names_that_settings_have_elsewhere_are_understood(name: str, key: str) -> None:
    with pytest.raises(UserError) as refused:
        config.request(None, [f"{name}=1"])
    assert str(refused.value).endswith(f"there is no such setting; did you mean {key}?")


def test_options_that_are_mistaken_for_settings_are_those_of_the_commands_named() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for option, having in hints.COMMANDS_WITH.items():
        for name in having:
            assert f"--{option}" in {opt for param in commands[name].params for opt in param.opts}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("epoch", "every sequence is fresh"),
        ("n_epochs", "every sequence is fresh"),
        ("momentum", "optimizer=sgd and optimizer=muon have one"),
        ("train.momentum", "optimizer=sgd and optimizer=muon have one"),
    ],
)
def test_settings_that_are_fixed_here_are_explained(name: str, reason: str) -> None:
    with pytest.raises(UserError) as refused:
        config.request(None, [f"{name}=1"])
    assert reason in str(refused.value)


@pytest.mark.parametrize("key", config.keys())
def test_a_key_without_its_section_or_cut_short_is_completed(key: str) -> None:
    """But for a whole key, as `device`, and where another one has the word, too."""
    key, last = GROUPS.get(key, key), key.rpartition(".")[2]
    for name in {last, last[:-1]}:
        meaning = meant(name, config.keys())
        assert key in meaning.keys or name != last, (name, meaning)
        assert key in meaning.keys or len(last) < 5, (name, meaning)


WORDS = [
    (["train", "model.depth=1", "2", "4"], "did you mean model.depth=1,2,4?"),
    (["sweep", "member.seed=0,", "1,", "2"], "did you mean member.seed=0,1,2?"),
    (["sweep", "model.norm=pre,", "post"], "did you mean model.norm=pre,post?"),
    (["sweep", "model.depth=1,", "2,3,", "4", "8"], "did you mean model.depth=1,2,3,4,8?"),
    (
        ["sweep", "model.depth=1", "model.depth=2"],
        "give it once; several values are model.depth=1,2",
    ),
    (
        ["sweep", "model/residual=layerscale", "model.residual.alpha=2"],
        "the scheme layerscale has initial_to_18_blocks, initial_to_24_blocks, initial_beyond",
    ),
    (
        ["sweep", "model/residual=layerscale", "model.residual.initial_beyon=2"],
        "did you mean model.residual.initial_beyond?",
    ),
    (["train", "model.depth=", "4"], "did you mean model.depth=4?"),
    (["train", "model.depth", "=", "4"], "did you mean model.depth=4?"),
    (["sweep", "member.lr=1e-3,", "1e-2", "task=sort"], "did you mean member.lr=1e-3,1e-2?"),
    (["train", "--depth", "8"], "settings are KEY=VALUE: model.depth=8"),
    (["sweep", "--seeds=5"], "settings are KEY=VALUE: 'member.seed=range(0,5)'"),
    (["sweep", "--num-seeds", "5"], "settings are KEY=VALUE: 'member.seed=range(0,5)'"),
    (["sweep", "--seed", "5"], "settings are KEY=VALUE: member.seed=5"),
    (["train", "--learning-rate", "1e-3"], "settings are KEY=VALUE: member.lr=1e-3"),
    (["train", "--optimizer", "sgd"], "settings are KEY=VALUE: optimizer=sgd"),
    (["sweep", "--qos", "high"], "there is no such option; engine.extra is for it"),
    (["report", "--seeds", "5"], "members are chosen with --where member.seed=5"),
    (["probe", "--norm"], "settings are KEY=VALUE: model.norm=VALUE"),
    (["report", "--depth", "8"], "members are chosen with --where model.depth=8"),
    (["report", "--study", "quick"], "it is a word: resformer report quick"),
    (["status", "--study=quick"], "it is a word: resformer status quick"),
    (["train", "--study", "x"], "resformer sweep --study x has one"),
    (["probe", "quick"], "did you mean --study quick?"),
    (["sweep", "--study", "quick.yaml"], "did you mean --study quick?"),
    (["sweep", "--study", "quick.yaml", "model.depth=1"], "did you mean --study quick?"),
    (["sweep", "--study", "quik"], "did you mean quick? Or add KEY=VALUE"),
    (["sweep", "--study", "configs/study/quick.yaml"], "did you mean --study quick?"),
    (["report", "--html", "mine/"], "--html mine/: ends in a slash; name a file"),
    (["report", "sort"], "has not run in results; resformer sweep --study sort runs it"),
    (["train", "engine=slurm", "engine.workers=1"], "resformer sweep --engine slurm has others"),
    (["run"], "did you mean resformer sweep (a study) or resformer train (one job)?"),
    (["list"], "resformer status"),
    (["plot"], "resformer report --figures DIR"),
    (["version"], "did you mean resformer --version?"),
    (["help"], "did you mean resformer --help?"),
    (["sort"], "did you mean resformer sweep --study sort?"),
    (["model.depth=3", "task=sort"], "did you mean resformer train model.depth=3 task=sort?"),
    (["tran"], "did you mean resformer train?"),
    (["eval"], "the commands are train, sweep, claim, report"),
    (["fit", "quick"], "the commands are train, sweep, claim, report"),
    # options
    (["sweep", "--worker", "2"], "did you mean --workers?"),
    (["train", "--result", "x"], "did you mean --results?"),
    (["sweep", "--dryrun"], "--dryrun: there is no such option; did you mean --dry-run?"),
    (["sweep", "-m", "model.depth=1,2"], "swept over: resformer sweep model.depth=1,2"),
    (["train", "--multirun"], "swept over: resformer sweep model.depth=1,2"),
    (["-m", "model.depth=3"], "swept over: resformer sweep model.depth=3"),
    (["--study", "quick", "sweep"], "goes behind the command: resformer sweep --study quick"),
    (
        ["--dry-run"],
        "no such option; resformer sweep --dry-run or resformer claim --dry-run has one",
    ),
    (["--seed", "5", "sweep"], "settings are KEY=VALUE: member.seed=5"),
    (["--nothing"], "the options are --version"),
    (["gather", "-x"], "-x: there is no such option; the options are --results, --help"),
    (["report", "--format", "xml"], "--format xml: must be one of table, markdown, csv, json"),
    (["sweep", "--workers=many"], "--workers many: must be a whole number"),
    (["sweep", "--workers"], "--workers: requires an argument"),
    (["sweep", "--dry-run=yes"], "--dry-run: does not take a value"),
    # words that lack, and one too many
    (["export"], "export: STUDY is missing; it is resformer export STUDY DIR --to parquet|csv|"),
    (["export", "mine"], "export: DIR is missing; it is resformer export STUDY DIR --to parquet"),
    (["export", "mine", "dir"], "export: --to is missing; it is resformer export STUDY DIR --to"),
    (["gather"], "gather: STUDY is missing; it is resformer gather STUDY"),
    (["status", "mine", "extra"], "extra: is more than it takes; it is resformer status [STUDY]"),
]


@pytest.mark.parametrize(("words", "hint"), WORDS, ids=[" ".join(words) for words, _ in WORDS])
def test_a_mistyped_command_is_answered_with_what_would_work(
    resformer: Resformer, tmp_path: Path, words: list[str], hint: str
) -> None:
    check_refused(resformer(*words), hint)
    assert tree(tmp_path) == {}


def test_usage_lines_name_words_as_the_readme_does(resformer: Resformer) -> None:
    for command, usage in {
        "export": "[OPTIONS] STUDY DIR",
        "status": "[OPTIONS] [STUDY]",
        "report": "[OPTIONS] [STUDY]...",
    }.items():
        first = resformer(command, "--help").stdout.splitlines()[0]
        assert first.endswith(f" {command} {usage}")


@pytest.mark.parametrize("setting", ["model.dpeth=1", "model.depth={1,2}", "task=sorting"])
def test_an_error_in_a_study_file_names_the_file(
    resformer: Resformer, tmp_path: Path, setting: str
) -> None:
    file = tmp_path / "configs" / "study" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(f"- '{setting}'\n")
    check_refused(resformer("sweep", "--study", "mine"), "study/mine.yaml: ")


def test_a_reason_that_all_combinations_share_is_given_alone() -> None:
    with pytest.raises(UserError) as refused:
        config.request("depth", ["engine.qos=high"])
    assert "combinations" not in str(refused.value)


def test_a_mistyped_study_among_many_is_answered_with_the_similar_one(
    resformer: Resformer, made: WrittenStudy
) -> None:
    made.cell([unsolved()], depth=1)
    made.write()
    check_refused(resformer("report", "maed"), "is not in results; did you mean made?")
    check_refused(resformer("report", "nothing"), "is not in results; there are made")


def test_whole_numbers_may_be_written_with_a_power_of_ten() -> None:
    (shape, members), *none = config.request(None, ["train.steps=1e3", "member.seed=2e0"]).shapes
    assert not none
    assert (shape.train.steps, members) == (1000, [Member(seed=2, lr=3e-3)])
    assert type(shape.train.steps) is int


@pytest.mark.parametrize("zero", ["0", "0.0", "0e5", "00.0"])
def test_a_rate_of_zero_may_be_written_as_such(zero: str) -> None:
    ((_, members),) = config.request(None, [f"member.lr={zero}"]).shapes
    assert members[0].lr == 0


def test_a_rate_of_zero_is_noted() -> None:
    """As of `member.lr=0,01`, whose comma makes two rates."""
    for rates in ("0", "0,01"):
        (note,) = config.request(None, [f"member.lr={rates}", "train.compile=false"]).notes
        assert note.startswith("member.lr=0: nothing is learnt at a rate of 0")


def test_the_grammar_of_overrides_is_never_shown(resformer: Resformer) -> None:
    for value in ("{1,2", "(", ")", "a=b", "a;b", '"', "'", "{a:", "range(", "1,,,2,", "\\("):
        line = resformer("sweep", f"model.depth={value}").stderr
        assert not any(word in line for word in ("viable", "extraneous", "mismatched", "token"))


def test_the_settings_that_are_shown_can_be_typed(resformer: Resformer) -> None:
    lines = resformer("show", "probe.every=null").stdout.splitlines()
    shown = [line for line in lines if line.startswith(("model", "train", "task", "device"))]
    assert not any("None" in line for line in lines)
    config.single(shown)


def test_a_number_that_is_written_twice_is_one() -> None:
    assert len(config.request("new", ["model.depth=1,1.0,1e0"]).shapes) == 1
