"""Whether a signal gets through a stack: one word, and the number behind it."""

from dataclasses import dataclass
from typing import Literal, final

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Word = Literal["healthy", "vanishing", "exploding", "collapsed"]

GROWTH, COLLAPSED = 100.0, 0.05
"""Times that stream or gradient may grow or shrink; the relative residual under which tokens count
as one.
"""


@final
@dataclass(frozen=True)
class Health:
    """A verdict on one stack."""

    word: Word
    measure: Literal["stream", "gradient", "residual"]
    """What decided, or of a healthy stack how far its tokens are apart."""
    value: float
    """Size of the stream at the end over that of the embedding; gradient of the first block over
    that of the last; or the relative residual at the end.
    """


def health(rms: Floats, residual: Floats, gradient: Floats) -> Health:
    """The verdict on a stack from its stream's size and relative residual by layer (S + 1) and
    gradient by block (L).

    In this order: exploding, where a number is not finite, or the stream is more than `GROWTH`
    times as large at the end as at the embedding, or the gradient in the first block as in the
    last; collapsed, where at the end less than `COLLAPSED` of the stream tells tokens apart;
    vanishing, where stream or gradient shrink as much; else healthy. Where no matrix has a
    gradient, branches are switched off, as some schemes start, and gradients say nothing.
    """
    with np.errstate(all="ignore"):
        stream, back, apart = (
            float(rms[-1] / rms[0]),
            float(gradient[0] / gradient[-1]),
            float(residual[-1]),
        )
    broken = not (np.isfinite(rms).all() and np.isfinite(gradient).all())
    if stream > GROWTH or (broken and not np.isfinite(rms).all()):
        return Health("exploding", "stream", stream)
    if back > GROWTH or broken:
        return Health("exploding", "gradient", back)
    if not apart >= COLLAPSED:
        return Health("collapsed", "residual", apart)
    if stream < 1 / GROWTH:
        return Health("vanishing", "stream", stream)
    if gradient.any() and not back >= 1 / GROWTH:
        return Health("vanishing", "gradient", back)
    return Health("healthy", "residual", apart)
