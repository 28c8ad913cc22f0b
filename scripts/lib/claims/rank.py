"""Claim 1: attention alone loses rank doubly exponentially with depth, and skips prevent it."""

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from lib.claims.claim import Claim, Interval, Part, inside, shown
from lib.claims.drawn import lines
from lib.claims.slopes import interval
from resformer import config
from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.numerics.backends import eager
from resformer.numerics.backends.base import AttentionSettings
from resformer.numerics.parameters import initial_values, unpack
from resformer.probes.measures.base import Trace
from resformer.probes.measures.rank import Rank

SEEDS, LAYERS, SKIPPED_LAYERS = 10, 12, 6
GROWTH, APART, FLOOR = (2.5, 5.0), 0.1, 1e-14
"""Growth of the residual's logarithm per layer; residual with skips; round-off is below this."""
_SETTINGS = [
    f"model.depth={LAYERS}",
    "model.norm=none",
    "model.attention=bidirectional",
    "device=cpu",
]


def run() -> Claim:
    """Try it."""
    ((shape, _),) = config.request(None, [*_SETTINGS, "train.compile=false"]).shapes
    plain_SL, skipped_SL = (residuals(shape, skip) for skip in (False, True))
    growth = interval(growths(plain_SL))
    apart = interval(skipped_SL[:, SKIPPED_LAYERS])
    return Claim(
        number=1,
        title="without skips attention loses rank doubly exponentially; skips prevent it",
        source="Dong, Cordonnier & Loukas 2021, arXiv 2103.03404, theorem 2.2 and figure 2",
        saw="a bound by which the residual is cubed in every layer; with skips it stays",
        parts=judged(growth, apart),
        differs=f"width 32, 4 heads, {shape.transformer().tokens} tokens, Xavier-uniform start, "
        f"{SEEDS} seeds; attention alone, no FFN, no norm",
        numbers=table(plain_SL, skipped_SL),
        draw=lambda: figure(plain_SL, skipped_SL),
    )


def judged(growth: Interval, apart: Interval) -> list[Part]:
    """The logarithm grows 2.5 to 5 times a layer, and with skips the residual stays above 0.1."""
    grows = (
        f"without skips its logarithm grows {shown(growth)} times a layer, wanted {shown(GROWTH)}"
    )
    stays = f"with skips it is {shown(apart)} after {SKIPPED_LAYERS} layers, wanted > {APART:g}"
    return [Part(grows, inside(growth, *GROWTH)), Part(stays, inside(apart, APART, np.inf))]


@torch.no_grad()
def residuals(shape: Shape, skip: bool) -> np.ndarray:
    """Relative residual behind the embedding and every layer, (seeds, LAYERS + 1), in float64."""
    transformer, seeds = shape.transformer(), torch.arange(SEEDS)
    w = unpack(
        transformer.parameter_specs,
        initial_values(transformer.parameter_specs, seeds, torch.float64),
    )
    source, target = shape.task.draw(rng.key(seeds, "held-out"), shape.train.batch)
    inputs_PBT = shape.task.inputs(source, target, shape.model.attention)
    members = torch.arange(SEEDS)[:, None, None]
    x_PRD = (
        w["embedding.token"][members, inputs_PBT] + w["embedding.position"].unsqueeze(1)
    ).flatten(1, 2)
    settings = AttentionSettings(tokens=transformer.tokens, heads=shape.model.heads, causal=False)
    streams = [x_PRD]
    for block in range(1, LAYERS + 1):
        weights = [
            w[f"block{block}.{group}.{part}"] for group in _GROUPS for part in ("matrix", "bias")
        ]
        f_PRD = eager.attend(x_PRD, weights, settings)
        x_PRD = x_PRD + f_PRD if skip else f_PRD
        streams.append(x_PRD)
    trace = Trace(residual=shape.residual, sequences=shape.train.batch, streams=streams)
    return Rank().compute(trace)["relative_residual"].T.numpy()


_GROUPS = ("query", "key", "value", "output")


def growths(residual_SL: np.ndarray) -> np.ndarray:
    """Factor by which the residual's logarithm grows per layer, (S,): geometric mean over layers.

    Layers count from where the residual has begun to fall (under one half) down to the floor.
    """
    factors = []
    for residual_L in residual_SL:
        logs = np.log(residual_L[(residual_L < 0.5) & (residual_L > FLOOR)])
        factors.append(np.exp(np.diff(np.log(-logs)).mean()) if len(logs) > 1 else np.nan)
    return np.array(factors)


def table(plain_SL: np.ndarray, skipped_SL: np.ndarray) -> pd.DataFrame:
    """A row per seed and layer."""
    seed, layer = (axis.flatten() for axis in np.indices(plain_SL.shape))
    columns = {
        "residual_without_skips": plain_SL.flatten(),
        "residual_with_skips": skipped_SL.flatten(),
    }
    return pd.DataFrame({"seed": seed, "layer": layer, **columns})


def figure(plain_SL: np.ndarray, skipped_SL: np.ndarray) -> Figure:
    """The residual against the layer."""
    layers = np.arange(plain_SL.shape[1])
    drawn = {"without skips": plain_SL, "with skips": skipped_SL}
    return lines(layers, drawn, "layers of attention", "relative residual", log=(False, True))
