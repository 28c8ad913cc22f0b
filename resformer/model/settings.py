"""Settings of the model: the block and how many of it."""

from dataclasses import dataclass
from typing import final

from resformer.errors import Incompatible, require
from resformer.keys import CHOICES


@final
@dataclass(frozen=True)
class ModelSettings:
    """The block and how many of it.

    Values stand in `configs/config.yaml`; here is what is allowed.
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
    """Of the FFN: relu or gelu."""
    attention: str
    """bidirectional, causal, or own: what the task calls for."""
    norm: str
    """Norm placement, or own: what the residual scheme calls for."""
    skip: str
    """The sub-layers that keep their skips: both, attention, ffn or none."""

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
            # With one neuron a matrix product becomes one of vectors, whose bits depend on the size
            # of the stack.
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
