"""Processor of this machine: its model, its instruction sets, and those that torch uses."""

import hashlib
import platform
from functools import cache
from pathlib import Path

import torch

_MODELS = ("model name", "CPU part")
"""Keys of a model in /proc/cpuinfo: on x86, and on ARM, which has a number only."""


@cache
def processor() -> tuple[str, ...]:
    """Model and instruction sets of the processor: machines of several kinds may share a cache."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor(), platform.machine()
    return tuple(
        sorted(
            {
                line
                for line in lines
                if line.startswith(("model name", "flags", "Features", "CPU part"))
            }
        )
    )


def processor_facts() -> dict[str, str]:
    """Processor model, hash of its instruction sets, and the sets torch uses.

    Machines of one model can differ in the former, and `ATEN_CPU_CAPABILITY` can limit the latter.
    """
    lines = processor() or ("",)
    line = next((line for name in _MODELS for line in lines if line.startswith(name)), lines[-1])
    model = line.rpartition(":")[2].strip()
    can_do = hashlib.sha256(repr(processor()).encode()).hexdigest()[:8]
    return {
        "processor": f"{model} ({can_do})",
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
    }
