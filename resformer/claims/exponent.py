"""Exponent of a measure of models before training in a setting."""

from abc import abstractmethod
from dataclasses import dataclass

import numpy as np

from resformer.claims import slopes
from resformer.claims.evidence import shared
from resformer.claims.starts import Starts
from resformer.claims.statistics.base import Along, Measured, Untrained
from resformer.errors import UserError
from resformer.model.shape import Shape
from resformer.stats import Floats


@dataclass(frozen=True, kw_only=True)
class Exponent(Along, Untrained):
    """Exponent of a measure of `arm` in the setting `on`, the slope of a line through logarithms:
    each seed's least squares, then the mean over seeds. With `less` that arm's exponent of the same
    seed is taken off.
    """

    @property
    @abstractmethod
    def measured(self) -> str:
        """The measure, in words."""

    @abstractmethod
    def value(self, shape: Shape, seed: int) -> float:
        """The measure of the model of this seed, above 0."""

    def measure(self, starts: Starts) -> Measured:
        """Measure every model."""
        arms = {arm: starts.along(arm, self.on) for arm in self.arms}
        seeds = shared([start.seeds for arm in arms.values() for start in arm.values()])
        lines = [
            slopes.line(
                name,
                self.on,
                {place: self._log(start.shape, seeds) for place, start in arm.items()},
            )
            for name, arm in arms.items()
        ]
        return slopes.measured(
            lines,
            seeds,
            on=self.on,
            of="log measure",
            words=f"exponent in {self.on} of the {self.measured}",
        )

    def _log(self, shape: Shape, seeds: list[int]) -> Floats:
        """Logarithm of the measure of each seed, (S,)."""
        value_S = np.array([self.value(shape, seed) for seed in seeds])
        if not (value_S > 0).all():
            raise UserError(f"on: {self.on}: the {self.measured} is not above 0 everywhere")
        log_S: Floats = np.log(value_S)
        return log_S
