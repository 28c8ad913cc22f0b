"""Compile the Triton kernels of a training step for sm_90, on a machine without a GPU: prints a
JSON list of what each takes. Arguments: a precision, and classic or modern.

The step runs on `meta`, where tensors have no values and take no memory.
"""

import dataclasses
import inspect
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends import nvidia
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction

from resformer.model.shape import Member
from resformer.numerics.backends import compiled
from resformer.numerics.backends.fused import backend as fused
from resformer.tasks.copy import Copy
from resformer.training.population import Population
from support import shapes

_OPTIONS = ("num_warps", "num_stages", "enable_fp_fusion")
_MODERN: dict[str, Any] = {
    "norm_kind": "rms",
    "qk_norm": True,
    "bias": False,
    "position": "rope",
    "rope_base": 10_000.0,
    "activation": "swiglu",
}
_TYPES = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.int64: "*i64"}

_compiled: dict[str, dict[str, Any]] = {}


def _compile(kernel: JITFunction[Any], *arguments: Any, **options: Any) -> None:
    """Compile a kernel for these arguments, in place of launching it."""
    del options["grid"], options["warmup"]
    given = {name: options.pop(name) for name in _OPTIONS if name in options}
    values = inspect.signature(kernel.fn).bind(*arguments, **options).arguments
    constants = {
        name: value
        for name, value in values.items()
        if value is None or kernel.params[kernel.arg_names.index(name)].is_constexpr
    }
    types = {name: _type(value) for name, value in values.items() if name not in constants}
    signature = {name: types.get(name, "constexpr") for name in kernel.arg_names}
    key = json.dumps([kernel.fn.__module__, kernel.fn.__name__, signature, constants, given])
    if key not in _compiled:
        source = ASTSource(fn=kernel, signature=signature, constexprs=constants)
        made = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=given)
        name = f"{kernel.fn.__module__.rpartition('.')[2]}.{kernel.fn.__name__}"
        taken = _taken(made.asm["cubin"])
        _compiled[key] = {"name": name, "shared": made.metadata.shared, **given, **taken}


def _type(value: Any) -> str:
    if isinstance(value, Tensor):
        return _TYPES[value.dtype]
    return "fp32" if isinstance(value, float) else "i32" if abs(value) < 2**31 else "i64"


def _taken(machine_code: bytes) -> Mapping[str, int]:
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


def main(precision: str, block: str) -> None:
    """Take a step of 1,024 members: copy of 8 tokens, width 32, one block with norms."""
    shape = shapes.shape(
        task=Copy(length=8, symbols=16),
        depth=1,
        width=32,
        heads=4,
        hidden=128,
        batch=32,
        compile=True,
        **(_MODERN if block == "modern" else {}),
    )
    JITFunction.run = _compile
    compiled.kernels = lambda tensor: fused
    fused.precision_of = lambda x: precision
    members = [Member(seed=seed, lr=1e-3) for seed in range(1024)]
    shape = dataclasses.replace(shape, device="meta")
    Population(shape, members, dtype=torch.float32).advance()
    print(json.dumps([*_compiled.values()]))


if __name__ == "__main__":
    main(*sys.argv[1:])
