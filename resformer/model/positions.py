"""Fixed position embeddings."""

from functools import cache

import torch
from torch import Tensor

_BASE = 10_000.0


@cache
def sinusoidal(tokens: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Sines at even and cosines at odd places, (T, D), of wavelengths from 2π to 10,000 · 2π
    (Vaswani et al. 2017, arXiv 1706.03762, section 3.5).
    """
    place = torch.arange(width)
    share = (place - place % 2).double() / width
    angle_TD = torch.arange(tokens, dtype=torch.float64)[:, None] * _BASE**-share
    embedding_TD = torch.where(place % 2 == 0, angle_TD.sin(), angle_TD.cos())
    return embedding_TD.to(device, dtype)
