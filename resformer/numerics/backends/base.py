"""Interface of a numeric backend, and its settings. Shapes as in `model`; the matrix of a linear
layer is (P, in, out), its bias (P, out).
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, final

from torch import Tensor

GATED = ("swiglu", "geglu")
"""Activations of FFNs that have a gate."""


class Linear(NamedTuple):
    """Weights of a linear layer."""

    matrix_PDE: Tensor
    bias_PE: Tensor | None = None


class NormWeights(NamedTuple):
    """Weights of a norm."""

    gain_PD: Tensor
    bias_PD: Tensor | None = None
    slope_P1: Tensor | None = None
    """Factor inside the function of an element-wise kind."""
    shift_P1: Tensor | None = None
    """Summand inside the function of `derf`."""


class AttentionWeights(NamedTuple):
    """Weights of multi-head attention."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    query_gain_PK: Tensor | None = None
    """Gain of the norm of each head's queries, K entries that the heads share; None: no norm."""
    key_gain_PK: Tensor | None = None


class FfnWeights(NamedTuple):
    """Weights of an FFN."""

    ffn_in: Linear
    ffn_out: Linear
    gate: Linear | None = None
    """Layer whose activation multiplies the output of `ffn_in`; None: that is activated itself."""


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
    scale: float
    """Factor of the products of queries and keys: 1/√K (Vaswani et al. 2017, arXiv 1706.03762, eq.
    1), but in a parametrisation that says otherwise.
    """
    rotary_base: float | None = None
    """Base of rotary position embeddings; None: there are none."""


@final
@dataclass(frozen=True, kw_only=True)
class AdamWSettings:
    """Settings of AdamW, which all members share."""

    beta1: float
    beta2: float
    eps: float
    weight_decay: float


class Backend(Protocol):
    """Operations of the sub-layers and the optimiser, as the modules `eager` and `compiled` have
    them. Nothing is ever reduced over P.
    """

    def attend(
        self, x_PRD: Tensor, weights: AttentionWeights, settings: AttentionSettings
    ) -> Tensor:
        """Multi-head attention.

        A key's bias adds the same to all scores of a query, so that no output depends on it: its
        gradient is round-off, which AdamW turns into a walk by steps of the learning rate's size.
        """

    def ffn(self, x_PRD: Tensor, weights: FfnWeights, activation: str) -> Tensor:
        """FFN."""

    def norm(self, x_PRD: Tensor, weights: NormWeights, kind: str) -> Tensor:
        """Norm of a kind over D, each member with its own weights.

        Layer norm is badly conditioned for D = 2, as attention is for scores of 1e4: float32
        gradients lose up to four digits there, torch's own as well.
        """

    def clip(self, grad_PN: Tensor, most: float | None) -> Tensor:
        """Scale each member's gradient, in place, to a norm of at most `most` (Pascanu et al. 2013,
        arXiv 1211.5063, algorithm 1, as `torch.nn.utils.clip_grad_norm_`); None: leave it. Returns
        the norms before, (P,).
        """

    def adamw(
        self,
        flat_PN: Tensor,
        grad_PN: Tensor,
        exp_avg_PN: Tensor,
        exp_avg_sq_PN: Tensor,
        lr_P: Tensor,
        settings: AdamWSettings,
        number: Tensor,
    ) -> None:
        """Move each member, in place, as `torch.optim.AdamW` (Loshchilov & Hutter 2019, arXiv
        1711.05101, algorithm 2), row by row.

        `number` is the step's, from 1: an integer tensor on the device, so that a captured step can
        count. The tensors may be some of the columns of larger ones.
        """
