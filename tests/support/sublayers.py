"""Sub-layers of any sizes and settings, as backends compute them."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from resformer.numerics.backends.base import (
    GATED,
    AttentionSettings,
    AttentionWeights,
    Backend,
    FfnWeights,
    Linear,
    NormWeights,
)


@dataclass(frozen=True, kw_only=True)
class Block:
    """Sizes and settings of a block's sub-layers."""

    tokens: int = 8
    width: int = 32
    heads: int = 4
    hidden: int = 64
    causal: bool = False
    bias: bool = True
    gains: bool = False
    rotary_base: float | None = None
    activation: str = "relu"
    norm: str = "layer"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the weights by name."""
        width, hidden, head = self.width, self.hidden, self.width // self.heads
        return {
            **dict.fromkeys(("query", "key", "value", "output"), (width, width)),
            **{f"{name}.bias": (width,) for name in ("query", "key", "value", "output")},
            **{f"{name}.gain": (head,) for name in ("query", "key")},
            **dict.fromkeys(("ffn_in", "gate"), (width, hidden)),
            **{f"{name}.bias": (hidden,) for name in ("ffn_in", "gate")},
            "ffn_out": (hidden, width),
            **dict.fromkeys(("ffn_out.bias", "norm.gain", "norm.bias"), (width,)),
        }

    def drawn(self, members: int, sequences: int, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Input x_PRD and weights flat_PN."""
        count = sum(math.prod(shape) for shape in self.shapes.values())
        generator = torch.Generator().manual_seed(members + sequences + self.width)
        return (
            torch.randn(
                members, sequences * self.tokens, self.width, dtype=dtype, generator=generator
            ),
            torch.randn(members, count, dtype=dtype, generator=generator) * 0.3,
        )

    def compute(self, name: str, backend: Backend, x_PRD: Tensor, flat_PN: Tensor) -> Tensor:
        """The output of one of `SUBLAYERS`."""
        parts = flat_PN.split_with_sizes([*map(math.prod, self.shapes.values())], dim=1)
        w = {
            name: part.view(-1, *shape)
            for (name, shape), part in zip(self.shapes.items(), parts, strict=True)
        }

        def linear(name: str) -> Linear:
            return Linear(w[name], w[f"{name}.bias"] if self.bias else None)

        if name == "attend":
            weights = AttentionWeights(*map(linear, ("query", "key", "value", "output")))
            if self.gains:
                gains = (w["query.gain"], w["key.gain"])
                weights = weights._replace(query_gain_PK=gains[0], key_gain_PK=gains[1])
            settings = AttentionSettings(
                tokens=self.tokens,
                heads=self.heads,
                causal=self.causal,
                scale=0.7 / self.heads,
                rotary_base=self.rotary_base,
            )
            return backend.attend(x_PRD, weights, settings)
        if name == "ffn":
            gate = linear("gate") if self.activation in GATED else None
            ffn = FfnWeights(ffn_in=linear("ffn_in"), ffn_out=linear("ffn_out"), gate=gate)
            return backend.ffn(x_PRD, ffn, self.activation)
        bias_PD = w["norm.bias"] if self.bias else None
        return backend.norm(x_PRD, NormWeights(gain_PD=w["norm.gain"], bias_PD=bias_PD), self.norm)


SUBLAYERS = ("attend", "ffn", "norm")
CLASSIC = Block()
MODERN = Block(bias=False, gains=True, rotary_base=100.0, activation="swiglu", norm="rms")
BLOCKS = [CLASSIC, MODERN]


def outcome(
    name: str, backend: Backend, block: Block, x_PRD: Tensor, flat_PN: Tensor
) -> list[Tensor]:
    """The output, and the gradients of x and all weights for a fixed gradient of the output."""
    x_PRD, flat_PN = x_PRD.clone().requires_grad_(), flat_PN.clone().requires_grad_()
    y_PRD = block.compute(name, backend, x_PRD, flat_PN)
    slope_N = torch.linspace(-1, 1, y_PRD.numel(), dtype=y_PRD.dtype, device=y_PRD.device)
    gradients = torch.autograd.grad(y_PRD, (x_PRD, flat_PN), slope_N.view(y_PRD.shape))
    return [y_PRD.detach(), *gradients]
