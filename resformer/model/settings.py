"""Settings of the model: its block, and the number of blocks."""

from dataclasses import dataclass
from typing import final

from resformer.errors import Incompatible, require, require_between
from resformer.keys import CHOICES


@final
@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of the block, and the number of blocks.

    Their values are in `configs/config.yaml`, their limits here.
    """

    depth: int
    """L, blocks: pairs of attention and FFN."""
    width: int
    """D."""
    heads: int
    """H; the width is split among them."""
    hidden: int | None
    """F, the FFN's width; None is 4·D."""
    activation: str
    """Activation of the FFN: relu or gelu."""
    attention: str
    """Attention: bidirectional, causal, or own, which is that of the task."""
    norm: str
    """Norm placement, or own, which is that of the residual scheme."""
    skip: str
    """Sub-layers that keep their skips: both, attention, ffn or none."""

    def __post_init__(self) -> None:
        require_between("model.depth", self.depth, low=1, high=1024, unit=" blocks")
        require_between("model.width", self.width, low=2, high=4096)
        require_between("model.heads", self.heads, low=1, high=self.width, unit=", the width")
        if self.hidden is not None:
            # With one neuron a product is that of a matrix and a vector, whose bits depend on the
            # number of members.
            require_between("model.hidden", self.hidden, low=2, high=65536, unit=", or null")
        for setting in ("activation", "attention", "norm", "skip"):
            value, choices = getattr(self, setting), CHOICES[f"model.{setting}"]
            words = f"must be one of {', '.join(choices)}"
            require(value in choices, f"model.{setting}", value, words)
        if self.width % self.heads:
            fitting = [str(heads) for heads in range(1, self.width + 1) if self.width % heads == 0]
            raise Incompatible(
                f"model.heads={self.heads}: must divide model.width={self.width}: one of "
                f"{', '.join(fitting)}"
            )
