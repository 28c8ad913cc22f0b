"""Sources, flags and signatures of the kernels."""

import ctypes
from pathlib import Path

import torch

FOLDER = Path(__file__).parent
MAIN = FOLDER / "kernels.cpp"
REAL = {torch.float32: "float", torch.float64: "double"}
"""Type of C++ for each dtype."""
FLAGS = (
    "-std=c++17",
    "-O3",
    "-march=native",
    "-ffp-contract=fast",
    "-fno-math-errno",
    "-fPIC",
    "-shared",
)

_L, _P, _R = ctypes.c_long, ctypes.c_void_p, ctypes.c_double
SIGNATURES = {
    "attend_forward": (*[_L] * 7, *[_P] * 12),
    "attend_backward": (*[_L] * 7, *[_P] * 20),
    "ffn_forward": (*[_L] * 5, *[_P] * 6),
    "ffn_backward": (*[_L] * 5, *[_P] * 10),
    "norm_forward": (*[_L] * 4, *[_P] * 3, _R, *[_P] * 3),
    "norm_backward": (*[_L] * 4, *[_P] * 8),
    "update": (*[_L] * 2, *[_P] * 6, *[_R] * 7),
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
