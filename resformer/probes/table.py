"""Signal propagation at initialisation: every measure of a grid of shapes, as one table."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from resformer.keys import flatten
from resformer.model.serial import shape_to_json
from resformer.model.shape import Member, Shape
from resformer.probes import measure

_MOST_ROWS = 1 << 17
"""Tokens times layers that are looked at together."""


def table(
    shapes: Sequence[tuple[Shape, Sequence[Member]]], tell: Callable[[int], None]
) -> pd.DataFrame:
    """A row per shape, seed and layer: the shape's settings by dotted key, `seed`, `layer`, and
    every measure.

    Learning rates do not matter before the first step: seeds count once. `tell` is told how many
    shapes are done.
    """
    parts = []
    for done, (shape, members) in enumerate(shapes):
        tell(done)
        seeds = list(dict.fromkeys(member.seed for member in members))
        settings = flatten(shape_to_json(shape))
        rows = shape.train.batch * shape.transformer().tokens * (2 * shape.model.depth + 1)
        together = max(1, _MOST_ROWS // rows)
        for first in range(0, len(seeds), together):
            some = seeds[first : first + together]
            found = measure.at_the_start(shape, some)
            layers = 2 * shape.model.depth + 1
            columns = {
                "seed": np.repeat(some, layers),
                "layer": np.tile(np.arange(layers), len(some)),
                **{name: values.T.flatten() for name, values in found.items()},
            }
            parts.append(pd.DataFrame({**settings, **columns}))
    return pd.concat(parts, ignore_index=True)
