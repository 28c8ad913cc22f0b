"""Processor of this machine: its model, its instruction sets, and those that torch uses."""

import hashlib
import platform
from functools import cache
from pathlib import Path

import torch


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
    """Its model with a hash of all that it can do, since machines of one name can differ in that;
    and the instruction sets that torch computes with, which `ATEN_CPU_CAPABILITY` can limit.
    """
    model = (processor() or ("",))[-1].rpartition(":")[2].strip()
    can_do = hashlib.sha256(repr(processor()).encode()).hexdigest()[:8]
    return {
        "processor": f"{model} ({can_do})",
        "vector instructions": torch.backends.cpu.get_cpu_capability(),
    }
