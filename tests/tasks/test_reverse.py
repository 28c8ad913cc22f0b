import math

import torch

from resformer.tasks.reverse import Reverse


def test_the_sequence_its_docstring_draws() -> None:
    source = torch.tensor([[[3, 1, 4, 1]]])
    target = Reverse(length=4, symbols=9).target(source)
    assert target.tolist() == [[[1, 4, 1, 3]]]
    assert Reverse(length=4, symbols=9).inputs(source, target, "causal").tolist() == [
        [[3, 1, 4, 1, 9, 1, 4, 1]]
    ]


def test_blind_loss_is_that_of_a_fair_die() -> None:
    assert Reverse(length=4, symbols=6).blind_loss() == math.log(6)
