"""Activations of an FFN and their slopes, by the number of each in `NUMBERS`."""

import triton
import triton.language as tl

NUMBERS = {"relu": 0, "relu2": 1, "gelu": 2, "geglu": 2, "silu": 3, "swiglu": 3}
"""Numbers of activations, those of a gate by the name of the FFN."""


@triton.jit
def activated(x: tl.tensor, ACTIVATION: tl.constexpr) -> tl.tensor:
    """Value of an activation. NaN stays NaN."""
    if ACTIVATION == 3:
        y = x * tl.sigmoid(x)
    elif ACTIVATION == 2:
        y = x * 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    else:
        y = tl.where(x < 0.0, 0.0, x)
        if ACTIVATION == 1:
            y = y * y
    return y


@triton.jit
def slope(x: tl.tensor, ACTIVATION: tl.constexpr) -> tl.tensor:
    """Slope of an activation; that of ReLU at 0 is 0, as torch has it."""
    if ACTIVATION == 3:
        share = tl.sigmoid(x)
        y = share * (1.0 + x * (1.0 - share))
    elif ACTIVATION == 2:
        share = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
        y = share + x * tl.exp(x * x * -0.5) * 0.3989422804014327
    elif ACTIVATION == 1:
        y = 2.0 * tl.where(x < 0.0, 0.0, x)
    else:
        y = tl.where(x <= 0.0, 0.0, 1.0)
    return y
