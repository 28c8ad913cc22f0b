"""Signal propagation at initialisation: every measure of a grid of shapes, as one table."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from resformer.keys import flatten
from resformer.model.serial import shape_to_json
from resformer.model.shape import Member, Shape
from resformer.probes.measure import measure_initial

_MOST_ROWS = 1 << 17
"""Largest number of tokens times layers that are measured together."""


def table(
    shapes: Sequence[tuple[Shape, Sequence[Member]]], progress: Callable[[int], None]
) -> pd.DataFrame:
    """Measure every shape: a row per shape, seed and layer, with the shape's settings by dotted
    key, `seed`, `layer`, and every column.

    Learning rates do not matter before the first step: seeds count once. `progress` is called with
    the number of shapes that are done.
    """
    parts = []
    for done, (shape, members) in enumerate(shapes):
        progress(done)
        seeds = list(dict.fromkeys(member.seed for member in members))
        settings = flatten(shape_to_json(shape))
        layers = 2 * shape.model.depth + 1
        chunk_size = max(1, _MOST_ROWS // (shape.train.batch * shape.transformer().tokens * layers))
        for first in range(0, len(seeds), chunk_size):
            chunk = seeds[first : first + chunk_size]
            measured = measure_initial(shape, chunk)
            columns = {
                "seed": np.repeat(chunk, layers),
                "layer": np.tile(np.arange(layers), len(chunk)),
                **{name: column.T.flatten() for name, column in measured.items()},
            }
            parts.append(pd.DataFrame({**settings, **columns}))
    return pd.concat(parts, ignore_index=True)
