"""Interface of an optimiser: every row of `flat_PN` moves on its own, at its own learning rate."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.errors import require, require_between
from resformer.numerics.backends.base import AdamWSettings, Backend
from resformer.numerics.layout import Layout, Segment
from resformer.numerics.parameters import Factors

_SHARES = ("beta1", "beta2", "momentum")
"""Settings that are shares of what was before."""


@final
@dataclass(frozen=True, kw_only=True)
class Step:
    """Tensors and settings of one step of all members."""

    flat_PN: Tensor
    """Parameters, which are moved in place."""
    grad_PN: Tensor
    """Gradient, clipped; may be overwritten."""
    state: Mapping[str, Tensor]
    """Tensors (P, N) that the optimiser keeps, by name; 0 before the first step."""
    lr_P: Tensor
    """Learning rate of this step."""
    number: Tensor
    """Number of the step, from 1: an integer on the device, so that a captured step can count."""
    layout: Layout
    backend: Backend

    def rate(self, factors: Factors) -> Tensor:
        """Learning rates (P,) with this factor."""
        return self.lr_P if factors.lr == 1.0 else self.lr_P * factors.lr


class Optimizer(ABC):
    """Optimiser of a population; a subclass is a frozen dataclass of its settings, and final."""

    weight_decay: float
    """Weight decay, of matrices and embeddings, or of all parameters (`train.decay_all`)."""
    state: ClassVar[Sequence[str]]
    """Names of the tensors (P, N) that it keeps between steps."""
    goes_with_parametrisations: ClassVar[bool] = False
    """True if the factors of `model.parametrisation` are made for it."""
    decoupled: ClassVar[bool] = True
    """True if weight decay multiplies the weights, False if it joins the gradient."""

    def __post_init__(self) -> None:
        require_between("optimizer.weight_decay", self.weight_decay, low=0.0, high=1000.0)
        for setting in _SHARES:
            value = getattr(self, setting, 0.0)
            must = "must be at least 0 and under 1"
            require(0 <= value < 1, f"optimizer.{setting}", value, must)

    @abstractmethod
    def move(self, step: Step) -> None:
        """Move each member, in place. Nothing is reduced over P."""


@dataclass(frozen=True, kw_only=True)
class Adaptive(Optimizer):
    """Optimiser that divides gradients by the root of their mean square, all of them or some."""

    beta1: float
    """Decay of the mean of gradients."""
    beta2: float
    """Decay of the mean of their squares."""
    eps: float
    """Summand of that root."""
    weight_decay: float

    state: ClassVar[tuple[str, ...]] = ("exp_avg", "exp_avg_sq")

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between("optimizer.eps", self.eps, low=1e-30, high=1.0)

    def move_adaptively(self, step: Step, segments: Sequence[Segment]) -> None:
        """Move the members in these segments by AdamW."""
        for segment in segments:
            columns, factors = segment.columns, segment.factors
            step.backend.adamw(
                step.flat_PN[:, columns],
                step.grad_PN[:, columns],
                step.state["exp_avg"][:, columns],
                step.state["exp_avg_sq"][:, columns],
                step.rate(factors),
                AdamWSettings(
                    beta1=self.beta1,
                    beta2=self.beta2,
                    eps=self.eps * factors.eps,
                    weight_decay=self.weight_decay * factors.weight_decay,
                ),
                step.number,
            )
