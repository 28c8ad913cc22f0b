"""Ceilings of the card: a copy, large matrix products, and small batched ones."""

import pandas as pd
import torch

from lib.bench.tables import number, table
from lib.gpu.clock import seconds_per_call
from lib.gpu.record import Record, Row

_SECONDS = 0.2
_COPIED = 1 << 28
_SIDE = 8192
_STACKS = (64, 1024)
_ROWS, _WIDTH, _HIDDEN = 512, 32, 128
"""Rows, columns and right columns of a small product: the first of an FFN at width 32, of 32
sequences of 16 tokens.
"""
_FLOAT = 4
_PRECISIONS = {"fp32": torch.float32, "tf32": torch.float32, "bf16": torch.bfloat16}


def measure(device: str, record: Record) -> None:
    """A row per operation and repetition."""
    rows = [copy(device, _COPIED)]
    rows += [products(device, precision, 1, _SIDE, _SIDE, _SIDE) for precision in _PRECISIONS]
    rows += [
        products(device, precision, stack, _ROWS, _WIDTH, _HIDDEN)
        for precision in ("fp32", "tf32")
        for stack in _STACKS
    ]
    for repetitions in rows:
        for row in repetitions:
            record(row)


def copy(device: str, numbers: int) -> list[Row]:
    """Copy so many float32 from the device's memory to another place in it."""
    source = torch.randn(numbers, device=device)
    target = torch.empty_like(source)
    return [
        {"what": "copy", "tflops": 0.0, "tb_per_s": 2 * _FLOAT * numbers / seconds / 1e12}
        for seconds in seconds_per_call(lambda: target.copy_(source), device, _SECONDS)
    ]


def products(device: str, precision: str, count: int, m: int, k: int, n: int) -> list[Row]:
    """Multiply so many pairs of matrices, (m, k) by (k, n), with `torch.bmm`."""
    torch.backends.cuda.matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    dtype = _PRECISIONS[precision]
    left = torch.randn(count, m, k, device=device, dtype=dtype)
    right = torch.randn(count, k, n, device=device, dtype=dtype)
    out = torch.empty(count, m, n, device=device, dtype=dtype)
    size = dtype.itemsize * count * (m * k + k * n + m * n)
    batched = f"{count:,} × " if count > 1 else ""
    return [
        {
            "what": f"{batched}({m} × {k})·({k} × {n}), {precision}",
            "tflops": 2 * count * m * k * n / seconds / 1e12,
            "tb_per_s": size / seconds / 1e12,
        }
        for seconds in seconds_per_call(lambda: torch.bmm(left, right, out=out), device, _SECONDS)
    ]


def render(rows: pd.DataFrame) -> str:
    """A line per operation, medians."""
    lines = [
        [
            str(what),
            number(part["tflops"].median()) if part["tflops"].any() else "",
            number(part["tb_per_s"].median()),
        ]
        for what, part in rows.groupby("what", sort=False)
    ]
    note = "Bytes are those of all operands, read or written once; of random numbers."
    return table("Ceilings of the card", ["", "TFLOP/s", "TB/s"], lines, [note])
