"""The most that one core computes, measured."""

import ctypes
from collections.abc import Callable
from pathlib import Path

import torch

from resformer.numerics.backends.kernels import build


def probe() -> Callable[[], float]:
    """Measurement of the floating-point operations of a second on one core, in float32, by a loop
    of nothing else; built as the kernels are.
    """
    peak = build.load(Path(__file__).with_suffix(".cpp"), torch.float32).peak
    peak.argtypes, peak.restype = (ctypes.POINTER(ctypes.c_float),), ctypes.c_double
    seed = (ctypes.c_float * 4)(0.999, 1e-3, 1.0, 0.0)
    return lambda: float(peak(seed))
