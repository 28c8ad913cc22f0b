"""Value-identity: no skip around attention, whose values and outputs start as the identity."""

from dataclasses import dataclass
from typing import final

from resformer.residuals.base import SkiplessAttention


@final
@dataclass(frozen=True, kw_only=True)
class ValueIdentity(SkiplessAttention):
    """Attention without skip, x' = Attn(N(x)), its pattern as it is; the FFN keeps one, x' = x +
    b·FFN(N(x)).

    The control of `shaped` and `value_skipinit` (He et al. 2023, arXiv 2302.10322): their FFN and
    their matrices' start without their patterns. Initial values: value and output matrices the
    identity, b = `ffn_gain_at_18_blocks`·√(18 / L). Learned: b per block. Norm: pre.
    """
