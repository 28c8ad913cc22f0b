"""LayerScale: every channel of every branch has its own gain, which starts small."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.numerics.parameters import ParameterSpec, constant
from resformer.residuals.base import Architecture, SublayerContext, WeightedSum, check_magnitude


@final
@dataclass(frozen=True, kw_only=True)
class LayerScale(WeightedSum):
    """x' = x + λ⊙F(x), a learned λ of `width` entries per sub-layer.

    Initial value, by the number of blocks (Touvron et al. 2021, arXiv 2103.17239, section 2, and
    the authors' code, which leaves depths 19 to 23 open and starts one model of 36 blocks, XXS36,
    at 1e-5): `initial_to_18_blocks` = 0.1, `initial_to_24_blocks` = 1e-5, `initial_beyond` = 1e-6.
    Norm: pre.
    """

    initial_to_18_blocks: float
    initial_to_24_blocks: float
    initial_beyond: float

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def __post_init__(self) -> None:
        for setting in ("initial_to_18_blocks", "initial_to_24_blocks", "initial_beyond"):
            check_magnitude(self, setting)

    def initial(self, depth: int) -> float:
        """Initial value of λ in a network of `depth` blocks."""
        if depth <= 18:
            return self.initial_to_18_blocks
        return self.initial_to_24_blocks if depth <= 24 else self.initial_beyond

    def sublayer_parameters(self, sublayer: int, architecture: Architecture) -> list[ParameterSpec]:
        """Gains λ."""
        return [constant("lambda", architecture.width, value=self.initial(architecture.depth))]

    def branch_weight(self, context: SublayerContext) -> Tensor:
        """Gains λ."""
        return context.sublayer_parameter("lambda")
