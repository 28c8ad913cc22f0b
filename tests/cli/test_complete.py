"""Shell completion of keys and values."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from resformer import config
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
        (["task", "=", "sort", "model.activation", "="], "g", ["gelu"]),
        (["model.residual", "="], "true,f", ["true,false"]),
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
