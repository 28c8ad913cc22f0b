"""Functions of single numbers, with bits that do not depend on their places in a tensor."""

import torch
from torch import Tensor


def sigmoid(x: Tensor) -> Tensor:
    """1 / (1 + exp(-x)) to the rounding of 1 (in float32 it is 0 under -17), with bits that do not
    depend on an entry's place in the tensor.

    `torch.sigmoid` computes the last few elements of a tensor on the CPU apart, by another exp:
    which elements of a member those are would depend on P.
    """
    return torch.tanh(x / 2) / 2 + 0.5


def gelu(x: Tensor) -> Tensor:
    """x·Φ(x), Φ the normal distribution function, with bits that do not depend on an entry's place
    in the tensor, as those of torch's own do on the CPU.
    """
    return x / 2 * (1 + torch.erf(x * 0.5**0.5))


def rsqrt(x: Tensor) -> Tensor:
    """1 / √x, of bfloat16 in float32, with bits that do not depend on an entry's place in the
    tensor.

    In bfloat16 `torch.rsqrt` rounds the last few elements of a tensor on the CPU twice. On a GPU
    autocast has it in float32, too.
    """
    return torch.rsqrt(x.to(torch.promote_types(x.dtype, torch.float32)))
