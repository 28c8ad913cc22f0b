"""Measures of the probe that tables show. A measure that is to be a column is added here."""

from dataclasses import dataclass
from typing import final


@final
@dataclass(frozen=True, kw_only=True)
class End:
    """Number of a probed model: a measure at one of its layers."""

    name: str
    """Its key in the JSON."""
    measure: str
    layer: int
    """Index into the layers, of which the first is the embedding."""
    heading: str
    fits: bool = True
    """False if a terminal of 80 columns has no room for it."""


ENDS = (
    End(name="rms", measure="rms", layer=-1, heading="size"),
    End(name="similarity", measure="similarity", layer=-1, heading="alike"),
    # Mostly the number of the verdict.
    End(
        name="relative_residual",
        measure="relative_residual",
        layer=-1,
        heading="residual",
        fits=False,
    ),
    End(name="effective_rank", measure="effective_rank", layer=-1, heading="rank"),
    End(name="branch_share", measure="branch_share", layer=-1, heading="branch", fits=False),
    End(name="attention_entropy", measure="attention_entropy", layer=-2, heading="entropy"),
    End(name="query_first", measure="gradient_query", layer=1, heading="query 1"),
    End(name="ffn_first", measure="gradient_ffn_out", layer=2, heading="FFN 1", fits=False),
    End(name="ffn_last", measure="gradient_ffn_out", layer=-1, heading="FFN L"),
)
EXPLANATION = (
    "Behind the last layer: size of the stream (RMS), how alike two tokens are (mean cosine), "
    "relative residual, effective rank, share of the branch in the stream; entropy of the last "
    "attention (nats); norms of the gradients of the query matrix of block 1 and of the FFN's "
    "second matrix in the first and the last block"
)
