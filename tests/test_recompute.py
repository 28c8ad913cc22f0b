"""Activations that the backward pass computes again (`train.recompute`): same bits, less memory."""

from typing import Any

import pytest
import torch
from support import shapes
from support.naive_model import shape_of
from support.schemes import name_of, scheme, schemes

from resformer import config
from resformer.errors import UserError
from resformer.model.shape import Member, Shape
from resformer.plan.batching import bytes_per_member, kept_bytes
from resformer.residuals.base import Residual
from resformer.training.population import Population

MEMBERS = [Member(seed=0, lr=1e-2), Member(seed=1, lr=1e-3)]


def after_two_steps(shape: Shape, **options: Any) -> torch.Tensor:
    """Weights of the members in float32."""
    population = Population(shape, MEMBERS, dtype=torch.float32, **options)
    for _ in range(2):
        population.advance()
    return population.flat_PN


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_every_scheme_trains_to_the_same_bits(residual: Residual[Any]) -> None:
    """With dropout, and whatever the scheme draws; a step moves every weight by its gradient."""
    shape = shapes.changed(shape_of(residual, depth=2), dropout=0.2)
    kept, again = after_two_steps(shape), after_two_steps(shape, recompute=True)
    assert torch.equal(kept, again)


@pytest.mark.parametrize("options", [{"chunk_size": 1}, {}], ids=["one by one", "together"])
def test_bf16_trains_to_the_same_bits(options: dict[str, Any]) -> None:
    shape = shapes.shape(precision="bf16")
    assert torch.equal(after_two_steps(shape, **options), after_two_steps(shape, recompute=True))


@pytest.mark.usefixtures("kernels")
def test_kernels_train_to_the_same_bits() -> None:
    """By sub-layers; of whole steps they keep little in any case."""
    shape = shapes.shape(residual=scheme("highway"), compile=True)
    assert torch.equal(after_two_steps(shape), after_two_steps(shape, recompute=True))


@pytest.mark.parametrize(("name", "streams"), [("add", 1), ("residual_dual", 2), ("hyper", 4)])
def test_a_block_more_keeps_its_streams_only(name: str, streams: int) -> None:
    """Beside its weights: of R rows and width D each stream before it, 4·R·D bytes."""
    shallow, deep = (shape_of(scheme(name), depth=depth) for depth in (2, 3))
    models = [shape.transformer() for shape in (shallow, deep)]
    weights = 4 * (models[1].num_parameters - models[0].num_parameters)
    stream = 4 * 8 * models[0].tokens * models[0].settings.width
    kept = [kept_bytes(shape, 8, recompute=True) for shape in (shallow, deep)]
    assert kept[1] - kept[0] - weights == pytest.approx(streams * stream, rel=0.05)
    assert bytes_per_member(deep, recompute=True) < bytes_per_member(deep)


def test_it_is_a_setting_of_the_launch_and_of_no_job() -> None:
    plain, again = (
        config.request("some", ["train.compile=false", word])
        for word in ("train.recompute=false", "train.recompute=true")
    )
    assert [plain.recompute, again.recompute] == [False, True]
    assert [job.id for job in plain.jobs()] == [job.id for job in again.jobs()]
    with pytest.raises(UserError, match=r"train\.recompute: one sweep runs in one way"):
        config.request("some", ["train.recompute=true,false"])
    with pytest.raises(UserError, match=r"train\.recompute=1: must be true or false"):
        config.request("some", ["train.recompute=1"])


@pytest.mark.usefixtures("kernels")
def test_it_is_noted_where_kernels_take_whole_steps() -> None:
    words = ["device=cpu", "train.recompute=true"]
    (note,) = config.request("some", [*words, "train.compile=true"]).notes
    assert note.startswith("train.recompute: has no effect where kernels take whole steps")
    assert config.request("some", [*words, "train.compile=false"]).notes == []
