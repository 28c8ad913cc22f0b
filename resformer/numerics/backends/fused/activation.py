"""Activations of an FFN and their slopes, by the names in `keys.ACTIVATIONS`."""

import triton
import triton.language as tl


@triton.jit
def activated(x: tl.tensor, NAME: tl.constexpr) -> tl.tensor:
    """Value of an activation, or of a gate's. NaN stays NaN."""
    if NAME == "gelu" or NAME == "geglu":
        y = x * 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
    elif NAME == "silu" or NAME == "swiglu":
        y = x * tl.sigmoid(x)
    else:
        y = tl.where(x < 0.0, 0.0, x)
        if NAME == "relu2":
            y = y * y
    return y


@triton.jit
def slope(x: tl.tensor, NAME: tl.constexpr) -> tl.tensor:
    """Slope of an activation; of ReLU at 0 it is 0, as torch has it."""
    if NAME == "gelu" or NAME == "geglu":
        share = 0.5 * (1.0 + tl.erf(x * 0.7071067811865476))
        y = share + x * tl.exp(x * x * -0.5) * 0.3989422804014327
    elif NAME == "silu" or NAME == "swiglu":
        share = tl.sigmoid(x)
        y = share * (1.0 + x * (1.0 - share))
    elif NAME == "relu2":
        y = 2.0 * tl.where(x < 0.0, 0.0, x)
    else:
        y = tl.where(x <= 0.0, 0.0, 1.0)
    return y
