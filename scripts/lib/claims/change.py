"""Claim 8: the first change of the function is bounded in depth for DeepNorm, not for post-norm."""

import numpy as np
import torch
from torch.autograd import functional

from lib.claims.claim import Claim, inside, shown
from lib.claims.drawn import lines
from lib.claims.one_token import tokens_of
from lib.claims.slopes import by_seed, exponents, interval
from resformer import config
from resformer.model.shape import Shape
from resformer.optimizers.base import Adaptive
from resformer.stats import Floats

SEEDS, DEPTHS, TOKENS = range(20, 30), (2, 4, 8, 16, 32), 8
BOUNDED, GROWING = 0.2, 0.5
MATRICES, ADAM, NORMS = "SGD, matrices", "Adam's first step, matrices", "SGD, norms' gains"
"""Steps, and the parameters of the blocks that take them."""
_SCHEMES = {"DeepNorm": "deepnorm", "post-norm": "add"}


def run() -> Claim:
    """Try it."""
    changed = {
        f"{label}: {step}": change_SL
        for label, scheme in _SCHEMES.items()
        for step, change_SL in changes(scheme).items()
    }
    growth = {label: interval(exponents(DEPTHS, change_SL)) for label, change_SL in changed.items()}
    bounded = growth[f"DeepNorm: {MATRICES}"]
    return Claim(
        number=8,
        title="the first change of the function is bounded in depth for DeepNorm, and grows for "
        "post-norm",
        source="Wang et al. 2022, arXiv 2203.00555, sections 3 and 4, figures 3 and 4",
        saw="an update that explodes in the first steps of deep post-norm stacks, and stays "
        "constant with DeepNorm",
        judged="exponent of depth of the change of a token's logits in a step of SGD on its own "
        f"loss, the matrices of the blocks alone, with DeepNorm {shown(bounded)}, wanted < "
        f"{BOUNDED:g}",
        verdict=inside(bounded, -np.inf, BOUNDED),
        reported=[
            f"with post-norm {shown(growth[f'post-norm: {MATRICES}'])}, which would grow above "
            f"{GROWING:g}",
            "finding: under Adam DeepNorm's update grows like the root of depth: exponent "
            f"{shown(growth[f'DeepNorm: {ADAM}'])} (post-norm "
            f"{shown(growth[f'post-norm: {ADAM}'])}), for Adam forgets the size of a gradient",
            "finding: training the gains and biases of its norms, which the theorem does not "
            f"count, adds a part linear in depth: {shown(growth[f'DeepNorm: {NORMS}'])} (post-norm "
            f"{shown(growth[f'post-norm: {NORMS}'])})",
        ],
        differs=f"copy, width 32, depth {DEPTHS[0]} to {DEPTHS[-1]}, {len(SEEDS)} seeds; "
        f"derivative of the logits (RMS) along the step, the limit of a rate of 0, mean over "
        f"{TOKENS} tokens; of Adam its first step",
        earlier="Did not hold, with exponents of 0.0423 to 0.14 (post-norm) and 0.257 to 0.296 "
        "(DeepNorm) over 20 steps. Wrong optimiser, parameters and rate: the theorem is about SGD "
        "on the matrices; at a rate of 0.001 Adam moved the logits at every depth as far as two "
        "unrelated outputs lie apart, where nothing is left to grow.",
        numbers=by_seed(changed, DEPTHS, SEEDS, "step", "depth", "change"),
        draw=lambda: lines(
            np.array(DEPTHS, float),
            changed,
            "depth (blocks)",
            "change of the logits per rate (RMS)",
            log=(True, True),
        ),
    )


def changes(scheme: str) -> dict[str, Floats]:
    """Change of the logits per rate, (S, depths), by step."""
    depths = f"model.depth={','.join(map(str, DEPTHS))}"
    settings = [f"model/residual={scheme}", "model.norm=post", depths, "device=cpu"]
    shapes = [shape for shape, _ in config.request(None, settings).shapes]
    measured = [[derivatives(shape, seed) for shape in shapes] for seed in SEEDS]
    return {
        step: np.array([[by_step[step] for by_step in row] for row in measured])
        for step in (MATRICES, ADAM, NORMS)
    }


def derivatives(shape: Shape, seed: int) -> dict[str, float]:
    """Derivative of a token's logits along a step on its own loss (RMS, mean over tokens), by
    step.
    """
    tokens = tokens_of(shape, seed, TOKENS)
    gradients_PN = tokens.gradients()
    matrices_PN, norms_PN = (
        gradients_PN
        * torch.cat(
            [
                torch.full((spec.size,), float(spec.name.startswith(owner) and part in spec.name))
                for spec in tokens.transformer.parameter_specs
            ]
        )
        for owner, part in (("block", ".matrix"), ("sublayer", ".norm."))
    )
    adamw = shape.optimizer
    assert isinstance(adamw, Adaptive)
    steps = {
        MATRICES: matrices_PN,
        ADAM: matrices_PN / (matrices_PN.abs() + adamw.eps),
        NORMS: norms_PN,
    }
    return {
        step: float(
            functional.jvp(tokens.logits, tokens.flat_PN, direction_PN)[1]
            .square()
            .mean(dim=1)
            .sqrt()
            .mean()
        )
        for step, direction_PN in steps.items()
    }
