"""Steps by kernels that are cross-compiled for ARM and emulated, against those of this machine."""

import ctypes
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from resformer.config import request
from resformer.model.shape import Member, Shape
from resformer.numerics.backends.kernels import sources
from resformer.numerics.backends.kernels.program import SublayerPlan
from resformer.training.population import Population

_COMPILER, _EMULATOR = "aarch64-linux-gnu-g++", "qemu-aarch64"
_ODD = ("task=sort", "task.length=13", "model.width=36", "model.heads=3", "train.batch=5")
_SHAPES = {
    "copy, 16 tokens": ("task=copy", "model.depth=2"),
    "copy, 16 tokens, modern": ("task=copy", "model.depth=2", "model=modern"),
    "sort, 13 tokens, width 36": (*_ODD, "model.depth=2", "model.activation=gelu"),
    "sort, 13 tokens, layerscale": (*_ODD, "model.depth=2", "model/residual=layerscale"),
}
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-11}
"""Largest difference relative to the largest gradient: sums run in the same order on both, only
square roots, logarithms and, in float64, exponentials are the library's.
"""


def main() -> None:
    """Build, run and compare; exits with 1 if a step differs."""
    for tool, package in ((_COMPILER, "g++-aarch64-linux-gnu"), (_EMULATOR, "qemu-user")):
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is not here; Debian's package {package} has it")
    differs = False
    with tempfile.TemporaryDirectory() as folder:
        for dtype, most in _TOLERANCE.items():
            program = Path(folder) / f"step-{sources.REAL[dtype]}"
            _build(program, dtype)
            for name, overrides in _SHAPES.items():
                difference = _difference(program, overrides, dtype)
                differs |= not difference <= most
                print(f"{name:28s} {dtype!s:14s} largest relative difference {difference:.1e}")
    sys.exit(int(differs))


def _build(program: Path, dtype: torch.dtype) -> None:
    flags = [flag for flag in sources.FLAGS if flag not in ("-march=native", "-shared", "-fPIC")]
    words = ("-march=armv8-a", "-static", f"-I{sources.FOLDER}", f"-DREAL={sources.REAL[dtype]}")
    source = Path(__file__).with_name("step.cpp")
    subprocess.run([_COMPILER, *flags, *words, str(source), "-o", str(program)], check=True)


def _difference(program: Path, overrides: tuple[str, ...], dtype: torch.dtype) -> float:
    """Largest difference of a loss or a gradient, relative to the largest."""
    population = Population(
        _shape(overrides), [Member(seed=s, lr=1e-3) for s in (0, 1)], dtype=dtype
    )
    step = population.program
    assert step is not None
    flat_PN, inputs, targets = (
        population.flat_PN,
        population.inputs_CPBT[0],
        population.targets_CPBU[0],
    )
    expected = torch.cat([part.flatten() for part in step.gradient(flat_PN, inputs, targets)])
    tables = [step.tables[name] for name in ("positions", "cosine", "sine")]
    sizes = [0 if table is None else table.numel() for table in tables]
    sublayers = ctypes.cast(
        step.plan.sublayers, ctypes.POINTER(SublayerPlan * step.plan.num_sublayers)
    ).contents
    parts = [
        bytes(step.plan),
        bytes(sublayers),
        torch.tensor([*flat_PN.shape, inputs.shape[1], *sizes]).numpy().tobytes(),
        *(table.numpy().tobytes() for table in tables if table is not None),
        *(part.numpy().tobytes() for part in (flat_PN, inputs, targets)),
    ]
    ran = subprocess.run(
        [_EMULATOR, str(program)], input=b"".join(parts), stdout=subprocess.PIPE, check=True
    )
    found = torch.frombuffer(bytearray(ran.stdout), dtype=dtype)
    return float((found - expected).abs().max() / expected.abs().max())


def _shape(overrides: tuple[str, ...]) -> Shape:
    [(shape, _)] = request(None, [*overrides, "train.compile=true", "device=cpu"]).shapes
    return shape


if __name__ == "__main__":
    main()
