"""Blocks of one's own: trained as they are, and refused where they could not be."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes
from support.commands import Command, Resformer, check_refused, tree
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from resformer.model.shape import Member, Shape
from resformer.training.loop import Training

BLOCK = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm = nn.RMSNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ffn = nn.Linear(width, width)

    def forward(self, x):
        h = self.norm(x)
        return x + self.attend(h, h, h, need_weights=False)[0] + self.ffn(h).relu()
"""
TINY = ("task=sort", "task.length=4", "task.symbols=12", "model.width=8", "model.heads=2")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory; returns the setting that names its class."""
    monkeypatch.chdir(tmp_path)
    names = []

    def write(text: str) -> str:
        names.append(f"mine{len(names)}_{tmp_path.name.replace('-', '_')}")
        (tmp_path / f"{names[-1]}.py").write_text(text)
        return f"{names[-1]}:Block"

    yield write
    for name in names:
        sys.modules.pop(name, None)


def shape_of(path: str, **changes: Any) -> Shape:
    small = {"norm": "none", "attention": "bidirectional", "task": shapes.shape().task}
    return shapes.shape(module=path, **{**small, **changes})


def losses(shape: Shape, members: list[Member], dtype: torch.dtype) -> dict[Member, np.ndarray]:
    table = pd.DataFrame(Training(shape, members, dtype=dtype).run().curves)
    return {
        member: table[(table["seed"] == member.seed) & (table["lr"] == member.lr)].to_numpy()
        for member in members
    }


def test_members_train_together_as_alone(mine: Callable[[str], str]) -> None:
    shape = shape_of(mine(BLOCK))
    members = [Member(seed=seed, lr=lr) for lr in (1e-3, 1e-2) for seed in (0, 3)]
    together = losses(shape, members, torch.float64)
    for member in members:
        alone = losses(shape, [member], torch.float64)[member]
        # 20 steps of float64, amplified by training by far less than 1e5.
        np.testing.assert_allclose(alone, together[member], rtol=1e-10, atol=1e-12)


def test_it_trains_as_the_module_alone_does(mine: Callable[[str], str]) -> None:
    """The first loss and gradient norm are those of plain torch with the same weights."""
    shape = shape_of(mine(BLOCK), depth=2)
    model = shape.transformer()
    flat_1N = model.initial_values(torch.tensor([3]), torch.float64)
    training = Training(shape, [Member(seed=3, lr=1e-3)], dtype=torch.float64)
    population = training.population
    assert torch.equal(population.flat_PN, flat_1N)
    assert model.own is not None
    modules = [model.own.build(block).double() for block in (1, 2)]
    weights = {
        spec.name: part.view(spec.shape)
        for spec, part in zip(
            model.parameter_specs,
            flat_1N[0].split([spec.size for spec in model.parameter_specs]),
            strict=True,
        )
    }
    for block, module in enumerate(modules, start=1):
        own = {name: weights[f"block{block}.module.{name}"] for name in module.state_dict()}
        module.load_state_dict(own)
    inputs, targets = population.inputs_CPBT[0, 0], population.targets_CPBU[0, 0]
    x = weights["embedding.token"][inputs] + weights["embedding.position"]
    for module in modules:
        x = module(x)
    logits = (x @ weights["head.matrix"] + weights["head.bias"])[:, -model.num_targets :]
    loss = nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
    population.advance()
    assert population.recorded(0)[0, 0, 0] == pytest.approx(loss.item(), rel=1e-12)


def test_initial_values_depend_on_the_seed_alone(mine: Callable[[str], str]) -> None:
    model = shape_of(mine(BLOCK)).transformer()
    torch.manual_seed(5)
    before = torch.get_rng_state()
    two = model.initial_values(torch.tensor([3, 4]), torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    assert torch.equal(model.initial_values(torch.tensor([4]), torch.float32)[0], two[1])
    assert not torch.equal(two[0], two[1])


def test_flops_are_those_torch_counts(mine: Callable[[str], str]) -> None:
    shape = shape_of(mine(BLOCK))
    model = shape.transformer()
    flat_PN = model.initial_values(torch.arange(2), torch.float32).requires_grad_()
    inputs = torch.zeros(2, 8, model.tokens, dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        model.forward(flat_PN, inputs).sum().backward()
    # The backward pass of the first layers needs no gradient of the inputs: torch counts less.
    assert counter.get_total_flops() == pytest.approx(2 * model.flops_per_step(8), rel=0.05)


MISTAKES = {
    "no such module": (
        "nowhere:Block",
        "there is no module nowhere, installed or in the working directory",
    ),
    "no class": ("math:Block", "math has no torch.nn.Module of that name"),
    "no colon": ("Block", "must be package:Class, as mine:Block of mine.py"),
}


@pytest.mark.parametrize(("path", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_path_that_names_no_block_is_refused(
    resformer: Resformer, path: str, reason: str
) -> None:
    refused = resformer("sweep", *TINY, f"model.module={path}")
    check_refused(refused, f"model.module={path}: {reason}")


WRONG = {
    "buffers": (
        ("self.norm = nn.RMSNorm(width)", "self.norm = nn.BatchNorm1d(width)"),
        "keeps buffers (norm.running_mean); parameters alone would do",
    ),
    "random": (
        ("return x + ", "x = torch.dropout(x, 0.5, True)\n        return x + "),
        "draws at random",
    ),
    "shape": (("h = self.norm(x)", "x = x[:, :1]\n        h = self.norm(x)"), "makes (2, 1, 8) of"),
    "raises": (("h = self.norm(x)", "h = self.norm(x + unknown)"), "NameError: name 'unknown'"),
    "constructor": (("(self, width, heads)", "(self, width, heads, size)"), "TypeError: "),
    "no parameters": (
        (
            BLOCK[BLOCK.index("    def __init__") :],
            "    def forward(self, x):\n        return x\n",
        ),
        "has no parameters; there is nothing to train",
    ),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG)
def test_a_block_that_could_not_be_trained_is_refused(
    resformer: Resformer,
    tmp_path: Path,
    mine: Callable[[str], str],
    change: tuple[str, str],
    reason: str,
) -> None:
    assert change[0] in BLOCK
    path = mine(BLOCK.replace(*change))
    before = tree(tmp_path)
    refused = resformer("sweep", *TINY, f"model.module={path}")
    check_refused(refused, reason)
    assert refused.stderr.startswith(f"resformer: model.module={path}: ")
    assert {path for path in tree(tmp_path) if "__pycache__" not in str(path)} == {*before}


@pytest.mark.parametrize(
    "setting",
    ["model/residual=rezero", "model.norm=post", "model.skip=ffn", "train.dropout=0.1"],
)
def test_settings_of_built_in_blocks_are_left_out(
    resformer: Resformer, mine: Callable[[str], str], setting: str
) -> None:
    path = mine(BLOCK)
    refused = resformer("sweep", *TINY, f"model.module={path}", setting)
    check_refused(
        refused, f"model.module={path}: has blocks of its own, which {setting} is not for"
    )


@pytest.mark.sweep
def test_a_sweep_of_a_module_in_the_working_directory(command: Command, tmp_path: Path) -> None:
    """Beside the built-in block, by workers; edited, it trains anew."""
    (tmp_path / "mine.py").write_text(BLOCK)
    words = [*TINY, "model.depth=1", "model.module=null,mine:Block", "model.norm=none,pre"]
    words += ["train.steps=20", "train.warmup_steps=5", "member.seed=0,1", "engine.workers=2"]
    done = command("sweep", *words, "--study", "own")
    assert done.returncode == 0, done.stderr
    assert "mine:Block" in done.stdout
    again = command("sweep", *words, "--study", "own")
    assert "trained anew" not in again.stderr
    (tmp_path / "mine.py").write_text(BLOCK.replace("x + self.attend", "x + 2 * self.attend"))
    edited = command("sweep", *words, "--study", "own")
    assert edited.returncode == 0, edited.stderr
    assert edited.stderr != again.stderr
