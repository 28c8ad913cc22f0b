"""GPT-2: the matrices that write into the stream start smaller the deeper the model."""

from dataclasses import dataclass
from typing import ClassVar, final

from resformer.residuals.base import Architecture, IdentitySkip, ParameterGroup


@final
@dataclass(frozen=True)
class Gpt2(IdentitySkip):
    """x' = x + F(x); the output matrices of both sub-layers start with a gain of S^(-1/2), S = 2L
    sub-layers.

    Radford et al. 2019, "Language models are unsupervised multitask learners", section 2.3: "1/√N
    where N is the number of residual layers". Learned: nothing. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def gain(self, group: ParameterGroup, architecture: Architecture) -> float:
        """Gain S^(-1/2) for the matrices that write into the stream, else 1."""
        return architecture.sublayers**-0.5 if group in ("output", "ffn_out") else 1.0
