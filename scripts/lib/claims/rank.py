"""Claim 1: attention alone loses rank doubly exponentially with depth, with skips exponentially."""

import numpy as np
import torch

from lib.claims.claim import Claim, inside, shown
from lib.claims.drawn import lines
from lib.claims.slopes import by_seed, interval
from resformer import config
from resformer.model.shape import Shape
from resformer.numerics import rng
from resformer.numerics.backends import eager
from resformer.numerics.backends.base import AttentionSettings, AttentionWeights, Linear
from resformer.numerics.parameters import initial_values, unpack
from resformer.probes.measures.base import Trace
from resformer.probes.measures.rank import Rank
from resformer.stats import Floats

SEEDS, LAYERS = range(10, 20), 24
LOWER, FLOOR = 1.5, 1e-14
"""Orders by which skips lower the fall, at the least; round-off is below this residual."""
_SETTINGS = [
    f"model.depth={LAYERS}",
    "model.norm=none",
    "model.attention=bidirectional",
    "device=cpu",
]


def run() -> Claim:
    """Try it."""
    ((shape, _),) = config.request(None, [*_SETTINGS, "train.compile=false"]).shapes
    residual = {f"{word} skips": residuals(shape, word == "with") for word in ("without", "with")}
    without_S, with_S = map(orders, residual.values())
    lower = interval(without_S - with_S)
    kept_SL = residual["with skips"][:, 1:] / residual["with skips"][:, :-1]
    left = {layer: interval(residual["with skips"][:, layer]) for layer in (6, 12, LAYERS)}
    return Claim(
        number=1,
        title="without skips attention loses rank doubly exponentially; with skips by a bounded "
        "factor a layer",
        source="Dong, Cordonnier & Loukas 2021, arXiv 2103.03404, theorem 2.2 and figure 2; Noci "
        "et al. 2022 (a single exponential with skips)",
        saw="a bound by which the residual is cubed in every layer; with skips it stays",
        judged="order of the fall (slope of the residual's logarithm after a layer on that "
        "before: 3 where it is cubed, 1 where it loses a factor), without skips less with skips: "
        f"{shown(lower)}, wanted > {LOWER:g}",
        verdict=inside(lower, LOWER, np.inf),
        reported=[
            f"without skips {shown(interval(without_S))}, with skips {shown(interval(with_S))}",
            f"with skips the first layer keeps {shown(interval(kept_SL[:, 0]))} of the residual, "
            f"layer {LAYERS} {shown(interval(kept_SL[:, -1]))}, any layer at least "
            f"{kept_SL.min():.2g}",
            "so skips slow the fall and do not prevent it: it is "
            + ", ".join(f"{shown(bounds)} after {layer} layers" for layer, bounds in left.items()),
        ],
        differs=f"width 32, 4 heads, {shape.transformer().tokens} tokens, bidirectional, "
        f"Xavier-uniform start, {len(SEEDS)} seeds; attention alone, no FFN, no norm; orders of "
        "residuals under one half",
        earlier="Held. It read one level, the residual with skips after 6 layers (0.502 to 0.55, "
        "wanted > 0.1), which falls on: after 16 layers it would have been undecided and after 20 "
        "it would not have held.",
        numbers=by_seed(residual, range(LAYERS + 1), SEEDS, "arm", "layer", "residual"),
        draw=lambda: lines(
            np.arange(LAYERS + 1),
            residual,
            "layers of attention",
            "relative residual",
            log=(False, True),
        ),
    )


@torch.no_grad()
def residuals(shape: Shape, skip: bool) -> Floats:
    """Relative residual behind the embedding and every layer, (S, LAYERS + 1), in float64."""
    transformer, seeds = shape.transformer(), torch.tensor(SEEDS)
    w = unpack(
        transformer.parameter_specs,
        initial_values(transformer.parameter_specs, seeds, torch.float64),
    )
    source, target = shape.task.draw(rng.key(seeds, "held-out"), shape.train.batch)
    inputs_PBT = shape.task.inputs(source, target, shape.model.attention)
    members = torch.arange(len(SEEDS))[:, None, None]
    x_PRD = (
        w["embedding.token"][members, inputs_PBT] + w["embedding.position"].unsqueeze(1)
    ).flatten(1, 2)
    head_width = shape.model.width // shape.model.heads
    settings = AttentionSettings(
        tokens=transformer.tokens,
        heads=shape.model.heads,
        causal=False,
        scale=head_width**-0.5,
    )
    streams = [x_PRD]
    for block in range(1, LAYERS + 1):
        query, key, value, output = (
            Linear(w[f"block{block}.{group}.matrix"], w[f"block{block}.{group}.bias"])
            for group in _GROUPS
        )
        weights = AttentionWeights(query=query, key=key, value=value, output=output)
        f_PRD = eager.attend(x_PRD, weights, settings)
        x_PRD = x_PRD + f_PRD if skip else f_PRD
        streams.append(x_PRD)
    trace = Trace(residual=shape.residual, sequences=shape.train.batch, streams=streams)
    residual_LS: Floats = Rank().compute(trace)["relative_residual"].numpy()
    return residual_LS.T


_GROUPS = ("query", "key", "value", "output")


def orders(residual_SL: Floats) -> Floats:
    """Slope of the residual's logarithm after a layer on that before, (S,): the order at which the
    residual falls.

    Layers count from where it has begun to fall (under one half) down to the floor.
    """
    slopes = []
    for residual_L in residual_SL:
        logs = np.log(residual_L[(residual_L < 0.5) & (residual_L > FLOOR)])
        slopes.append(np.polyfit(logs[:-1], logs[1:], 1)[0] if len(logs) > 2 else np.nan)
    return np.array(slopes)
