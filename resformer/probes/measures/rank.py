"""Rank of a sequence's stream: how far its tokens differ, and in how many directions."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor

from resformer.probes.measures.base import Measure, Trace


@final
class Rank(Measure):
    """Relative residual and effective rank of a sequence's stream X (T, D), averaged over
    sequences.

    Relative residual: |X - 1·xᵀ| / |X|, x the mean token, |A| = √(|A|₁·|A|_∞), the geometric mean
    of the largest column and row sums of absolute values (Dong et al. 2021, "Attention is not all
    you need", arXiv 2103.03404, section 2; there x is the minimiser, of which the mean is a good
    stand-in): 0 where all tokens are the same. Effective rank: exp of the entropy of the singular
    values divided by their sum (Roy & Vetterli 2007, "The effective rank", eq. 4): 1 to min(T, D).
    """

    columns: ClassVar[Mapping[str, str]] = {
        "relative_residual": "distance to rank one (relative residual)",
        "effective_rank": "effective rank",
    }

    def compute(self, trace: Trace) -> dict[str, Tensor]:
        """Values in every layer."""
        residuals, ranks = [], []
        for layer in range(len(trace.streams)):
            x_PBTD = trace.by_sequence(layer)
            apart, whole = _size(x_PBTD - x_PBTD.mean(2, keepdim=True)), _size(x_PBTD)
            residuals.append(torch.where(whole == 0, 0.0, apart / whole).mean(1))
            ranks.append(_effective(x_PBTD).mean(1))
        return {"relative_residual": torch.stack(residuals), "effective_rank": torch.stack(ranks)}


def _size(x: Tensor) -> Tensor:
    """Norm √(|x|₁·|x|_∞) of the last two axes."""
    absolute = x.abs()
    return (absolute.sum(-2).amax(-1) * absolute.sum(-1).amax(-1)).sqrt()


def _effective(x: Tensor) -> Tensor:
    """Effective rank of the last two axes; NaN for matrices that are zero or not finite."""
    finite = x.isfinite().all(-1, keepdim=True).all(-2, keepdim=True)
    values = torch.linalg.svdvals(torch.where(finite, x, torch.zeros_like(x)))
    shares = values / values.sum(-1, keepdim=True)
    entropy: Tensor = torch.special.entr(shares).sum(-1)
    return entropy.exp()
