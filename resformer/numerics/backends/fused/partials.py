"""Partial gradients of weights, a group of rows each, added up in one order.

Programs do not add to the same numbers, so that the bits are the same every time.
"""

from collections.abc import Sequence
from typing import final

import torch
import triton
import triton.language as tl
from torch import Tensor

from resformer.numerics.backends.fused.launch import OPTIONS

_BLOCK = 1024
"""Numbers that a program adds up: 8 for each thread of 4 warps."""


@triton.jit
def _add(partial: tl.tensor, total: tl.tensor, groups: int, size: int, BLOCK: tl.constexpr) -> None:
    """Sum of a member's groups, in their order."""
    member = tl.program_id(1).to(tl.int64)
    n = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    value = tl.zeros((BLOCK,), tl.float32)
    for group in range(groups):
        value += tl.load(partial + (member * groups + group) * size + n, mask=n < size, other=0.0)
    tl.store(total + member * size + n, value, mask=n < size)


@final
class Partials:
    """Partial gradients of weights that lie one after the other, `size` numbers per member and
    group of rows.
    """

    def __init__(self, weights: Sequence[Tensor | None], groups: int) -> None:
        self._weights = weights
        given = [weight for weight in weights if weight is not None]
        self.size = sum(weight[0].numel() for weight in given)
        self.tensor_PGN = given[0].new_empty(len(given[0]), groups, self.size, dtype=torch.float32)

    def added(self) -> list[Tensor | None]:
        """Gradient of each weight, None where there is no weight."""
        members, groups, size = self.tensor_PGN.shape
        total_PN = self.tensor_PGN[:, 0]
        if groups > 1:
            total_PN = self.tensor_PGN.new_empty(members, size)
            grid = (triton.cdiv(size, _BLOCK), members)
            _add[grid](self.tensor_PGN, total_PN, groups, size, BLOCK=_BLOCK, **OPTIONS)
        gradients, first = list[Tensor | None](), 0
        for weight in self._weights:
            if weight is None:
                gradients.append(None)
                continue
            count = weight[0].numel()
            gradients.append(total_PN[:, first : first + count].view(weight.shape))
            first += count
        return gradients
