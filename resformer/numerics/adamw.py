"""AdamW with gradient clipping for a population: every row of `flat_PN` on its own."""

from dataclasses import dataclass
from typing import final

from torch import Tensor

from resformer.numerics.backends.base import AdamWSettings, Backend


@final
@dataclass(kw_only=True)
class AdamW:
    """AdamW with a learning rate per member, and the moments of each.

    The arithmetic of `torch.optim.AdamW` after `torch.nn.utils.clip_grad_norm_`. The members of a
    job start together, so they share one count of steps.
    """

    backend: Backend
    settings: AdamWSettings
    exp_avg_PN: Tensor
    exp_avg_sq_PN: Tensor

    def step(self, flat_PN: Tensor, grad_PN: Tensor, lr_P: Tensor, number: Tensor) -> Tensor:
        """Move each member, in place, by its own learning rate; see `Backend.update`."""
        return self.backend.update(
            flat_PN, grad_PN, self.exp_avg_PN, self.exp_avg_sq_PN, lr_P, self.settings, number
        )

    def keep(self, rows: Tensor) -> None:
        """Drop the members whose row numbers are not among `rows`."""
        self.exp_avg_PN, self.exp_avg_sq_PN = self.exp_avg_PN[rows], self.exp_avg_sq_PN[rows]
