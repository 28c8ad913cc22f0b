"""AdamW and gradient clipping for a population: every row of `flat_PN` on its own."""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


def clip(grad_PN: Tensor, most: float) -> Tensor:
    """Scale, in place, each member's gradient to a norm of at most `most`; returns the norms before, (P,).

    The rule of `torch.nn.utils.clip_grad_norm_` (Pascanu et al. 2013, arXiv 1211.5063, algorithm 1), row by row.
    """
    norm_P: Tensor = torch.linalg.vector_norm(grad_PN, dim=1)
    grad_PN.mul_((most / (norm_P + 1e-6)).clamp_(max=1.0).unsqueeze(1))
    return norm_P


@final
@dataclass
class AdamW:
    """AdamW (Loshchilov & Hutter 2019, arXiv 1711.05101, algorithm 2) with a learning rate per member.

    The arithmetic of `torch.optim.AdamW`. The members of a job start together, so they share one step count.
    """

    beta1: float
    beta2: float
    eps: float
    weight_decay: float
    mean_PN: Tensor
    square_PN: Tensor
    steps: int = 0

    def step(self, flat_PN: Tensor, grad_PN: Tensor, lr_P: Tensor) -> None:
        """Move each member, in place, by its own learning rate."""
        self.steps += 1
        lr_P1 = lr_P.unsqueeze(1)
        if self.weight_decay:
            flat_PN.mul_(1.0 - lr_P1 * self.weight_decay)
        self.mean_PN.lerp_(grad_PN, 1.0 - self.beta1)
        self.square_PN.mul_(self.beta2).addcmul_(grad_PN, grad_PN, value=1.0 - self.beta2)
        scale_PN = self.square_PN.sqrt().div_((1.0 - self.beta2**self.steps) ** 0.5).add_(self.eps)
        flat_PN.addcdiv_(self.mean_PN * (lr_P1 / (1.0 - self.beta1**self.steps)), scale_PN, value=-1.0)

    def keep(self, rows: Tensor) -> None:
        """Drop the members whose row numbers are not among `rows`."""
        self.mean_PN, self.square_PN = self.mean_PN[rows], self.square_PN[rows]


def adamw(flat_PN: Tensor, beta1: float, beta2: float, eps: float, weight_decay: float) -> AdamW:
    """A fresh optimiser for these members."""
    return AdamW(beta1, beta2, eps, weight_decay, torch.zeros_like(flat_PN), torch.zeros_like(flat_PN))
