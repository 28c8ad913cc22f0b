"""Settings of the model: its block, and the number of blocks."""

from dataclasses import dataclass
from typing import final

from resformer.errors import Incompatible, require
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
        require(1 <= self.depth <= 1024, "model.depth", self.depth, "must be from 1 to 1024 blocks")
        require(2 <= self.width <= 4096, "model.width", self.width, "must be from 2 to 4096")
        require(
            1 <= self.heads <= self.width,
            "model.heads",
            self.heads,
            f"must be from 1 to {self.width}, the width",
        )
        if self.hidden is not None:
            # With one neuron a product is that of a matrix and a vector, whose bits depend on the
            # number of members.
            require(
                2 <= self.hidden <= 65536,
                "model.hidden",
                self.hidden,
                "must be from 2 to 65536, or null",
            )
        for setting, value in (
            ("model.activation", self.activation),
            ("model.attention", self.attention),
            ("model.norm", self.norm),
            ("model.skip", self.skip),
        ):
            require(
                value in CHOICES[setting],
                setting,
                value,
                f"must be one of {', '.join(CHOICES[setting])}",
            )
        if self.width % self.heads:
            fitting = [str(heads) for heads in range(1, self.width + 1) if self.width % heads == 0]
            raise Incompatible(
                f"model.heads={self.heads}: must divide model.width={self.width}: one of "
                f"{', '.join(fitting)}"
            )
