"""Muon: the matrices of blocks move along an orthogonal matrix, the rest by AdamW."""

from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.numerics.layout import Segment
from resformer.optimizers.base import Adaptive, Step

_A, _B, _C = 3.4445, -4.7750, 2.0315
_ITERATIONS = 5
_LEAST_NORM = 1e-7
_RMS = 0.2
"""RMS of a step in units of the learning rate, about that of AdamW."""


@final
@dataclass(frozen=True, kw_only=True)
class Muon(Adaptive):
    """Muon (Jordan et al. 2024) for the matrices of blocks, as `torch.optim.Muon` with
    adjust_lr_fn="match_rms_adamw": a matrix (m, n) moves by 0.2 · √max(m, n) times the learning
    rate (Liu et al. 2025, arXiv 2502.16982, eq. 4), so that one rate suits both optimisers. All
    else is moved by AdamW.

    Torch orthogonalises in bfloat16, this in the dtype of the parameters.
    """

    momentum: float

    state: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")
    """A matrix's momentum is its `exp_avg`; its `exp_avg_sq` stays 0."""

    def move(self, step: Step) -> None:
        """Move the matrices of one shape together, then the rest."""
        for shape, segments in step.layout.matrices.items():
            directions = [self._direction(step, segment).view(-1, *shape) for segment in segments]
            matrix_PXIO = orthogonal(torch.stack(directions, dim=1))
            size = _RMS * max(shape) ** 0.5
            for index, segment in enumerate(segments):
                flat_PN, factors = step.flat_PN[:, segment.columns], segment.factors
                lr_P1 = step.rate(factors).unsqueeze(1)
                if factors.weight_decay:
                    flat_PN.mul_(1.0 - lr_P1 * (self.weight_decay * factors.weight_decay))
                flat_PN.addcmul_(matrix_PXIO[:, index].flatten(1), lr_P1 * size, value=-1.0)
        self.move_adaptively(step, step.layout.others)

    def _direction(self, step: Step, segment: Segment) -> Tensor:
        """Nesterov's momentum of a matrix, (P, N of the matrix)."""
        grad_PN = step.grad_PN[:, segment.columns]
        momentum_PN = step.state["exp_avg"][:, segment.columns]
        momentum_PN.lerp_(grad_PN, 1.0 - self.momentum)
        return grad_PN.lerp(momentum_PN, self.momentum)


def orthogonal(matrix_PXIO: Tensor) -> Tensor:
    """Matrices of about the same singular vectors, and singular values near 1 (0.7 to 1.2), by five
    steps of a quintic Newton–Schulz iteration; X of them per member.
    """
    tall = matrix_PXIO.shape[-2] > matrix_PXIO.shape[-1]
    x = (matrix_PXIO.mT if tall else matrix_PXIO).flatten(0, 1)
    norm_M11 = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
    x = x / norm_M11.clamp(min=_LEAST_NORM)
    for _ in range(_ITERATIONS):
        gram = torch.bmm(x, x.mT)
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C), x, beta=_A)
    x = x.view(*matrix_PXIO.shape[:2], *x.shape[1:])
    return x.mT if tall else x
