"""Lion against the algorithm of its paper."""

import pytest
import torch
from support.descents import LR, descended, drawn

from resformer.optimizers.lion import Lion


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_it_is_the_papers_algorithm(weight_decay: float) -> None:
    flat_PN, gradients = drawn(torch.float64)
    for member, lr in enumerate(LR):
        momentum_N = torch.zeros_like(flat_PN[member])
        for grad_PN in gradients:
            direction_N = torch.sign(0.9 * momentum_N + 0.1 * grad_PN[member])
            flat_PN[member] -= lr * (direction_N + weight_decay * flat_PN[member])
            momentum_N = 0.99 * momentum_N + 0.01 * grad_PN[member]
    ours = descended(Lion(beta1=0.9, beta2=0.99, weight_decay=weight_decay), decay_all=True)
    torch.testing.assert_close(ours, flat_PN, rtol=1e-10, atol=1e-10)


def test_every_number_moves_by_the_learning_rate() -> None:
    before, gradients = drawn(torch.float64)
    after = descended(Lion(beta1=0.9, beta2=0.99, weight_decay=0.0))
    most = len(gradients) * torch.tensor(LR).unsqueeze(1)
    assert ((after - before).abs() <= most * (1 + 1e-9)).all()
