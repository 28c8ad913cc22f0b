"""The path of a GPU as far as it goes without one: no number of a step is read back, and a capture
leaves no trace.
"""

import contextlib
import dataclasses
import math
import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import launches, shapes
from support.optimizers import optimizer
from support.schemes import name_of, schemes
from torch import Tensor

from resformer.engines import local
from resformer.engines.ray import Ray
from resformer.errors import UserError
from resformer.model.shape import Member, Shape
from resformer.numerics import process
from resformer.numerics.cuda_graph import CudaGraphedStep
from resformer.plan import batching
from resformer.plan.jobs import Job
from resformer.residuals.base import Residual
from resformer.sweep.estimate import seconds_at_most
from resformer.tasks.sort import Sort
from resformer.training import loop, population
from resformer.training.loop import Training
from resformer.training.population import Population

MEMBERS = [Member(seed=seed, lr=1e-3) for seed in range(3)]


@pytest.mark.fuzz
@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_a_step_reads_nothing_back_and_needs_nothing_from_the_host(
    shape: Shape, residual: Residual[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tensors on `meta` have no values: reading one is an error, and so is mixing them with tensors
    of the CPU.
    """
    monkeypatch.setattr(population, "_MOST_DRAWN", 2)
    model = dataclasses.replace(shape.model, norm=residual.own_norm)
    shape = dataclasses.replace(shape, device="meta", model=model, residual=residual)
    members = Population(shape, MEMBERS, dtype=torch.float32)
    for _ in range(members.drawn_steps + 1):  # the last of them draws sequences anew
        members.advance()
    members.keep([0, 2])
    members.advance()
    assert members.flat_PN.shape[0] == 2
    with pytest.raises(NotImplementedError):
        members.recorded(0)


@pytest.fixture
def captured(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand-ins for CUDA's streams and graphs; what was asked of them, in order."""
    calls: list[str] = []

    class Graph:
        def replay(self) -> None:
            calls.append("replay")

    @contextlib.contextmanager
    def capture(graph: Graph) -> Iterator[None]:
        calls.append("capture")
        yield

    stream = SimpleNamespace(wait_stream=lambda other: None)
    stand_ins: dict[str, Any] = {
        "Stream": lambda: stream,
        "current_stream": lambda: stream,
        "stream": lambda side: contextlib.nullcontext(),
        "CUDAGraph": Graph,
        "graph": capture,
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(torch.cuda, name, stand_in)
    return calls


def test_a_capture_leaves_the_tensors_of_its_warm_up_unchanged(captured: list[str]) -> None:
    weights, runs = torch.ones(3), []

    def body() -> None:
        runs.append(len(captured))
        weights.mul_(2.0)

    replay = CudaGraphedStep(body, [weights])
    assert runs == [0, 0, 0, 1]
    assert torch.equal(weights, torch.ones(3))
    replay()
    assert captured == ["capture", "replay"]


def test_on_a_gpu_members_leave_in_buckets(shape: Shape) -> None:
    """Capturing anew costs more than a few rows that train on for nobody."""
    population = Population(shape, MEMBERS, dtype=torch.float32)
    assert [population.worth_keeping(rows) for rows in (16, 3, 1)] == [15, 2, 0]
    population.device = torch.device("cuda")
    assert [population.worth_keeping(rows) for rows in (16, 3, 1)] == [8, 1, 0]


@pytest.mark.fuzz
@given(leaving=st.lists(st.integers(1, 30), min_size=1, max_size=200))
@settings(max_examples=100, deadline=None)
def test_a_job_of_p_members_is_captured_at_most_log_p_times(leaving: list[int]) -> None:
    """In whatever order they leave: members are drawn with the evaluation that finds them broken.

    Each capture but the first leaves half of the rows at most, so that there are at most log2 P
    more; and at most half of the rows are those of members that have left.
    """
    members = [Member(seed=seed, lr=1e-3) for seed in range(len(leaving))]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Population", _Rows)
        training = Training(shapes.shape(steps=30, eval_every=1), members)
    rows, alive = training.population, []
    rows.leaving = leaving
    training.run(heartbeat=lambda training: alive.append(len(training.alive)))
    assert rows.captures <= 1 + math.floor(math.log2(len(members)))
    assert all(computed < 2 * left for computed, left in zip(rows.computed, alive, strict=True))
    assert [record.diverged_step for record in training.records] == leaving


class _Rows:
    """Rows of members on a GPU that captures and computes nothing but counts."""

    worth_keeping = Population.worth_keeping
    device, chunk_size, model = torch.device("cuda"), None, None

    def __init__(self, shape: Shape, members: list[Member], **_: object) -> None:
        self.seeds = [member.seed for member in members]
        self.captures, self.steps = 1, 0
        self.leaving: list[int] = []
        """Step at which each member, by its seed, is found broken."""
        self.computed: list[int] = []
        """Rows of each step."""

    def keep(self, rows: list[int]) -> None:
        self.captures += 1
        self.seeds = [self.seeds[row] for row in rows]

    def advance(self) -> None:
        self.computed.append(len(self.seeds))
        self.steps += 1

    def recorded(self, since: int) -> np.ndarray:
        return np.zeros((2, self.steps - since, len(self.seeds)))

    def evaluate(self) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros(len(self.seeds)), np.zeros(len(self.seeds))

    def finite(self) -> np.ndarray:
        return np.array([self.steps < self.leaving[seed] for seed in self.seeds])


def test_members_that_stay_as_passengers_change_nothing(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaving = [Member(seed=seed, lr=1e30) for seed in (3, 4)]
    members = [MEMBERS[0], leaving[0], MEMBERS[1], MEMBERS[2], leaving[1]]
    at_once = Training(shape, members).run()
    monkeypatch.setattr(Population, "worth_keeping", lambda self, rows: rows // 2)
    in_buckets = Training(shape, members).run()
    pd.testing.assert_frame_equal(
        pd.DataFrame(in_buckets.runs), pd.DataFrame(at_once.runs), check_exact=True
    )
    pd.testing.assert_frame_equal(
        pd.DataFrame(in_buckets.curves), pd.DataFrame(at_once.curves), check_exact=True
    )


MODERN = {
    "norm": "sandwich",
    "norm_kind": "rms",
    "qk_norm": True,
    "bias": False,
    "position": "rope",
    "rope_base": 100.0,
    "activation": "swiglu",
    "dropout": 0.1,
    "optimizer": optimizer("muon"),
}


@pytest.mark.parametrize("depth", [1, 6])
@pytest.mark.parametrize(("width", "tokens"), [(32, 8), (64, 32)])
@pytest.mark.parametrize("block", [{}, MODERN], ids=["classic", "modern"])
def test_the_memory_of_a_member_is_estimated_on_the_safe_side(
    depth: int, width: int, tokens: int, block: dict[str, Any]
) -> None:
    """Against what the backward pass of torch's operations really keeps, in a step and in an
    evaluation, and the tensors of the weights.
    """
    shape = shapes.shape(
        task=Sort(length=tokens, symbols=16),
        depth=depth,
        width=width,
        heads=4,
        hidden=4 * width,
        attention="bidirectional",
        batch=32,
        **block,
    )
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    population = Population(shape, MEMBERS, dtype=torch.float32)
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        population.advance()
    step = sum(kept.values())
    kept.clear()
    if depth == 1:  # what a block keeps is at least what its evaluation holds at a time
        inputs_PBT = population.held_out[0].expand(len(MEMBERS), -1, -1)
        flat_PN = population.flat_PN.detach().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            shape.transformer().forward(flat_PN, inputs_PBT).sum().backward()
    evaluation = sum(kept.values())
    needed = (max(step, evaluation) + 3 * population.flat_PN.nbytes) / len(MEMBERS)
    assert needed < batching.bytes_per_member(shape) < 4 * needed


def test_a_gpus_stack_is_what_fits(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    on_gpu = dataclasses.replace(shape, device="cuda")
    per_member = batching.bytes_per_member(shape)
    with pytest.raises(UserError, match="no GPU to size a stack by"):
        batching.members_per_job(on_gpu, 1)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for memory, expected in ((100 * per_member, 80), (per_member, 1), (10**6 * per_member, 1024)):
        properties = SimpleNamespace(total_memory=memory)
        monkeypatch.setattr(
            torch.cuda, "get_device_properties", lambda device, capability=properties: capability
        )
        assert batching.members_per_job(on_gpu, 1) == expected
        assert batching.members_per_job(on_gpu, 4) in (max(1, expected // 4), 1024)
    assert batching.members_per_job(shape, 1) == 16
    large = dataclasses.replace(shape.model, width=1024, heads=8, hidden=4096, depth=12)
    assert batching.members_per_job(dataclasses.replace(shape, model=large), 1) == 1


def test_workers_that_share_a_gpu_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [launches.local(workers=workers).sharers() for workers in (None, 3)] == [1, 3]
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [launches.local(workers=workers).sharers() for workers in (None, 2, 3)] == [1, 1, 2]
    assert launches.local(workers=None).count(["job"] * 3, "cuda") == 2
    parts = [
        Ray(**vars(launches.local(workers=8)), address="auto", cpus=1.0, gpus=gpus).sharers()
        for gpus in (0.0, 0.25, 0.3, 1.0)
    ]
    assert parts == [1, 4, 3, 1]


def test_a_sweep_with_one_shape_on_a_gpu_has_workers_for_a_gpu(shape: Shape) -> None:
    on_gpu = dataclasses.replace(shape, device="cuda")
    for group, device in (([shape], "cpu"), ([shape, on_gpu], "cuda"), ([on_gpu], "cuda")):
        assert launches.requested(group).device == device


def test_the_time_of_a_gpu_that_is_elsewhere_is_not_measured(
    shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    job = Job(shape=dataclasses.replace(shape, device="cuda"), members=(Member(seed=0, lr=1e-3),))
    with pytest.raises(RuntimeError, match="there is no GPU here"):
        seconds_at_most({job.id: job.to_json()}, 1)


@pytest.mark.parametrize(
    ("there", "seen", "then"),
    [
        (0, None, None),
        (1, "3", "3"),
        (4, None, "1"),
        (2, "5,7", "7"),
        (3, "GPU-a,GPU-b,GPU-c", "GPU-c"),
    ],
)
def test_each_worker_takes_the_next_gpu(
    there: int, seen: str | None, then: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: there)
    monkeypatch.setenv(
        "CUDA_VISIBLE_DEVICES", seen or ""
    )  # first, so that what the worker sets there is undone
    if seen is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    local.select_gpu(5)
    assert os.environ.get("CUDA_VISIBLE_DEVICES") == then


@pytest.mark.parametrize(
    "text",
    [
        "CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    ],
)
def test_every_message_of_an_exhausted_gpu_memory_is_known(text: str) -> None:
    assert process.out_of_memory(RuntimeError(text))
    assert process.out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not process.out_of_memory(
        RuntimeError("CUDA error: an illegal memory access was encountered")
    )


def test_bf16_products_are_close_to_fp32s_and_the_rest_is_float32(shape: Shape) -> None:
    train_fp32 = dataclasses.replace(shape.train, steps=5)
    exact, rough = (
        Training(
            dataclasses.replace(shape, train=dataclasses.replace(train_fp32, precision=precision)),
            MEMBERS,
        ).run()
        for precision in ("fp32", "bf16")
    )
    losses = [outcome.curves["held_out_loss"][[0, 5]] for outcome in (exact, rough)]
    # bfloat16 has 8 bits: 0.4 % a rounding, some of them one after the other.
    assert 0 < abs(losses[0] - losses[1]).max() < 0.05 * losses[0].max()
