"""Settings of a process that trains."""

import ctypes
import gc
import resource
import sys

import torch

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_NO_MEMORY = (
    *(
        "DefaultCPUAllocator: can't allocate memory",
        "DefaultCPUAllocator: not enough memory",
        "std::bad_alloc",
    ),
    *("CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
)
"""What torch says where it has no error of its own."""


def configure_worker(memory_gib: float | None = None) -> None:
    """One thread, and no time lost on denormal numbers, page faults, or looking for garbage among
    what was imported.

    With a limit, whoever asks for more memory gets an error; of the machine's, not of a GPU's.
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
    """Give memory back that nobody needs any more: what an error that was caught held on to, and
    torch kept.
    """
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def out_of_memory(error: Exception) -> bool:
    """Whether this says that memory was asked for that is not there, of a GPU or of the machine."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and any(text in str(error) for text in _NO_MEMORY)
    )


def _keep_freed_memory() -> None:
    """Have malloc keep what is freed: else every step gives its tensors back and faults some 1,000
    pages in again.

    glibc's mallopt, with the largest thresholds it takes; another C library has no such function.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        mallopt(_M_TRIM_THRESHOLD, 2**31 - 1)
