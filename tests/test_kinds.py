"""The population's contract over kinds of tasks: what is read, and where the targets are."""

import numpy as np
import pandas as pd
import pytest
import torch
from support import shapes

from resformer.model.objective import draw_batch, loss
from resformer.model.shape import Member, Shape
from resformer.numerics import rng
from resformer.plan.batching import bytes_per_member
from resformer.probes.measure import measure_initial
from resformer.tasks.base import Task
from resformer.tasks.bytes import Bytes
from resformer.tasks.compress import Compress
from resformer.tasks.modular import Modular
from resformer.tasks.regress import Regress
from resformer.training.loop import Training

TASKS: dict[str, Task] = {
    "bytes": Bytes(file=None, length=6, sha256=None).resolved(),
    "compress": Compress(length=4, symbols=7),
    "modular": Modular(modulus=7, examples=20),
    "regress": Regress(dimensions=2, points=4),
}
STILL, BROKEN = Member(seed=0, lr=0.0), Member(seed=3, lr=1e30)
MEMBERS = [Member(seed=1, lr=1e-3), BROKEN, STILL, Member(seed=7, lr=1e-2)]


@pytest.fixture(params=TASKS)
def shape(request: pytest.FixtureRequest) -> Shape:
    return shapes.shape(task=TASKS[request.param], batch=7, width=15, heads=3, steps=10)


def trained(shape: Shape, members: list[Member], chunk: int | None = None) -> dict[Member, object]:
    """Losses, gradient norms and evaluations of every step by member."""
    table = pd.DataFrame(Training(shape, members, chunk_size=chunk).run().curves)
    return {
        member: table[(table["seed"] == member.seed) & (table["lr"] == member.lr)].to_numpy()
        for member in members
    }


@pytest.mark.parametrize("by_kernels", [False, True], ids=["eager", "compiled"])
def test_members_do_not_see_each_other(
    shape: Shape, by_kernels: bool, request: pytest.FixtureRequest
) -> None:
    if by_kernels:
        request.getfixturevalue("kernels")
    shape = shapes.changed(shape, compile=by_kernels)
    together = trained(shape, MEMBERS)
    shuffled = trained(shape, MEMBERS[::-1], chunk=2)
    for member in MEMBERS:
        assert np.array_equal(shuffled[member], together[member], equal_nan=True)
    for member in (MEMBERS[0], MEMBERS[3]):
        alone = trained(shape, [member])[member]
        assert np.array_equal(alone, together[member], equal_nan=True)
        assert np.isfinite(together[member][1:, 3]).all()
    assert pd.DataFrame(together[STILL])[5].dropna().nunique() == 1


def test_kernels_and_torch_agree(shape: Shape, kernels: None) -> None:
    member = MEMBERS[3]
    eager, compiled = (
        trained(shapes.changed(shape, compile=by_kernels), [member])[member]
        for by_kernels in (False, True)
    )
    # Ten steps in float32, whose rounding at the end is that of a loss around 10.
    np.testing.assert_allclose(eager, compiled, rtol=1e-3, atol=1e-4)


def test_nan_in_a_member_leaves_the_others_as_they_are(shape: Shape) -> None:
    model = shape.transformer()
    flat_PN = model.initial_values(torch.arange(3), torch.float32)
    broken_PN = flat_PN.clone()
    broken_PN[1, ::7] = torch.nan
    inputs, targets = draw_batch(shape, rng.key(torch.arange(3), "test"), 4)
    losses, gradients = [], []
    for weights_PN in (flat_PN.requires_grad_(), broken_PN.requires_grad_()):
        losses.append(loss(model.forward(weights_PN, inputs), targets))
        gradients += torch.autograd.grad(losses[-1].sum(), weights_PN)
    assert torch.isnan(losses[1]).tolist() == [False, True, False]
    assert torch.equal(gradients[0][[0, 2]], gradients[1][[0, 2]])


def test_data_depend_on_seed_and_step_only(shape: Shape) -> None:
    together = draw_batch(shape, rng.key(torch.tensor([3, 8, 5]), "batch", 4), 6)
    alone = draw_batch(shape, rng.key(torch.tensor([8]), "batch", 4), 6)
    for many, one in zip(together, alone, strict=True):
        torch.testing.assert_close(many[1:2], one, rtol=0, atol=0, equal_nan=True)


def test_real_numbers_reach_what_may_attend_to_them() -> None:
    """The gradient of an output at t is exactly zero to inputs after t, and to no others."""
    model = shapes.shape(task=TASKS["regress"]).transformer()
    flat_1N = model.initial_values(torch.tensor([1]), torch.float64)
    inputs_1BTX, _ = draw_batch(shapes.shape(task=TASKS["regress"]), torch.tensor([1]), 1)
    inputs_1BTX = inputs_1BTX.double().requires_grad_()
    outputs_T = model.forward(flat_1N, inputs_1BTX).flatten()
    reached_TT = torch.stack(
        [
            torch.autograd.grad(output, inputs_1BTX, retain_graph=True)[0][0, 0].any(-1)
            for output in outputs_T
        ]
    )
    assert torch.equal(reached_TT, torch.ones_like(reached_TT).tril())


def test_real_numbers_are_embedded_by_a_linear_map() -> None:
    """As symbols are by their vectors: a token with a single 1 is the row of its place."""
    model = shapes.shape(task=TASKS["regress"], position="none").transformer()
    flat_PN = model.initial_values(torch.tensor([1, 2]), torch.float64)
    columns = [spec.size for spec in model.parameter_specs]
    names = [spec.name for spec in model.parameter_specs]
    rows = flat_PN.split(columns, dim=1)[names.index("embedding.token")].view(2, 3, -1)
    unit = torch.eye(3).expand(2, 1, 3, 3)
    tokens = torch.cat([unit, 2 * unit[:, :, :2] - unit[:, :, 1:]], dim=2)
    parameters = {"embedding.token": rows}
    embedded = model._embedded(parameters, tokens)[:, 0]
    expected = [rows, 2 * rows[:, :2] - rows[:, 1:]]
    torch.testing.assert_close(embedded, torch.cat(expected, dim=1))


def test_memory_and_layers_are_measured(shape: Shape) -> None:
    assert bytes_per_member(shape) > 4 * shape.transformer().num_parameters
    columns = measure_initial(shape, [0, 1])
    assert np.isfinite(columns["rms"]).all()
