"""Facts of this machine that the settings `device` and `train.compile` depend on."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self, final


@final
@dataclass(frozen=True, kw_only=True)
class Machine:
    """The computing facilities of a machine."""

    has_gpu: bool
    """True if torch can use a GPU."""
    missing_kernels: Callable[[str, str], str | None]
    """Return the reason why compiled kernels are not available on a device, cpu or cuda, in a
    precision; None if they are. May compile.
    """

    kernels_note: Callable[[], str] = lambda: ""
    """Return the reason why available kernels are not kept for later commands; "" if they are."""

    @classmethod
    def here(cls) -> Self:
        """The machine that this process runs on."""
        import torch

        from resformer.numerics.backends import compiled
        from resformer.numerics.backends.kernels import build

        return cls(
            has_gpu=torch.cuda.is_available(),
            missing_kernels=compiled.missing,
            kernels_note=build.note,
        )
