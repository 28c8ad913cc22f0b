"""Hooks into a forward pass."""

from dataclasses import dataclass
from typing import Any, Protocol, final

from torch import Tensor

from resformer.residuals.base import Place


@final
@dataclass(frozen=True)
class Seen:
    """What a sub-layer is shown to do."""

    place: Place
    carried: Any
    """Before it; None where its skip was dropped."""
    x_PRD: Tensor
    """What it reads, before its norm: the stream."""
    f_PRD: Tensor
    """What it gives, behind the norm of its branch."""
    a_PBHTT: Tensor | None
    """What attention mixed its values with; None of an FFN."""


class Watch(Protocol):
    """Who looks on while a model computes."""

    def sublayer(self, seen: Seen) -> None:
        """Called for every sub-layer, in their order."""

    def output(self, x_PRD: Tensor) -> None:
        """Called with the stream behind the last sub-layer."""
