"""Parallel blocks: attention and FFN read the same stream, side by side."""

from dataclasses import dataclass
from typing import ClassVar, final

from torch import Tensor

from resformer.residuals.base import ManyStreams, Streams, SublayerContext, total


@final
@dataclass(frozen=True)
class Parallel(ManyStreams):
    """x' = x + Attn(N_1(x)) + FFN(N_2(x)), x the input of the block.

    GPT-J (Wang & Komatsuzaki 2021), with a norm of its own for each sub-layer as in GPT-NeoX-20B
    (Black et al. 2022, arXiv 2204.06745, section 2.1.2; taken from secondary sources). GPT-J and
    PaLM (Chowdhery et al. 2022, arXiv 2204.02311, section 2) have one norm for both. Attention's
    output joins the stream at the end of the block, and has no share in it before. Learned:
    nothing. Norm: pre.
    """

    own_norm: ClassVar[str] = "pre"
    norms: ClassVar[tuple[str, ...]] = ("pre",)

    def write(self, streams: Streams, f_PRD: Tensor, context: SublayerContext) -> Streams:
        """Keep attention's output beside x; at the end of a block add both to x."""
        return (total([*streams, f_PRD]),) if context.ends_block else (*streams, f_PRD)
