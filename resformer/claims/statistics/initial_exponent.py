"""Exponent of a probe's measure of models before training."""

from dataclasses import dataclass
from typing import final

from resformer.claims.exponent import Exponent
from resformer.errors import UserError
from resformer.model.shape import Shape
from resformer.probes.measure import descriptions, measure_initial


@final
@dataclass(frozen=True, kw_only=True)
class InitialExponent(Exponent):
    """Exponent of a column of `resformer probe` in the last layer."""

    of: str
    """Name of the column, such as gradient_ffn_out."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.of not in descriptions():
            raise UserError(f"of={self.of}: must be one of {', '.join(descriptions())}")

    @property
    def measured(self) -> str:
        """The measure, in words."""
        return f"{descriptions()[self.of]} in the last layer"

    def value(self, shape: Shape, seed: int) -> float:
        """The column's value in the last layer."""
        return float(measure_initial(shape, [seed])[self.of][-1, 0])
