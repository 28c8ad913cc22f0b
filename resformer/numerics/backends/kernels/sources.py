"""Sources, flags and signatures of the kernels."""

import ctypes
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
MAIN = FOLDER / "kernels.cpp"
REAL = {torch.float32: "float", torch.float64: "double"}
"""Type of C++ for each dtype."""
FLAGS: tuple[str, ...] = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fPIC",
    "-shared",
)

_BACKENDS = FOLDER.parent
REFERENCE = (_BACKENDS / "base.py", _BACKENDS / "eager.py", _BACKENDS.parent / "elementwise.py")
"""Torch's operations that the kernels compute, too."""
TESTED = "8cacf9cec30d"
"""Digest of that code as it was when the kernels were last tested against it. Whoever changes it
runs the tests of the backends, one of which says the new digest.
"""

_L, _P, _R = ctypes.c_long, ctypes.c_void_p, ctypes.c_double
SIGNATURES = {
    "model_gradient": (_P, *[_L] * 3, *[_P] * 5),
    "model_score": (_P, *[_L] * 3, *[_P] * 5),
    "attend_forward": (*[_L] * 7, _R, _R, *[_P] * 14),
    "attend_backward": (*[_L] * 7, _R, _R, *[_P] * 25),
    "ffn_forward": (*[_L] * 6, *[_P] * 8),
    "ffn_backward": (*[_L] * 6, *[_P] * 15),
    "norm_forward": (*[_L] * 5, *[_P] * 3, _R, *[_P] * 3),
    "norm_backward": (*[_L] * 5, *[_P] * 8),
    "clip": (*[_L] * 2, *[_P] * 2, _R),
    "adamw": (*[_L] * 3, *[_P] * 5, *[_R] * 6),
}
"""Types of the arguments of each kernel; none returns anything."""


def cpp_files() -> list[Path]:
    """C++ files that results depend on."""
    return sorted(path for path in FOLDER.iterdir() if path.suffix in (".cpp", ".hpp"))


def bind(library: ctypes.CDLL) -> ctypes.CDLL:
    """Give the kernels of a library their signatures. Raises AttributeError if it lacks one."""
    for name, arguments in SIGNATURES.items():
        kernel = getattr(library, name)
        kernel.argtypes, kernel.restype = arguments, None
    return library
