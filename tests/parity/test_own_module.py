"""A block of the package `x-transformers` as one of one's own: it trains as the package's own stack
with the same weights.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from support import shapes
from torch import nn

from resformer.model.shape import Member
from resformer.numerics.parameters import unpack
from resformer.sweep.module_trial import try_module
from resformer.training.loop import Training

BLOCK = """
from torch import nn
from x_transformers import Encoder


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.layers = Encoder(
            dim=width, depth=1, heads=heads, attn_dim_head=width // heads, ff_mult=2,
            use_rmsnorm=True, ff_swish=True, ff_glu=True, ff_no_bias=True,
        )

    def forward(self, x):
        return self.layers(x)
"""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    pytest.importorskip("x_transformers")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text(BLOCK)
    yield "theirs:Block"
    sys.modules.pop("theirs", None)


def test_a_block_of_x_transformers_trains(path: str) -> None:
    shape = shapes.shape(
        module=path, norm="none", attention="bidirectional", hidden=64, steps=60, warmup_steps=10
    )
    model, members = shape.transformer(), [Member(seed=seed, lr=1e-2) for seed in (0, 1)]
    assert model.own is not None
    try_module(model.own)
    flat_PN = model.initial_values(torch.tensor([0, 1]), torch.float64)
    inputs = torch.randint(0, 8, (2, 3, model.tokens), generator=torch.Generator().manual_seed(0))
    logits = model.forward(flat_PN, inputs)
    for member in (0, 1):
        w = {name: part[member] for name, part in unpack(model.parameter_specs, flat_PN).items()}
        x = w["embedding.token"][inputs[member]] + w["embedding.position"]
        for block in (1, 2):
            module: nn.Module = model.own.build(block, seed=0).double()
            module.load_state_dict(
                {name: w[f"block{block}.module.{name}"] for name in module.state_dict()}
            )
            x = module(x)
        expected = (x @ w["head.matrix"] + w["head.bias"])[:, -model.num_targets :]
        torch.testing.assert_close(logits[member], expected, rtol=1e-10, atol=1e-10)
    runs = Training(shape, members).run().runs
    assert all(loss < 1.0 for loss in runs["final_loss"])  # blind: 2.08
