"""Settings that cannot work together are refused at planning, those that hardly do are noted."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.commands import Resformer, check_refused, tree

from resformer import config
from resformer.config.workable import least_eps
from resformer.numerics.backends import compiled, eager
from resformer.numerics.backends.base import AdamWSettings, Backend


def largest_step(backend: Backend, gradients: list[float], eps: float, beta2: float) -> float:
    """Largest step of AdamW at learning rate 1 in float32, subnormal numbers flushed as in
    training, one parameter having these gradients one after the other.
    """
    torch.set_flush_denormal(True)
    settings = AdamWSettings(beta1=0.0, beta2=beta2, eps=eps, weight_decay=0.0)
    first_PN, second_PN = torch.zeros(1, 1), torch.zeros(1, 1)
    largest = 0.0
    for number, gradient in enumerate(gradients, 1):
        flat_PN = torch.zeros(1, 1)  # so that no round-off of weights counts
        grad_PN = torch.full((1, 1), gradient)
        backend.adamw(
            flat_PN, grad_PN, first_PN, second_PN, torch.ones(1), settings, torch.tensor(number)
        )
        largest = max(largest, abs(flat_PN.item()))
    return largest


@given(st.floats(-24, -15), st.sampled_from([0.0, 0.9, 0.98, 0.999]))
def test_no_gradient_makes_a_step_beyond_the_rate_at_the_least_eps(
    exponent: float, beta2: float
) -> None:
    """Without momentum the first step is lr · g / (|g| + eps) in exact arithmetic: under lr.

    Squares just over the smallest normal number keep all bits but for products that are rounded
    before they are flushed: 1 % is far above that.
    """
    for backend in (eager, compiled):
        step = largest_step(backend, [10.0**exponent], least_eps(beta2), beta2)
        assert step < 1.01


@pytest.mark.parametrize("beta2", [0.0, 0.9, 0.98, 0.999])
def test_under_the_least_eps_some_gradient_does(backend: Backend, beta2: float) -> None:
    eps = least_eps(beta2)
    assert largest_step(backend, [0.99 * eps], eps / 100, beta2) > 50


@pytest.mark.parametrize(
    ("settings", "least"),
    [
        (["optimizer.eps=1e-30"], "8e-19 with optimizer.beta2=0.98"),
        (["optimizer.eps=7e-19"], "8e-19"),
        (["optimizer.eps=1e-8", "optimizer.beta2=0.9999999999999999"], "2e-11"),
    ],
)
def test_an_eps_below_what_squares_can_hold_is_refused(
    resformer: Resformer, settings: list[str], least: str
) -> None:
    if settings[0] == "optimizer.eps=1e-8":
        config.request("new", settings)
        settings = ["optimizer.eps=1e-11", *settings[1:]]
    check_refused(resformer("train", *settings), f"{settings[0]}: must be at least {least}")


def test_the_eps_that_a_refusal_names_works() -> None:
    config.request("new", ["optimizer.eps=8e-19"])


@pytest.mark.parametrize(
    ("words", "setting"),
    [
        (["train.eval_every=100", "train.steps=100"], "train.eval_every=100"),
        (["train.eval_every=null", "train.steps=2"], "train.steps=2"),
    ],
)
def test_a_budget_without_two_evaluations_is_noted_where_all_train_to_its_end(
    words: list[str], setting: str
) -> None:
    every = ["train.warmup_steps=1", "train.compile=false", "train.stop_when_solved=false"]
    (note,) = config.request("new", [*every, *words]).notes
    assert note.startswith(f"{setting}: no member can be solved, their last losses count: ")


def test_a_clip_under_eps_is_noted() -> None:
    (note,) = config.request("new", ["train.clip=1e-12", "train.compile=false"]).notes
    assert note.startswith(
        "train.clip=1e-12: is under optimizer.eps=1e-08, so steps are at most 0.0001"
    )


def test_a_decay_that_makes_weights_grow_is_noted() -> None:
    words = ["optimizer.weight_decay=1000", "member.lr=1e-3,1e-2", "train.compile=false"]
    (note,) = config.request("new", words).notes
    assert "member.lr=0.01" in note
    assert "multiplies the weights by -9" in note
    assert config.request("new", ["optimizer.weight_decay=0.1", "train.compile=false"]).notes == []


@pytest.mark.parametrize("words", [["train"], ["sweep"], ["sweep", "--dry-run"]])
def test_what_no_machine_can_hold_is_refused_before_anything_runs(
    resformer: Resformer, tmp_path: Path, words: list[str]
) -> None:
    refused = resformer(*words, "model.depth=1024", "model.width=4096")
    check_refused(refused, "model.depth=1024, model.width=4096, train.batch=32: 1 member")
    assert tree(tmp_path) == {}


def test_the_least_eps_is_the_largest_gradient_whose_square_vanishes() -> None:
    assert least_eps(0.0) == pytest.approx(math.sqrt(torch.finfo(torch.float32).tiny))
