"""Settings of a worker process."""

import ctypes
import gc
import resource
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "std::bad_alloc",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""Messages of torch's allocators where they raise a plain RuntimeError."""


def configure_worker(memory_gib: float | None = None) -> None:
    """Use one thread, flush denormal numbers, and avoid page faults and garbage collection of
    imported modules.

    With `memory_gib`, allocating more of the machine's memory (not a GPU's) is an error.
    """
    gc.freeze()
    torch.set_num_threads(1)
    torch.set_flush_denormal(True)
    if sys.platform == "linux":
        _keep_freed_memory()
    if memory_gib is not None:
        _, highest = resource.getrlimit(resource.RLIMIT_DATA)
        most = int(memory_gib * 2**30)
        most = most if highest == resource.RLIM_INFINITY else min(most, highest)
        resource.setrlimit(resource.RLIMIT_DATA, (most, highest))


def release_memory() -> None:
    """Release memory that a caught error referred to, and that torch's allocator cached."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> bool:
    """Return True if an allocation failed, on a GPU or on the machine."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)
    )


def _keep_freed_memory() -> None:
    """Make malloc keep freed memory; otherwise every step returns its tensors to the system and
    faults some 1,000 pages in again.

    Uses glibc's mallopt, with the largest thresholds it takes; other C libraries have none.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
