"""Seconds of a repeated call on a device, which computes while Python goes on."""

import time
from collections.abc import Callable

import torch

_REPETITIONS = 3


def synchronize(device: str) -> None:
    """Wait until the device has computed all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


def seconds_per_call(call: Callable[[], object], device: str, about: float) -> list[float]:
    """Seconds of a call, a number per repetition, each of which takes about so many seconds."""
    call()
    calls = max(1, round(about / _timed(call, device, 1)))
    return [_timed(call, device, calls) for _ in range(_REPETITIONS)]


def _timed(call: Callable[[], object], device: str, calls: int) -> float:
    synchronize(device)
    began = time.perf_counter()
    for _ in range(calls):
        call()
    synchronize(device)
    return (time.perf_counter() - began) / calls
