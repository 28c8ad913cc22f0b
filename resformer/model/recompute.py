"""Blocks whose activations are computed again in the backward pass instead of being kept
(checkpointing: Chen et al. 2016, arXiv 1604.06174, section 4).
"""

from collections.abc import Callable
from typing import Any

from torch.utils.checkpoint import checkpoint


def recomputed(block: Callable[[Any], Any], streams: Any) -> Any:
    """Residual streams behind a block. Only those before it are kept for the backward pass.

    The same operations on the same numbers, so that gradients have the same bits; the block may
    draw no random numbers but derived ones.
    """
    is_tuple = isinstance(streams, tuple)

    def of_parts(*parts: Any) -> Any:
        return block(parts if is_tuple else parts[0])

    parts = streams if is_tuple else (streams,)
    return checkpoint(of_parts, *parts, use_reentrant=False, preserve_rng_state=False)
