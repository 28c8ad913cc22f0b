"""Sub-layers that are left out, and what that costs a trained member."""

from typing import Any

import numpy as np
import pytest
import torch
from support import shapes
from support.studies import SEEDS, WrittenStudy, shape

from resformer.claims.evidence import Evidence, Kept
from resformer.claims.statistics import lesion
from resformer.claims.statistics.lesion import Lesion, accuracies_without, last_needed
from resformer.model.objective import held_out
from resformer.model.serial import shape_to_json
from resformer.model.shape import Member
from resformer.numerics.parameters import unpack
from resformer.residuals.add import Add
from resformer.tasks.copy import Copy
from resformer.tasks.regress import Regress


def test_a_block_left_out_is_one_that_adds_nothing() -> None:
    """With `add` the stream passes a block whose output matrices and biases are 0, too."""
    own = shapes.shape(depth=3, norm="pre")
    transformer = own.transformer()
    flat_PN = transformer.initial_values(torch.tensor([1, 2]), torch.float64)
    inputs_PBT = held_out(own, torch.device("cpu"))[0].expand(2, -1, -1)
    silent_PN = flat_PN.clone()
    for name, part in unpack(transformer.parameter_specs, silent_PN).items():
        if name.startswith(("block2.output", "block2.ffn_out")):
            part.zero_()
    silent, without = (
        transformer.forward(silent_PN, inputs_PBT),
        transformer.forward(flat_PN, inputs_PBT, without=(3, 4)),
    )
    torch.testing.assert_close(without, silent)
    assert not torch.allclose(without, transformer.forward(flat_PN, inputs_PBT))
    recomputed = transformer.forward(flat_PN, inputs_PBT, recompute=True, without=(3, 4))
    torch.testing.assert_close(recomputed, without, rtol=0, atol=0)
    layers = transformer.activations(flat_PN, inputs_PBT, without=(3, 4))
    torch.testing.assert_close(layers.logits_PBUV, without)
    assert [layer.context.sublayer for layer in layers.sublayers] == [1, 2, 5, 6]


def kept(**changes: Any) -> Kept:
    """A member of whose three blocks the second alone does anything."""
    own = shapes.shape(depth=3, norm="pre", **changes)
    transformer = own.transformer()
    flat_1N = transformer.initial_values(torch.tensor([3]), torch.float32)
    weights = {
        name: part[0].numpy() * (0 if name.startswith(("block1.", "block3.")) else 1)
        for name, part in unpack(transformer.parameter_specs, flat_1N).items()
    }
    return Kept(shape=shape_to_json(own), weights=weights, steps=20)


def test_blocks_that_do_nothing_cost_nothing() -> None:
    member = kept()
    whole, first, second, third = accuracies_without(member)
    assert whole == first == third
    own = shapes.shape(depth=3, norm="pre")
    inputs_1BT, targets_1BU = held_out(own, torch.device("cpu"))
    flat_1N = torch.cat(
        [torch.from_numpy(part).reshape(1, -1) for part in member.weights.values()], 1
    )
    predicted = own.transformer().forward(flat_1N, inputs_1BT).argmax(-1)
    assert whole == float((predicted == targets_1BU).double().mean())
    assert second != whole


def test_accuracy_of_real_numbers_is_the_variance_that_is_explained() -> None:
    """A model whose outputs are all 0 explains none of it, whatever is left out."""
    own = shapes.shape(task=Regress(dimensions=2, points=4), depth=2, norm="pre")
    weights = {
        spec.name: np.zeros(spec.shape, np.float32) for spec in own.transformer().parameter_specs
    }
    targets = held_out(own, torch.device("cpu"))[1].double()
    explained = 1 - float(targets[~targets.isnan()].square().mean()) / own.task.blind_loss()
    member = Kept(shape=shape_to_json(own), weights=weights, steps=20)
    # Single precision of the squares' sum.
    assert accuracies_without(member) == pytest.approx([explained] * 3, abs=1e-5)


@pytest.mark.parametrize(
    ("accuracies", "needed"),
    [
        ([1.0, 0.5, 0.95, 0.89, 0.91], 3),
        ([1.0, 0.99, 0.95, 0.95, 0.91], 0),
        ([0.5, 0.5, 0.5, 0.5, 0.44], 4),
    ],
)
def test_a_block_is_needed_that_costs_a_tenth_of_the_accuracy(
    accuracies: list[float], needed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lesion, "accuracies_without", lambda kept: accuracies)
    assert last_needed(kept()) == needed


def test_the_slope_of_the_last_needed_block(
    made: WrittenStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The block 2 · log2 depth + the seed: two blocks more per doubling for every seed."""
    for depth in (2, 4, 8):
        own = shape(depth, Add(), "post", stop_when_solved=False)
        made.job(own, SEEDS, [100] * len(SEEDS))

    def last(self: Evidence, cell: Any) -> list[int]:
        noise = [0, 1, 0, 0, 1] if cell.key.depth == 8 else [0] * 5
        return [int(2 * np.log2(cell.key.depth)) + each for each in noise]

    monkeypatch.setattr(Evidence, "kept", last)
    monkeypatch.setattr(lesion, "last_needed", lambda block: block)
    measured = Lesion(arm="residual=add", on="model.depth").measure(Evidence(made.findings()))
    # The line through (1, 2), (2, 4), (3, 6 + noise) rises by 2 + noise / 2.
    assert measured.value == pytest.approx(2 + np.mean([0, 1, 0, 0, 1]) / 2)
    assert measured.numbers["last needed block"].tolist()[:5] == [2] * 5


@pytest.mark.parametrize(
    ("blocks", "is_open"),
    [
        ((2, 2), (False, False)),
        ((2, 4), (False, True)),
        ((4, 2), (True, False)),
        ((4, 4), (True, True)),
    ],
)
def test_a_member_that_needs_its_last_block_leaves_a_side_open(
    blocks: tuple[int, int],
    is_open: tuple[bool, bool],
    made: WrittenStudy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of four blocks the last, at either length: six seeds alike are an interval of their own."""
    seeds = [Member(seed=seed, lr=3e-3) for seed in range(6)]
    needed = {}
    for length, block in zip((4, 8), blocks, strict=True):
        own = shape(4, Add(), "post", task=Copy(length=length, symbols=16))
        needed[made.job(own, seeds, [100] * 6).id] = block
    monkeypatch.setattr(
        Evidence, "kept", lambda self, cell: [needed[job] for job in cell.arrays["job"][cell.rows]]
    )
    monkeypatch.setattr(lesion, "last_needed", lambda block: block)
    measured = Lesion(arm="residual=add", on="task.length").measure(Evidence(made.findings()))
    assert measured.value == pytest.approx(blocks[1] - blocks[0])
    assert (np.isinf(measured.low), np.isinf(measured.high)) == is_open
