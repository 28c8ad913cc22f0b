"""Blocks of one's own: trained as they are, and refused where they could not be."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes
from support.commands import Command, Resformer, check_refused, tree
from support.launches import work_alone
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import resformer as package
from resformer import config
from resformer.errors import UserError
from resformer.model import own_class
from resformer.model.shape import Member, Shape
from resformer.plan import batching
from resformer.store.study import Study
from resformer.sweep import launch
from resformer.training.loop import Training
from resformer.training.population import Population
from resformer.workers.pilot import PilotExit, pilot_specs

ROOT = Path(package.__file__).parent.parent

BLOCK = """
import torch
from torch import nn


class Block(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.causal = causal
        self.norm = nn.RMSNorm(width)
        self.attend = nn.MultiheadAttention(width, heads, batch_first=True)
        self.ffn = nn.Linear(width, width)

    def forward(self, x):
        h = self.norm(x)
        later = torch.ones(x.shape[1], x.shape[1]).triu(1).bool() if self.causal else None
        mixed = self.attend(h, h, h, need_weights=False, attn_mask=later)[0]
        return x + mixed + self.ffn(h).relu()
"""
TINY = ("task=sort", "task.length=4", "task.symbols=12", "model.width=8", "model.heads=2")


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], str]]:
    """Writes a module into the working directory; returns the setting that names its class."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    names = []

    def write(text: str) -> str:
        names.append(f"mine{len(names)}_{tmp_path.name.replace('-', '_')}")
        (tmp_path / f"{names[-1]}.py").write_text(text)
        return f"{names[-1]}:Block"

    yield write
    for name in names:
        sys.modules.pop(name, None)


def shape_of(path: str, **changes: Any) -> Shape:
    task = shapes.shape().task
    small = {"norm": "none", "attention": "bidirectional", "task": task, "hidden": 64}
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
    modules = [model.own.build(block, 3).double() for block in (1, 2)]
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
    "no class": ("json:Block", "json/__init__.py has no torch.nn.Module Block"),
    "built in": ("sys:Block", "sys, which is built in, has no torch.nn.Module Block"),
    "relative": (".mine:Block", "must be package:Class, as mine:Block of mine.py"),
    "no colon": ("Block", "must be package:Class, as mine:Block of mine.py"),
}


@pytest.mark.parametrize(("path", "reason"), MISTAKES.values(), ids=MISTAKES)
def test_a_path_that_names_no_block_is_refused(
    resformer: Resformer, path: str, reason: str
) -> None:
    refused = resformer("sweep", *TINY, f"model.module={path}")
    check_refused(refused, reason)
    assert refused.stderr.startswith(f"resformer: model.module={path}: ")


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
    "constructor": (
        ("(self, width, heads, causal)", "(self, width, heads, causal, size)"),
        "TypeError: ",
    ),
    "backward": (
        (
            "class Block",
            "class Odd(torch.autograd.Function):\n"
            "    generate_vmap_rule = True\n"
            "    @staticmethod\n"
            "    def forward(x):\n        return x + 1\n"
            "    @staticmethod\n"
            "    def setup_context(ctx, inputs, output):\n        pass\n"
            "    @staticmethod\n"
            "    def backward(ctx, g):\n        return g * unknown\n\n\n"
            "class Block",
        ),
        ("h = self.norm(x)", "h = self.norm(Odd.apply(x))"),
        "NameError: name 'unknown'",
    ),
    "frozen": (
        ("self.ffn = ", "self.norm.weight.requires_grad = False\n        self.ffn = "),
        "keeps parameters that do not train (norm.weight)",
    ),
    "random of Python": (
        ("import torch\n", "import random\n\nimport torch\n"),
        ("h = self.norm(x)", "h = self.norm(x) * (1 if random.random() < 0.99 else 2)"),
        "draws at random by random or NumPy",
    ),
    "random of a generator": (
        ("import torch\n", "import numpy as np\nimport torch\n"),
        ("h = self.norm(x)", "h = self.norm(x) * np.random.default_rng().random()"),
        "makes something else of the same input when it is called again",
    ),
    "constructor of NumPy": (
        ("import torch\n", "import numpy as np\nimport torch\n"),
        (
            "super().__init__()",
            "super().__init__()\n        self.w = nn.Parameter(torch.tensor(np.random.randn(3)))",
        ),
        "draws at random by random or NumPy",
    ),
    "constructor of a generator": (
        ("import torch\n", "import numpy as np\nimport torch\n"),
        (
            "super().__init__()",
            "super().__init__()\n"
            "        drawn = np.random.default_rng().normal(size=3)\n"
            "        self.w = nn.Parameter(torch.tensor(drawn).float())",
        ),
        "w starts differently at one seed; let torch draw it",
    ),
    "no parameters": (
        (
            BLOCK[BLOCK.index("    def __init__") :],
            "    def forward(self, x):\n        return x\n",
        ),
        "has no parameters; there is nothing to train",
    ),
    "float64": (
        ("nn.Linear(width, width)", "nn.Linear(width, width, dtype=torch.float64)"),
        ("self.ffn(h)", "self.ffn(h.double()).float()"),
        "keeps parameters of torch.float64 (ffn.weight); torch.float32 would do",
    ),
    "output of float64": (
        ("return x + mixed", "return x.double() + mixed"),
        "makes torch.float64 of torch.float32; both must be one",
    ),
    "no shape": (
        ("nn.Linear(width, width)", "nn.LazyLinear(width)"),
        "keeps parameters that have no shape yet (ffn.weight); sizes given in the constructor, as "
        "to nn.Linear, would do",
    ),
    "no output": (
        ("return x + ", "x + "),
        "makes NoneType of (2, 4, 8); a tensor of this shape would do",
    ),
    "a tuple": (
        ("return x + mixed", "return None, x + mixed"),
        "makes tuple of (2, 4, 8); a tensor of this shape would do",
    ),
    "no gradient": (
        ("    def forward", "    @torch.no_grad()\n    def forward"),
        "no gradient reaches its parameters; a forward without no_grad and detach would do",
    ),
    "detached": (
        ("return x + mixed + self.ffn(h).relu()", "return x + mixed.detach()"),
        "no gradient reaches its parameters; a forward without no_grad and detach would do",
    ),
    "in place": (
        ("return x + mixed", "x += mixed\n        return x"),
        "changes in place what its gradient needs; x = x + y for x += y would do",
    ),
    "mean over the batch": (
        ("h = self.norm(x)", "h = self.norm(x - x.mean(0, keepdim=True))"),
        "mixes the sequences of a batch; norms and means over each one alone would do",
    ),
    "another of the batch, not at first": (
        (
            "super().__init__()",
            "super().__init__()\n        self.w = nn.Parameter(torch.zeros(()))",
        ),
        ("return x + ", "return x + self.w * x.roll(1, 0) + "),
        "mixes the sequences of a batch",
    ),
    "norm over the batch": (
        ("width, heads, causal)", "width, heads, causal, tokens)"),
        ("nn.RMSNorm(width)", "nn.BatchNorm1d(tokens, track_running_stats=False)"),
        "mixes the sequences of a batch",
    ),
    "drawn tensor": (
        ("super().__init__()", "super().__init__()\n        self.w = torch.randn(width)"),
        ("return x + ", "return x + self.w + "),
        "makes something else with another seed and the same parameters; nn.Parameter for what "
        "the constructor draws would do",
    ),
    "drawn number": (
        ("super().__init__()", "super().__init__()\n        self.w = torch.rand(()).item()"),
        ("return x + ", "return x + self.w + "),
        "makes something else with another seed and the same parameters",
    ),
    "parameters by another way": (
        (
            "        self.ffn = nn.Linear(width, width)\n",
            "        self.ffn = nn.Linear(width, width)\n        self.w = [self.ffn.weight]\n",
        ),
        ("self.ffn(h)", "(h @ self.w[0])"),
        "makes something else with another seed and the same parameters",
    ),
}


@pytest.mark.parametrize("case", WRONG.values(), ids=WRONG)
def test_a_block_that_could_not_be_trained_is_refused(
    resformer: Resformer,
    tmp_path: Path,
    mine: Callable[[str], str],
    case: tuple[Any, ...],
) -> None:
    *changes, reason = case
    text = BLOCK
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = mine(text)
    before = tree(tmp_path)
    refused = resformer("sweep", *TINY, f"model.module={path}")
    check_refused(refused, reason)
    assert refused.stderr.startswith(f"resformer: model.module={path}: ")
    assert tree(tmp_path) == before


def test_a_forward_may_change_its_input_in_place(
    resformer: Resformer, mine: Callable[[str], str]
) -> None:
    """As plain torch lets it, where no gradient needs what was there before."""
    in_place = mine(BLOCK.replace("h = self.norm(x)", "x *= 2\n        h = self.norm(x)"))
    aside = mine(BLOCK.replace("h = self.norm(x)", "x = x * 2\n        h = self.norm(x)"))
    shown = resformer("show", *TINY, f"model.module={in_place}", "model.attention=causal")
    assert shown.exit_code == 0, shown.stderr
    member = Member(seed=0, lr=1e-2)
    first, second = (
        losses(shape_of(path, depth=2), [member], torch.float64)[member]
        for path in (in_place, aside)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize(
    "setting",
    [
        "model/residual=rezero",
        "model.norm=post",
        "model.skip=ffn",
        "model.position=rope",
        "model.activation=gelu",
        "model.hidden=16",
        "model.qk_norm=true",
        "model.loops=2",
        "train.dropout=0.1",
    ],
)
def test_settings_of_built_in_blocks_are_left_out(
    resformer: Resformer, mine: Callable[[str], str], setting: str
) -> None:
    path = mine(BLOCK)
    refused = resformer("sweep", *TINY, f"model.module={path}", setting)
    check_refused(
        refused, f"model.module={path}: has blocks of its own, which {setting} is not for"
    )


def test_a_modern_block_is_left_out_with_one_reason(
    resformer: Resformer, mine: Callable[[str], str]
) -> None:
    words = [*TINY, "model=classic,modern", f"model.module={mine(BLOCK)}"]
    done = resformer("show", *words)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("is not for") == 1
    assert "wide" not in done.stdout


@pytest.mark.parametrize(
    ("look", "wiring"),
    {
        "everywhere": ("if self.causal", "if False"),
        "only the next": (
            "return x + mixed",
            "return x + torch.roll(h, -1, 1) + mixed",
        ),
        "not at first": (
            "return x + mixed",
            "return x + self.gate * h.mean(1, keepdim=True) + mixed",
        ),
    }.values(),
)
def test_a_causal_block_that_sees_later_tokens_is_left_out(
    resformer: Resformer, mine: Callable[[str], str], look: str, wiring: str
) -> None:
    gate = "super().__init__()\n        self.gate = nn.Parameter(torch.zeros(()))"
    path = mine(BLOCK.replace("super().__init__()", gate).replace(look, wiring))
    words = [*TINY, f"model.module={path}", "model.norm=none"]
    refused = resformer("show", *words, "model.attention=causal")
    check_refused(
        refused,
        f"model.module={path}: sees later tokens; take causal in its constructor, or "
        "model.attention=bidirectional",
    )
    assert resformer("show", *words, "model.attention=bidirectional").exit_code == 0
    honest = resformer("show", *TINY, f"model.module={mine(BLOCK)}", "model.attention=causal")
    assert honest.exit_code == 0, honest.stderr


def test_a_mask_that_the_constructor_keeps_is_no_parameter(mine: Callable[[str], str]) -> None:
    kept = mine(
        BLOCK.replace("heads, causal)", "heads, causal, tokens)", 1)
        .replace("self.causal = causal", "self.later = torch.ones(tokens, tokens).triu(1).bool()")
        .replace("if self.causal else None", "")
        .replace("torch.ones(x.shape[1], x.shape[1]).triu(1).bool()", "self.later")
    )
    made = mine(BLOCK)
    causal = [shape_of(path, attention="causal") for path in (kept, made)]
    flat_PN = causal[0].transformer().initial_values(torch.arange(2), torch.float32)
    inputs = torch.arange(12).remainder(8).expand(2, 3, 12)
    logits = [shape.transformer().forward(flat_PN, inputs) for shape in causal]
    assert torch.equal(*logits)
    flops = {shape.transformer().flops_per_step(1) for shape in causal}
    assert len(flops) == 1
    for shape in causal:  # on a device without values, which stands for a GPU
        own = shape.transformer().own
        assert own is not None
        weights = {spec.name: torch.empty(2, *spec.shape) for spec in own.parameter_specs}
        away = {name: w_P.to("meta") for name, w_P in weights.items()}
        x_PBTD = torch.empty(2, 3, 12, 16, device="meta")
        assert own.forward(away, x_PBTD).shape == x_PBTD.shape


def test_its_activations_may_be_computed_again(mine: Callable[[str], str]) -> None:
    shape, weights = shape_of(mine(BLOCK)), list[torch.Tensor]()
    for recompute in (False, True):
        population = Population(
            shape, [Member(seed=0, lr=1e-3)], dtype=torch.float32, recompute=recompute
        )
        population.advance()
        weights.append(population.flat_PN)
    assert torch.equal(*weights)


def test_a_constructor_may_read_the_values_of_its_tensors(mine: Callable[[str], str]) -> None:
    """Also where memory of a GPU is reckoned, on tensors without values."""
    made = "super().__init__()"
    read = f"{made}\n        self.kept = torch.tensor(torch.linspace(0.9, 1, width).tolist())"
    read += "\n        self.more = {'scales': [self.kept.clone()]}"
    used = "return x * self.kept * self.more['scales'][0]"
    path = mine(BLOCK.replace(made, read).replace("return x", used))
    plain = mine(BLOCK.replace("return x", "return x * 1 * 1"))
    needed = [batching.kept_bytes(shape_of(module), sequences=2) for module in (path, plain)]
    assert needed[0] >= needed[1] > 0


def test_a_probe_refuses_it_before_anything_runs(
    resformer: Resformer, tmp_path: Path, mine: Callable[[str], str]
) -> None:
    path = mine(BLOCK)
    before = tree(tmp_path)
    refused = resformer("probe", *TINY, f"model.module=null,{path}")
    check_refused(refused, f"model.module={path}: a probe sees the sub-layers of built-in blocks")
    assert tree(tmp_path) == before


def test_no_sublayer_of_it_can_be_left_out(mine: Callable[[str], str]) -> None:
    transformer = shape_of(mine(BLOCK)).transformer()
    flat_PN = transformer.initial_values(torch.tensor([0]), torch.float32)
    inputs_PBT = torch.zeros(1, 1, transformer.tokens, dtype=torch.int64)
    with pytest.raises(UserError, match="no sub-layer of it can be left out"):
        transformer.forward(flat_PN, inputs_PBT, without=(1, 2))


EDIT = """
import sys
from pathlib import Path
from resformer.model.own_class import code_digest
print(code_digest("mine:Block"))
for name in sys.argv[1:]:
    Path(name).write_text(Path(name).read_text() + "\\nedited = 1\\n")
    print(code_digest("mine:Block"))
"""


def digests_in(folder: Path, edited: Sequence[str], *also_on_path: Path) -> list[str]:
    """Digests of `mine:Block` in this folder: at first, and after each of these files is edited."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", EDIT, *edited],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *map(str, also_on_path)])},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split("\n")[:-1]


def test_all_code_of_ones_own_that_it_imports_is_part_of_its_digest(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    lazy = "    def lazy(self):\n        import late\n\n    def forward"
    files = {
        "mine.py": "from helpers import Block\nfrom package import inner\n",
        "helpers.py": BLOCK.replace("    def forward", lazy),
        "late.py": "x = (\n",
        "package/__init__.py": "",
        "package/inner.py": "from . import more\n",
        "package/more.py": "from .most import x\n",
        "package/most.py": "x = 1\n",
    }
    others = {"other.py": "x = 1\n", "package/.hidden.py": "x = 1\n"}
    for name, text in {**files, **others}.items():
        (tmp_path / name).write_text(text)
    digests = digests_in(tmp_path, [*files, *others])
    assert all(digests)
    edited, then = digests[: 1 + len(files)], digests[len(files) :]
    assert len({*edited}) == 1 + len(files)
    assert len({*then}) == 1


def test_the_version_of_a_package_that_it_imports_is_part_of_its_digest(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "site-packages"
    about = there / "theirs-1.0.dist-info"
    for folder in (here, about):
        folder.mkdir(parents=True)
    (there / "theirs.py").write_text(BLOCK)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (about / "top_level.txt").write_text("theirs\n")
    (here / "mine.py").write_text("from theirs import Block\n")
    first = digests_in(here, [], there)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.1\n")
    assert digests_in(here, [], there) != first


def test_the_working_directory_stays_last_on_the_path_only_where_a_class_came_from_it(
    mine: Callable[[str], str], tmp_path: Path
) -> None:
    before = list(sys.path)
    with pytest.raises(UserError, match="there is no module"):
        own_class.load("nowhere:Block")
    assert sys.path == before
    own_class.load(mine(BLOCK))
    assert sys.path == [*before, str(tmp_path)]
    own_class.load(mine(BLOCK))
    assert sys.path == [*before, str(tmp_path)]


def test_a_pilot_elsewhere_finds_a_module_of_the_directory_of_its_launch(
    mine: Callable[[str], str], tmp_path: Path
) -> None:
    study, path = Study(tmp_path / "results" / "own"), mine(BLOCK)
    words = [*TINY, "model.depth=1", f"model.module={path}", "model.norm=none"]
    words += ["train.steps=10", "train.warmup_steps=2", "train.eval_every=5"]
    planned = launch.plan(config.request("own", words), study)
    (spec,) = pilot_specs(planned.start(["sweep"]), 1)
    done = subprocess.run(
        [
            sys.executable,
            "-P",
            "-c",
            "import sys; from resformer.workers.pilot import run_pilot; "
            "print(run_pilot(sys.argv[1]))",
            spec,
        ],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert PilotExit.from_json(done.stdout) == PilotExit("finished")
    assert not study.failures(planned.unfinished)
    assert study.results.finished({*planned.unfinished}) == {*planned.unfinished}


def test_an_error_while_it_trains_names_its_file_and_line(
    mine: Callable[[str], str], tmp_path: Path
) -> None:
    broken = "h = json.loads(BROKEN[0]) if BROKEN else self.norm(x)"
    text = "import json\n" + BLOCK.replace("h = self.norm(x)", broken)
    path = mine(f"{text}\n\nBROKEN = []\n")
    study = Study(tmp_path / "results" / "own")
    words = [*TINY, "model.depth=1", f"model.module={path}", "model.norm=none", "engine.retries=0"]
    planned = launch.plan(config.request("own", words), study)
    vars(sys.modules[path.partition(":")[0]])["BROKEN"].append("[")
    work_alone(planned.start(["sweep"]))
    (reason,) = study.failures(planned.unfinished).values()
    line = next(n for n, each in enumerate(text.splitlines(), 1) if "json.loads" in each)
    assert f"/{path.partition(':')[0]}.py:{line}: json.decoder.JSONDecodeError" in reason


@pytest.mark.sweep
def test_a_sweep_of_a_module_in_the_working_directory(
    command: Command, resformer: Resformer, mine: Callable[[str], str], tmp_path: Path
) -> None:
    """Beside the built-in block, by workers; edited, it trains anew."""
    block = mine(BLOCK)
    words = [*TINY, "model.depth=1", f"model.module=null,{block}", "model.norm=none,pre"]
    words += ["train.steps=20", "train.warmup_steps=5", "member.seed=0,1", "engine.workers=2"]
    done = command("sweep", *words, "--study", "own")
    assert done.returncode == 0, done.stderr
    assert block in done.stdout
    again = resformer("sweep", *words, "--study", "own")
    assert again.exit_code == 0
    assert "trained anew" not in again.stderr
    file = tmp_path / f"{block.partition(':')[0]}.py"
    file.write_text(BLOCK.replace("return x + mixed", "return x + 2 * mixed"))
    edited = command("sweep", *words, "--study", "own")
    assert edited.returncode == 0, edited.stderr
    assert "4 members planned before with other code: trained anew" in edited.stderr


def test_its_members_stay_together_however_many_workers_there_are(
    mine: Callable[[str], str],
) -> None:
    """The last bits of their results depend on it; those of a built-in block do not."""
    words = [*TINY, "model.norm=none", "member.seed=range(0,16)", "train.steps=100000"]
    asked = [*words, "engine.workers=16", "device=cpu"]
    assert len(config.request("own", [*asked, f"model.module={mine(BLOCK)}"]).jobs()) == 1
    assert len(config.request("own", asked).jobs()) == 16
