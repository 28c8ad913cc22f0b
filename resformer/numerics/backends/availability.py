"""Availability of Triton and its kernels; importing this module does not import Triton."""

import contextlib
import hashlib
import sys
from functools import cache
from pathlib import Path

import torch

from resformer.numerics import source_code
from resformer.numerics.backends.base import Backend
from resformer.numerics.backends.kernels import selftest, sources
from resformer.numerics.backends.kernels.compiler import Unavailable
from resformer.numerics.cache_folder import CacheUnavailable, cache_folder

_TESTED = (
    "attention",
    "attention with norms of heads and rope",
    "the FFN with relu",
    "the FFN with swiglu",
    "the norm layer",
    "the norm rms",
)
"""Sub-layers and norms that are tested: every kernel, but few of its variants, each of which takes
a second or more to compile.
"""
_CAPABILITY = (9, 0)
"""Least compute capability of a GPU that the kernels' tiles fit."""
_PROCESS = """
from resformer.numerics.backends import availability
print({ended!r} + availability.trouble({precision!r}))
"""
"""A program that tests the kernels."""
_ENDED = "the self-test has ended: "
"""Words that it prints before the trouble, and after all that others print."""
_MOST_SECONDS = 180.0
"""Time for it; nearly all goes into compiling some twenty kernels."""
_DRIVER = Path("/proc/driver/nvidia/version")
_FILES = (*sorted(Path(__file__).parent.glob("fused/*.py")), *selftest.FILES, *sources.REFERENCE)
"""Code that a verdict on the kernels depends on."""


def backend() -> Backend:
    """Backend in Triton's kernels; raises Unavailable without Triton."""
    version()
    from resformer.numerics.backends.fused import backend as fused

    return fused


def version() -> str:
    """Version of Triton; raises Unavailable if it cannot be imported."""
    try:
        import triton
    except ImportError as error:
        raise Unavailable(f"Triton cannot be imported: {error}") from error
    return str(triton.__version__)


@cache
def missing(precision: str) -> str | None:
    """Reason why Triton's kernels do not compute in this precision on the GPU of this machine; None
    if their numbers are those of torch's operations there.

    They are tested in a process of their own: a context of CUDA takes memory as long as its process
    lives, and after an illegal access it is of no use. That they passed is kept in the user's cache
    folder.
    """
    try:
        version()
    except Unavailable as error:
        return str(error)
    if not torch.cuda.is_available():
        return "there is no GPU here to compare Triton's kernels with torch's operations on"
    with contextlib.suppress(CacheUnavailable, OSError):
        if _mark(precision).exists():
            return None
    reason = _trouble_in_process(precision)
    if not reason:
        with contextlib.suppress(CacheUnavailable, OSError):
            _mark(precision).touch()
    return reason or None


def trouble(precision: str) -> str:
    """Reason why the kernels are not to compute on the GPU of this process, "" if there is none."""
    try:
        capability = torch.cuda.get_device_capability()
        if capability < _CAPABILITY:
            least, here = (f"{major}.{minor}" for major, minor in (_CAPABILITY, capability))
            return f"the tiles of Triton's kernels are for compute capability {least}, not {here}"
        deviating = selftest.deviation(backend(), torch.float32, "cuda", _TESTED, precision)
    except Exception as error:  # whatever a compiler and its launcher raise
        return f"Triton's kernels fail: {' '.join(str(error).split())[:200]}"
    return f"Triton's kernels compute {deviating} wrongly" if deviating else ""


def _trouble_in_process(precision: str) -> str:
    """The same, found by another process."""
    program = _PROCESS.format(ended=_ENDED, precision=precision)
    try:
        crash, output = selftest.in_process(program, _MOST_SECONDS)
    except OSError as error:
        return f"Triton's kernels cannot be tried: {sys.executable}: {error.strerror}"
    if crash:
        return f"a process with Triton's kernels {crash}"
    _, ended, reason = output.rpartition(_ENDED)
    return reason.strip() if ended else "a process with Triton's kernels ends before its self-test"


def _mark(precision: str) -> Path:
    """File in the user's cache folder that is there once these kernels have passed on this GPU with
    this driver. Raises CacheUnavailable; OSError where the driver is not known.
    """
    card = (torch.cuda.get_device_name(), _DRIVER.read_text())
    facts = (torch.__version__, version(), *card, precision, source_code.digest(_FILES))
    return cache_folder() / f"triton-{hashlib.sha256(repr(facts).encode()).hexdigest()[:16]}"
