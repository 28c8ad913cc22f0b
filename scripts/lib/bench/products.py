"""The matrix products of a training step, and nothing else."""

import ctypes
import time
from collections.abc import Callable
from pathlib import Path
from typing import final

import torch
from torch import Tensor

from resformer.model.shape import Shape
from resformer.numerics.backends.kernels import build

Product = Callable[[Tensor, Tensor, Tensor], None]
"""The three products of a layer: of its left and right operand and the gradient of their product.
"""


@final
class Products:
    """The products of one step of P stacked members, forward and both of the backward pass.

    Operands are random and every layer has its own, as in a step, whose activations wait for the
    backward pass.
    """

    def __init__(self, shape: Shape, members: int) -> None:
        model = shape.transformer()
        width, hidden, heads = model.settings.width, model.ffn_width, model.settings.heads
        rows, scored = shape.train.batch * model.tokens, shape.train.batch * model.num_targets
        pairs, head_width = members * shape.train.batch * heads, width // heads
        block = [
            *[(members, rows, width, width)] * 4,
            (pairs, model.tokens, head_width, model.tokens),
            (pairs, model.tokens, model.tokens, head_width),
            (members, rows, width, hidden),
            (members, rows, hidden, width),
        ]
        self.sizes = block * model.settings.depth + [(members, scored, width, model.vocabulary)]
        """Sizes of each forward product: how many, m, k, n."""
        self._operands = [
            (torch.randn(count, m, k), torch.randn(count, k, n), torch.randn(count, m, n))
            for count, m, k, n in self.sizes
        ]

    def seconds(self, steps: int, product: Product) -> float:
        """Wall time of so many steps."""
        began = time.perf_counter()
        for _ in range(steps):
            for left, right, gradient in self._operands:
                product(left, right, gradient)
        return time.perf_counter() - began

    def flops(self) -> int:
        """Floating-point operations of one step of all members."""
        return sum(6 * count * m * k * n for count, m, k, n in self.sizes)


def by_torch(left: Tensor, right: Tensor, gradient: Tensor) -> None:
    """`torch.bmm`."""
    torch.bmm(left, right)
    torch.bmm(gradient, right.transpose(1, 2))
    torch.bmm(left.transpose(1, 2), gradient)


def by_kernels() -> Product:
    """Our own product, in a loop over the members."""
    built = build.load(Path(__file__).with_suffix(".cpp"), torch.float32)
    built.products.argtypes = (*[ctypes.c_long] * 4, *[ctypes.c_void_p] * 4)
    built.products.restype = None

    def product(left: Tensor, right: Tensor, gradient: Tensor) -> None:
        count, m, k = left.shape
        n = right.shape[2]
        out = torch.empty(max(m * n, m * k, k * n))
        built.products(
            count, m, k, n, *(tensor.data_ptr() for tensor in (left, right, gradient, out))
        )

    return product
