"""Interface of a numeric backend. Shapes as in `model`; the weights of a linear layer are (P, in,
out) and (P, out).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, final

from torch import Tensor


@final
@dataclass(frozen=True, kw_only=True)
class AttentionSettings:
    """Settings of multi-head attention."""

    tokens: int
    """T."""
    heads: int
    """H."""
    causal: bool
    """True if a token attends to itself and earlier ones only."""


@final
@dataclass(frozen=True, kw_only=True)
class AdamWSettings:
    """Settings of AdamW, which all members share."""

    clip: float
    """Largest gradient norm of a member."""
    beta1: float
    beta2: float
    eps: float
    weight_decay: float


class Backend(Protocol):
    """Operations of the sub-layers and the optimiser, as the modules `eager` and `compiled` have
    them. Nothing is ever reduced over P.
    """

    def attend(
        self, x_PRD: Tensor, weights: Sequence[Tensor], settings: AttentionSettings
    ) -> Tensor:
        """Multi-head attention; weights: matrix and bias of query, key, value and output.

        A key's bias adds the same to all scores of a query, so that no output depends on it: its
        gradient is round-off, which AdamW turns into a walk by steps of the learning rate's size.
        """

    def ffn(self, x_PRD: Tensor, weights: Sequence[Tensor], activation: str) -> Tensor:
        """FFN; weights: matrix and bias of its first and its second linear layer."""

    def norm(self, x_PRD: Tensor, gain_PD: Tensor, bias_PD: Tensor) -> Tensor:
        """Layer norm over D (Ba et al. 2016, arXiv 1607.06450), each member with its own gain and
        bias.

        Badly conditioned for D = 2, as attention is for scores of 1e4: float32 gradients lose up to
        four digits there, torch's own as well.
        """

    def update(
        self,
        flat_PN: Tensor,
        grad_PN: Tensor,
        exp_avg_PN: Tensor,
        exp_avg_sq_PN: Tensor,
        lr_P: Tensor,
        settings: AdamWSettings,
        number: Tensor,
    ) -> Tensor:
        """Clip each member's gradient and move it, in place; returns the norms before clipping,
        (P,). The gradient may be overwritten. `number` is the step's, from 1: an integer tensor on
        the device, so that a captured step can count.

        Clipping as `torch.nn.utils.clip_grad_norm_` (Pascanu et al. 2013, arXiv 1211.5063,
        algorithm 1), the step as `torch.optim.AdamW` (Loshchilov & Hutter 2019, arXiv 1711.05101,
        algorithm 2), row by row.
        """
