"""Claim 8: the early change of the function grows with depth for post-norm, not for DeepNorm."""

import dataclasses

import numpy as np
import torch

from lib.claims.claim import Claim, Interval, Part, inside, shown
from lib.claims.drawn import lines
from lib.claims.slopes import Floats, by_seed, exponents, interval
from resformer import config
from resformer.model.objective import held_out
from resformer.model.shape import Member, Shape
from resformer.training.population import Population

SEEDS, DEPTHS, STEPS, RATE = 10, (2, 4, 8, 16, 32, 64), 20, 1e-3
GROWING, BOUNDED = 0.5, 0.2
_SCHEMES = {"post-norm": "add", "DeepNorm": "deepnorm"}


def run() -> Claim:
    """Try it."""
    changed = {label: changes(scheme) for label, scheme in _SCHEMES.items()}
    depths = np.array(DEPTHS, float)
    post, deep = (interval(exponents(depths, change_SL)) for change_SL in changed.values())
    return Claim(
        number=8,
        title="the early change of the function grows with depth for post-norm and is bounded for "
        "DeepNorm",
        source="Wang et al. 2022, arXiv 2203.00555, sections 3 and 4, figures 3 and 4",
        saw="an update that explodes in the first steps of deep post-norm stacks, and stays "
        "constant with DeepNorm",
        parts=[
            *judged(post, deep),
            *(Part(medians(label, change_SL)) for label, change_SL in changed.items()),
        ],
        differs=f"copy, width 32, AdamW at {RATE:g} without warm-up, clipped at 1, {SEEDS} seeds; "
        "of the logits (RMS)",
        numbers=by_seed(changed, DEPTHS, arm="scheme", value="change"),
        draw=lambda: lines(
            depths,
            changed,
            "depth (blocks)",
            "change of the logits (RMS)",
            log=(True, True),
        ),
    )


def judged(post: Interval, deep: Interval) -> list[Part]:
    """Exponents above 0.5, and under 0.2."""
    grows = (
        f"exponent of depth of the mean change over steps 1 to {STEPS} with post-norm "
        f"{shown(post)}, wanted > {GROWING}"
    )
    bounded = f"with DeepNorm {shown(deep)}, wanted < {BOUNDED}"
    return [
        Part(grows, inside(post, GROWING, np.inf)),
        Part(bounded, inside(deep, -np.inf, BOUNDED)),
    ]


def medians(label: str, change_SL: Floats) -> str:
    """Medians over seeds by depth, in words."""
    pairs = zip(np.median(change_SL, axis=0), DEPTHS, strict=True)
    texts = [f"{change:.2g} at depth {depth}" for change, depth in pairs]
    return f"{label}, medians: {', '.join(texts)}"


def changes(scheme: str) -> Floats:
    """Distance of held-out logits from the start, mean over steps, (S, depths)."""
    settings = [f"model/residual={scheme}", "model.norm=post", "train.warmup_steps=0", "device=cpu"]
    depths = f"model.depth={','.join(map(str, DEPTHS))}"
    shapes = [shape for shape, _ in config.request(None, [*settings, depths]).shapes]
    return np.stack([_changes(shape) for shape in shapes], axis=1)


def _changes(shape: Shape) -> Floats:
    shape = dataclasses.replace(shape, train=dataclasses.replace(shape.train, steps=STEPS))
    population = Population(
        shape, [Member(seed=seed, lr=RATE) for seed in range(SEEDS)], dtype=torch.float32
    )
    inputs_PBT = held_out(shape, population.device)[0][:, : shape.train.batch].expand(SEEDS, -1, -1)
    distances = []
    with torch.no_grad():
        first = population.model.forward(population.flat_PN, inputs_PBT)
    for _ in range(STEPS):
        population.advance()
        with torch.no_grad():
            moved = population.model.forward(population.flat_PN, inputs_PBT) - first
        distances.append(moved.square().flatten(1).mean(1).sqrt().numpy())
    return np.asarray(np.mean(distances, axis=0, dtype=np.float64))
