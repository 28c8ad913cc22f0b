"""Availability of Triton and its kernels; importing this module does not import Triton."""

from functools import cache

import torch

from resformer.numerics.backends.base import Backend
from resformer.numerics.backends.kernels import selftest
from resformer.numerics.backends.kernels.compiler import Unavailable

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
def missing() -> str | None:
    """Reason why Triton's kernels do not compute on the GPU of this machine; None if their numbers
    are those of torch's operations there.
    """
    try:
        kernels = backend()
    except Unavailable as reason:
        return str(reason)
    if not torch.cuda.is_available():
        return "there is no GPU here to compare Triton's kernels with torch's operations on"
    try:
        deviating = selftest.deviation(kernels, torch.float32, "cuda", _TESTED)
    except Exception as error:  # whatever a compiler and its launcher raise
        return f"Triton's kernels fail: {' '.join(str(error).split())[:200]}"
    return f"Triton's kernels compute {deviating} wrongly" if deviating else None
