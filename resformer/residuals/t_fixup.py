"""T-Fixup: no norms, and initial values small enough to train without them."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.residuals.base import Architecture, IdentitySkip, ParameterGroup


@final
@dataclass(frozen=True)
class TFixup(IdentitySkip):
    """x' = x + F(x), with small initial values (Huang et al. 2020, "Improving transformer
    optimization through better initialization", ICML, section 3.2, and the authors' code for an
    encoder of L blocks).

    Initial gain 0.67·L^(-1/4) on value, output and both FFN matrices, 1 on query and key (the
    authors' code: 1/√2 there, as in fairseq). Embeddings, positions as well, have standard
    deviation (9L)^(-1/4): the paper's D^(-1/2)·(9L)^(-1/4) is multiplied by √D in the authors'
    forward pass, where positions are sinusoids and stay as they are; at depth 16 that makes no
    difference in steps. Learned: nothing. Norm: none. The paper needs no warm-up; the training
    settings here are the same for every scheme.
    """

    own_norm: ClassVar[str] = "none"
    norms: ClassVar[tuple[str, ...]] = ("none",)

    def gain(self, group: ParameterGroup, architecture: Architecture) -> float:
        """Gain (9L)^(-1/4) for embeddings, 1 for query and key, else 0.67·L^(-1/4)."""
        if group in ("query", "key"):
            return 1.0
        if group == "embedding":
            return float((9 * architecture.depth) ** -0.25)
        return float(0.67 * architecture.depth**-0.25)
