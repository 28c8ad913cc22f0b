import math

import torch

from resformer.numerics import rng
from resformer.tasks.copy import Copy


def test_target_is_the_source() -> None:
    task = Copy(length=4, symbols=5)
    source, target = task.draw(rng.key(torch.tensor([1, 2]), "test"), 10)
    assert source.shape == target.shape == (2, 10, 4)
    assert torch.equal(source, target)


def test_the_sequence_its_docstring_draws() -> None:
    source = torch.tensor([[[3, 1, 4, 1]]])
    inputs = Copy(length=4, symbols=9).inputs(source, source, "causal")
    assert inputs.tolist() == [[[3, 1, 4, 1, 9, 3, 1, 4]]]
    assert Copy(length=4, symbols=9).num_tokens("causal") == 8


def test_blind_loss_is_that_of_a_fair_die() -> None:
    assert Copy(length=4, symbols=6).blind_loss() == math.log(6)
