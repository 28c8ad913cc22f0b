"""Settings of a process that trains."""

import ctypes
import gc
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def prepare() -> None:
    """One thread, and no time lost on denormal numbers, page faults, or looking for garbage among what was imported."""
    gc.freeze()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have malloc keep what is freed: else every step gives its tensors back and faults some 1,000 pages in again.

    glibc's mallopt, with the largest thresholds it takes; another C library has no such function.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
