"""Self-test of a library of kernels: each against torch's operations, on small tensors."""

import ctypes
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from resformer.numerics.backends import eager
from resformer.numerics.backends.base import AdamWSettings, AttentionSettings
from resformer.numerics.backends.kernels import functions

_MEMBERS, _SEQUENCES, _TOKENS, _WIDTH, _HEADS, _HIDDEN = 2, 3, 5, 24, 3, 40
"""Sizes that fill no vector of a processor, and more than one."""
_TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-10}
"""Largest difference, relative for numbers over 1: sums of at most 40 terms of size 1 in another
order differ by some 1e-6 in float32, of which a norm of width 24 makes ten times as much.
"""
_ATTENTION = AttentionSettings(tokens=_TOKENS, heads=_HEADS, causal=True)
_ADAMW = AdamWSettings(clip=1.0, beta1=0.9, beta2=0.98, eps=1e-8, weight_decay=0.1)
_SHAPES = (
    *[(_WIDTH, _WIDTH), (_WIDTH,)] * 4,
    *((_WIDTH, _HIDDEN), (_HIDDEN,), (_HIDDEN, _WIDTH), (_WIDTH,)),
    *[(_WIDTH,)] * 2,
)
"""Weights of a member: attention, FFN, norm."""

_PROCESS = """
import sys
sys.path = {path!r}
import ctypes, torch
from resformer.numerics.backends.kernels import selftest, sources
selftest.deviation(sources.bind(ctypes.CDLL({library!r})), {dtype})
"""
"""A program that loads and tests a library."""
_MOST_SECONDS = 60.0
"""Time for it; nearly all goes into the import of torch."""

_Operation = Callable[[Tensor, Sequence[Tensor]], Tensor]


def crash(library: Path, dtype: torch.dtype) -> str:
    """Describe how a new library ends a process that loads and tests it, as by SIGILL where it is
    made for another processor; "" if it does not.

    The process is started anew: a fork of one in which torch has started threads can hang.
    """
    code = _PROCESS.format(path=sys.path, library=str(library), dtype=dtype)
    try:
        exit_code = subprocess.run(
            [sys.executable, "-P", "-c", code],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_MOST_SECONDS,
            start_new_session=True,
            check=False,
        ).returncode
    except subprocess.TimeoutExpired:
        return f"does not end its self-test within {_MOST_SECONDS:g} s"
    return f"ends its self-test by {signal.Signals(-exit_code).name}" if exit_code < 0 else ""


def deviation(kernels: ctypes.CDLL, dtype: torch.dtype) -> str:
    """The first kernel whose numbers are not those of torch's operations; "" if there is none."""
    generator = torch.Generator().manual_seed(0)
    rows = _SEQUENCES * _TOKENS
    x_PRD = torch.randn(_MEMBERS, rows, _WIDTH, dtype=dtype, generator=generator)
    count = sum(torch.Size(shape).numel() for shape in _SHAPES)
    flat_PN = torch.randn(_MEMBERS, count, dtype=dtype, generator=generator) * 0.3
    sublayers: dict[str, tuple[_Operation, _Operation]] = {
        "attention": (
            lambda x, w: functions.attend(kernels, x, w[:8], _ATTENTION),
            lambda x, w: eager.attend(x, w[:8], _ATTENTION),
        ),
        "the FFN": (
            lambda x, w: functions.ffn(kernels, x, w[8:12]),
            lambda x, w: eager.ffn(x, w[8:12], "relu"),
        ),
        "the norm": (
            lambda x, w: functions.norm(kernels, x, *w[12:]),
            lambda x, w: eager.norm(x, *w[12:]),
        ),
    }
    for name, (ours, reference) in sublayers.items():
        if not _same(
            _with_gradients(ours, x_PRD, flat_PN), _with_gradients(reference, x_PRD, flat_PN)
        ):
            return name
    return "" if _same(_updated(kernels, flat_PN), _updated(None, flat_PN)) else "AdamW"


@torch.enable_grad()
def _with_gradients(operation: _Operation, x_PRD: Tensor, flat_PN: Tensor) -> list[Tensor]:
    """Output, and the gradients of x and all weights for a fixed gradient of the output."""
    x_PRD, flat_PN = (tensor.clone().requires_grad_() for tensor in (x_PRD, flat_PN))
    parts = flat_PN.split_with_sizes([torch.Size(shape).numel() for shape in _SHAPES], dim=1)
    weights = [part.view(-1, *shape) for part, shape in zip(parts, _SHAPES, strict=True)]
    y_PRD = operation(x_PRD, weights)
    slope_PRD = torch.linspace(-1, 1, y_PRD.numel(), dtype=y_PRD.dtype).view(y_PRD.shape)
    total = (y_PRD * slope_PRD).sum()  # to give `grad` the slopes would have it import sympy: 0.4 s
    return [y_PRD.detach(), *torch.autograd.grad(total, (x_PRD, flat_PN))]


def _updated(kernels: ctypes.CDLL | None, flat_PN: Tensor) -> list[Tensor]:
    """Parameters, moments and norms after a step of AdamW, by these kernels or torch's operations,
    with a gradient that is clipped and one that is not.
    """
    size_P1 = torch.tensor([[1e-3], [1.0]], dtype=flat_PN.dtype)
    grad_PN = flat_PN.flip(1) * size_P1
    flat_PN, exp_avg_PN, exp_avg_sq_PN = flat_PN.clone(), flat_PN * 0.1, flat_PN.square() * 0.1
    moments_PN = (exp_avg_PN, exp_avg_sq_PN)
    lr_P, number = flat_PN.new_full((_MEMBERS,), 1e-2), torch.tensor(3)
    with torch.no_grad():
        norm_P = (
            eager.update(flat_PN, grad_PN, *moments_PN, lr_P, _ADAMW, number)
            if kernels is None
            else functions.update(kernels, flat_PN, grad_PN, *moments_PN, lr_P, _ADAMW, number)
        )
    return [flat_PN, *moments_PN, norm_P]


def _same(ours: Sequence[Tensor], reference: Sequence[Tensor]) -> bool:
    tolerance = _TOLERANCE[reference[0].dtype]
    return all(
        torch.allclose(ours_, theirs, rtol=tolerance, atol=tolerance)
        for ours_, theirs in zip(ours, reference, strict=True)
    )
