"""CUDA graph of a training step: its hundreds of small kernels are launched as one."""

from collections.abc import Callable, Sequence
from typing import final

import torch
from torch import Tensor

_WARM_UPS = 3
"""Runs before the capture, in which libraries choose their kernels and allocate their workspaces.
"""


@final
class CudaGraphedStep:
    """Step captured as a CUDA graph; calling it replays the capture.

    `body` must read and write the same tensors each time, and read nothing back. The tensors in
    `changed` get their values from before the warm-up back.
    """

    def __init__(self, body: Callable[[], None], changed: Sequence[Tensor]) -> None:
        before = [tensor.detach().clone() for tensor in changed]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                body()
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            body()
        for tensor, value in zip(changed, before, strict=True):
            tensor.detach().copy_(value)

    def __call__(self) -> None:
        """Replay the step once."""
        self._graph.replay()
