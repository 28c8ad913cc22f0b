"""Signal propagation through a network at initialisation: a verdict, and the number behind it."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from resformer.stats import Floats

Word = Literal["healthy", "vanishing", "exploding", "collapsed"]

GROWTH = 100.0
"""Factor by which stream or gradient may grow or shrink."""
COLLAPSED = 0.05
"""Relative residual under which all tokens count as the same."""


@final
@dataclass(frozen=True)
class Health:
    """Verdict on one network."""

    word: Word
    measure: Literal["stream", "gradient", "residual"]
    """Measure that decided; "residual" for a healthy network."""
    value: float
    """Its value: size of the stream at the end over that of the embedding; gradient of the first
    block over that of the last; or relative residual at the end.
    """


def health(rms: Floats, residual: Floats, gradient: Floats) -> Health:
    """Verdict from the stream's size and relative residual by layer, (S + 1,) each, and from the
    gradient by block, (L,).

    In this order: exploding, if a number is not finite, or the stream is more than `GROWTH` times
    as large at the end as at the embedding, or the gradient in the first block as in the last;
    collapsed, if at the end less than `COLLAPSED` of the stream tells tokens apart; vanishing, if
    stream or gradient shrink as much; else healthy. If no matrix has a gradient, the branches are
    switched off, as some schemes start, and gradients decide nothing.
    """
    with np.errstate(all="ignore"):
        growth = float(rms[-1] / rms[0])
        back = float(gradient[0] / gradient[-1])
    apart = float(residual[-1])
    stream_is_finite = bool(np.isfinite(rms).all())
    if growth > GROWTH or not stream_is_finite:
        return Health("exploding", "stream", growth)
    if back > GROWTH or not np.isfinite(gradient).all():
        return Health("exploding", "gradient", back)
    if not apart >= COLLAPSED:
        return Health("collapsed", "residual", apart)
    if growth < 1 / GROWTH:
        return Health("vanishing", "stream", growth)
    if gradient.any() and not back >= 1 / GROWTH:
        return Health("vanishing", "gradient", back)
    return Health("healthy", "residual", apart)
