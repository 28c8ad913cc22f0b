"""Compile the Triton kernels of training steps for sm_90, on a machine without a GPU: prints, as
JSON, a list of what each takes by step. An argument is a step: a precision, and classic or modern.

A step runs on `meta`, where tensors have no values and take no memory.
"""

import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

from resformer.model.shape import Member
from resformer.numerics.backends import compiled
from resformer.numerics.backends.fused import backend as fused
from resformer.tasks.copy import Copy
from resformer.training.population import Population
from support import shapes

_MODERN: dict[str, Any] = {
    "norm_kind": "rms",
    "qk_norm": True,
    "bias": False,
    "position": "rope",
    "rope_base": 10_000.0,
    "activation": "swiglu",
}


class _Driver:
    """Stands in for the driver of an H100."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


_launch, _taken = JITFunction.run, dict[str, dict[str, Any]]()


def _compile(kernel: JITFunction[Any], *arguments: Any, warmup: bool, **options: Any) -> None:
    """Compile a kernel for these arguments, in place of launching it."""
    made = _launch(kernel, *arguments, warmup=True, **options)
    if made.hash not in _taken:
        name = f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}"
        _taken[made.hash] = {
            "name": name,
            "warps": made.metadata.num_warps,
            "shared": made.metadata.shared,
            **_usage(made.asm["cubin"]),
        }


def _usage(machine_code: bytes) -> Mapping[str, int]:
    """Registers of a thread, and bytes of its stack, on which others are spilled."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(machine_code)
        file.flush()
        tool = Path(nvidia.__path__[0]) / "bin" / "cuobjdump"
        words = [str(tool), "-res-usage", file.name]
        said = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    match = re.search(r"REG:(\d+) STACK:(\d+)", said)
    assert match is not None, said
    return {"registers": int(match[1]), "stack": int(match[2])}


def main(*steps: str) -> None:
    """Take each step: copy of 8 tokens, width 32, two blocks with norms. No kernel depends on the
    number of members.
    """
    driver.set_active(_Driver())
    JITFunction.run = _compile
    compiled.kernels = lambda tensor: fused
    taken = {}
    for step in steps:
        _taken.clear()
        precision, block = step.split()
        fused.precision_of = lambda x, precision=precision: precision
        shape = shapes.shape(
            task=Copy(length=8, symbols=16),
            width=32,
            heads=4,
            hidden=128,
            batch=32,
            compile=True,
            **(_MODERN if block == "modern" else {}),
        )
        members = [Member(seed=seed, lr=1e-3) for seed in range(64)]
        shape = dataclasses.replace(shape, device="meta")
        Population(shape, members, dtype=torch.float32).advance()
        taken[step] = [*_taken.values()]
    print(json.dumps(taken))


if __name__ == "__main__":
    main(*sys.argv[1:])
