"""Settings of the model: its block, and the number of blocks."""

from dataclasses import dataclass
from typing import final

from resformer.errors import Incompatible, require, require_between
from resformer.keys import CHOICES

MOST_WIDTH = 4096
_WORDS = (
    "activation",
    "attention",
    "norm",
    "norm_kind",
    "parametrisation",
    "position",
    "skip",
)
"""Settings that take one of some words."""


@final
@dataclass(frozen=True, kw_only=True)
class ModelSettings:
    """Settings of the block, and the number of blocks.

    Their values are in `configs/config.yaml`, their limits here.
    """

    depth: int
    """L, blocks: pairs of attention and FFN."""
    loops: int
    """Passes over the blocks: depth / loops of them have weights of their own (Saunshi et al. 2025,
    arXiv 2502.17416). What a residual scheme learns belongs to a pass.
    """
    width: int
    """D."""
    heads: int
    """H; the width is split among them."""
    hidden: int | None
    """F, the FFN's width; None is 4·D. One with a gate, and so a third matrix, has two thirds of it
    (Shazeer 2020, arXiv 2002.05202, section 3).
    """
    activation: str
    """Activation of the FFN: relu, gelu, silu, relu2, or with a gate swiglu, geglu."""
    attention: str
    """Attention: bidirectional, causal, or own, which is that of the task."""
    norm: str
    """Norm placement, or own, which is that of the residual scheme."""
    norm_kind: str
    """Kind of every norm: layer, rms, dyt or derf."""
    qk_norm: bool
    """True to normalise the queries and keys of each head (Henry et al. 2020, arXiv 2010.04245) by
    RMSNorm with a learned gain (Dehghani et al. 2023, arXiv 2302.05442, section 2.1).
    """
    bias: bool
    """True to add a learned bias in linear layers and norms, but RMSNorm."""
    position: str
    """Position of a token: learned, rope, sinusoidal or none."""
    rope_base: float | None
    """Base of the wavelengths of rope: the longest is under 2π times as many tokens. None with
    another position.
    """
    tied: bool
    """True if the head's matrix is that of the token embedding (Press & Wolf 2017, arXiv
    1608.05859).
    """
    parametrisation: str
    """Factors on initial values and learning rates at other depths and widths than the base:
    standard, depth_mup or completep.
    """
    base_depth: int | None
    """Depth at which every factor of the parametrisation is 1; None with standard."""
    base_width: int | None
    """Width at which every factor of the parametrisation is 1; None with standard."""
    base_heads: int | None
    """Heads of that width; None: as many as those of the model."""
    module: str | None
    """Class of one's own that stands in place of every block, `package:Class`; None: none does."""
    skip: str
    """Sub-layers that keep their skips: both, attention, ffn or none."""

    def __post_init__(self) -> None:
        require_between("model.depth", self.depth, low=1, high=1024, unit=" blocks")
        require_between("model.loops", self.loops, low=1, high=1024)
        require_between("model.width", self.width, low=2, high=MOST_WIDTH)
        require_between("model.heads", self.heads, low=1, high=self.width, unit=", the width")
        if self.hidden is not None:
            # With one neuron a product is that of a matrix and a vector, whose bits depend on the
            # number of members.
            require_between("model.hidden", self.hidden, low=2, high=65536, unit=", or null")
        rotary, scaled = self.position == "rope", self.parametrisation != "standard"
        for setting, low, high, needed_by in (
            ("rope_base", 1, 10**9, "model.position=rope" if rotary else ""),
            ("base_depth", 1, 1024, f"model.parametrisation={self.parametrisation}" * scaled),
            ("base_width", 2, 4096, f"model.parametrisation={self.parametrisation}" * scaled),
            ("base_heads", 1, 4096, ""),
        ):
            value = getattr(self, setting)
            if value is not None:
                require_between(f"model.{setting}", value, low=low, high=high)
            must = f"must be a number with {needed_by}"
            require(value is not None or not needed_by, f"model.{setting}", "null", must)
        for setting in _WORDS:
            value, choices = getattr(self, setting), CHOICES[f"model.{setting}"]
            others = [key for key, words in CHOICES.items() if value in words]
            hint = f"; {others[0]}={value} would work" if others else ""
            words = f"must be one of {', '.join(choices)}{hint}"
            require(value in choices, f"model.{setting}", value, words)
        if self.width % self.heads:
            fitting = [str(heads) for heads in range(1, self.width + 1) if self.width % heads == 0]
            raise Incompatible(
                f"model.heads={self.heads}: must divide model.width={self.width}: one of "
                f"{', '.join(fitting)}"
            )
        if self.depth % self.loops:
            fitting = [str(loops) for loops in range(1, self.depth + 1) if self.depth % loops == 0]
            raise Incompatible(
                f"model.loops={self.loops}: must divide model.depth={self.depth}: one of "
                f"{', '.join(fitting)}"
            )
        base_heads = self.base_heads or self.heads
        if scaled and self.base_width is not None and self.base_width % base_heads:
            raise Incompatible(
                f"model.base_width={self.base_width}: must be a multiple of the {base_heads} heads "
                f"of the base (model.base_heads={self.base_heads or 'null'}, of "
                f"model.heads={self.heads})"
            )
        if self.position == "rope" and self.width // self.heads % 2:
            raise Incompatible(
                f"model.position=rope: turns pairs of numbers, and model.heads={self.heads} of "
                f"model.width={self.width} have {self.width // self.heads} each; an even number "
                "would work"
            )
        if self.tied and self.parametrisation != "standard":
            raise Incompatible(
                f"model.tied=true: model.parametrisation={self.parametrisation} has a head of its "
                "own; standard would work"
            )

    @property
    def distinct_blocks(self) -> int:
        """Blocks with weights of their own."""
        return self.depth // self.loops
