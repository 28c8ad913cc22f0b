"""Requests of this process to Linux: who kills it, traces it, and whose parent it becomes."""

import ctypes
import signal

_C = ctypes.CDLL(None, use_errno=True)
_DEATH_SIGNAL, _TRACER, _SUBREAPER = 1, 0x59616D61, 36
_ANYBODY = ctypes.c_ulong(-1)


def die_with_parent() -> None:
    """Have this process killed when its parent ends."""
    _C.prctl(_DEATH_SIGNAL, signal.SIGKILL)


def let_anybody_trace() -> None:
    """Allow every process to trace this one."""
    _C.prctl(_TRACER, _ANYBODY)


def adopt() -> None:
    """Make this process the parent of those whose own one dies, so that it can wait for them."""
    _C.prctl(_SUBREAPER, 1)
