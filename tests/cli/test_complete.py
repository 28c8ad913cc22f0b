"""Shell completion of keys and values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from resformer import config
from resformer.cli import app
from resformer.complete import complete, default_settings


def test_keys_are_those_that_can_be_set() -> None:
    assert set(default_settings()) == {*config.keys(), "model/residual"}


@pytest.mark.parametrize(
    ("words", "incomplete", "completions"),
    [
        ([], "model.de", ["model.depth="]),
        ([], "model.residual=", ["model.residual=true", "model.residual=false"]),
        ([], "task=s", ["task=sort", "task=state"]),
        ([], "model/residual=re", ["model/residual=residual_dual", "model/residual=rezero"]),
        ([], "model.norm=p", ["model.norm=pre", "model.norm=post", "model.norm=pre_post"]),
        ([], "model.norm=pre,po", ["model.norm=pre,post"]),
        ([], "train.stop_when_solved=t", ["train.stop_when_solved=true"]),
        ([], "model.depth=", []),
        ([], "no.such=", []),
        (
            ["task=sort", "model.norm"],
            "=",
            ["own", "none", "pre", "post", "sandwich", "pre_post", "branch"],
        ),
        (["task", "=", "sort", "model.activation", "="], "r", ["relu", "relu2"]),
        ([], "model=m", ["model=modern"]),
        (
            [],
            "optimizer=",
            ["optimizer=adamw", "optimizer=lion", "optimizer=muon", "optimizer=sgd"],
        ),
        (["model.residual", "="], "true,f", ["true,false"]),
        # of `model.activation=`, Typer leaves this to bash's completion
        (["model.position"], "", ["learned", "rope", "sinusoidal", "none"]),
        ([], "norm", ["model.norm="]),
        ([], "lr", ["member.lr="]),
        ([], "zip(model.de", ["zip(model.depth="]),
        ([], "zip(model.depth=1 task=so", ["zip(model.depth=1 task=sort"]),
        ([], "nothing", []),
    ],
)
def test_words_are_completed(words: list[str], incomplete: str, completions: list[str]) -> None:
    assert list(complete(words, incomplete)) == completions


def test_bash_gets_the_words_it_asks_for(tmp_path: Path) -> None:
    """bash splits at `=`; what it sends is what Typer's script for it sends."""
    words = ["resformer", "sweep", "model.residual", "=", "t"]
    variables = {
        "_RESFORMER_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": "4",
    }
    script = "import sys; from resformer.cli import main; sys.argv = ['resformer']; main()"
    done = subprocess.run(
        [sys.executable, "-c", script + "; assert 'torch' not in sys.modules"],
        env={**os.environ, **variables},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.split() == ["true"], done.stderr


def completed(words: list[str]) -> list[str]:
    """Completions of the last word in bash, as Typer's script for it asks for them."""
    result = CliRunner().invoke(
        app,
        [],
        prog_name="resformer",
        env={
            "_RESFORMER_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(["resformer", *words]),
            "COMP_CWORD": str(len(words)),
        },
    )
    return result.stdout.split()


def test_bash_lists_the_values_of_a_key() -> None:
    assert completed(["train", "model.position", "="]) == ["learned", "rope", "sinusoidal", "none"]


@pytest.mark.parametrize(
    ("words", "completions"),
    [
        (["report", "ma"], ["made"]),
        (["report", "made", "oth"], ["other"]),
        (["status", ""], ["made", "other"]),
        (["export", "o"], ["other"]),
        (["gather", "m"], ["made"]),
        (["sweep", "--study", "qu"], ["quick"]),
        (["probe", "--study", "pro"], ["probe"]),
        (["report", "--where", "model.dep"], ["model.depth"]),
        (["report", "--rows", "model.n"], ["model.norm", "model.norm_kind"]),
    ],
)
def test_studies_and_keys_of_options_are_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], completions: list[str]
) -> None:
    for name in ("made", "other"):
        (tmp_path / "results" / name / "launches").mkdir(parents=True)
    (tmp_path / "results" / "mine.txt").touch()
    monkeypatch.chdir(tmp_path)
    assert completed(words) == completions
