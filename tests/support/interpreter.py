"""Triton's interpreter, which runs kernels on tensors of the CPU, with numbers as a GPU has them.

On its own (Triton 3.7 to 3.9) it cuts bits off where a GPU rounds to bfloat16, multiplies the bits
of two numbers of bfloat16 as if they were whole numbers, and leaves arguments that are floats in
double.
"""

from typing import Any

import numpy as np
import pytest
import torch
from triton import language
from triton.runtime import interpreter


def repair_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round float32 to the nearest bfloat16, and let products of bfloat16 be those of the same
    numbers in float32, which are exact, with float32 sums.
    """
    builder = interpreter.InterpreterBuilder
    cast, dot = builder.cast_impl, builder.create_dot

    def cast_impl(self: Any, source: Any, to: Any) -> Any:
        if (source.dtype.scalar, to.scalar) != (language.float32, language.bfloat16):
            return cast(self, source, to)
        rounded = torch.from_numpy(source.data).bfloat16().view(torch.uint16)
        return interpreter.TensorHandle(rounded.numpy(), to.scalar)

    def create_dot(self: Any, a: Any, b: Any, *rest: Any) -> Any:
        if a.dtype.scalar == language.bfloat16:
            a, b = (cast(self, part, language.float32) for part in (a, b))
        return dot(self, a, b, *rest)

    monkeypatch.setattr(builder, "cast_impl", cast_impl)
    monkeypatch.setattr(builder, "create_dot", create_dot)


def round_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Round arguments of kernels that are floats to float32."""
    convert = interpreter._implicit_cvt

    def rounded(argument: Any) -> Any:
        return convert(float(np.float32(argument)) if type(argument) is float else argument)

    monkeypatch.setattr(interpreter, "_implicit_cvt", rounded)
