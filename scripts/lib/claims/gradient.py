"""Claim 2: at the start the last FFN's gradient falls with depth for pre-norm only."""

from collections.abc import Callable, Sequence

import numpy as np

from lib.claims.claim import Claim, inside, shown
from lib.claims.drawn import lines
from lib.claims.one_token import tokens_of
from lib.claims.slopes import by_seed, exponents, interval
from resformer import config
from resformer.model.shape import Shape
from resformer.numerics.parameters import unpack
from resformer.probes.measure import measure_initial
from resformer.stats import Floats

SEEDS, DEPTHS, LEAST_DEPTH, TOKENS = range(20, 40), (2, 4, 8, 16, 32, 64), 8, 32
FLAT, FALLING = (-0.1, 0.1), (-0.6, -0.4)


def run() -> Claim:
    """Try it."""
    by_norm = {norm: shapes(norm) for norm in ("pre", "post")}
    token = {
        f"{norm}-norm": over_seeds(of_one_token, by_depth) for norm, by_depth in by_norm.items()
    }
    batch = {
        f"{norm}-norm, batch": over_seeds(of_batch, by_depth) for norm, by_depth in by_norm.items()
    }
    pre, post = (interval(exponents(DEPTHS, each, least=LEAST_DEPTH)) for each in token.values())
    pre_batch, post_batch = (
        interval(exponents(DEPTHS, each, least=LEAST_DEPTH)) for each in batch.values()
    )
    higher = [
        interval(
            exponents(DEPTHS, many, least=LEAST_DEPTH) - exponents(DEPTHS, one, least=LEAST_DEPTH)
        )
        for many, one in zip(batch.values(), token.values(), strict=True)
    ]
    return Claim(
        number=2,
        title="at the start the last FFN's gradient falls like depth^(-1/2) with pre-norm, and not "
        "with post-norm",
        source="Xiong et al. 2020, arXiv 2002.04745, theorem 1 and figure 3",
        saw="for post-norm of the order of 1, for pre-norm of depth^(-1/2), at the start of "
        "machine translation",
        judged=f"exponent of depth with pre-norm, of one token's loss, {shown(pre)}, wanted "
        f"{shown(FALLING)}",
        verdict=inside(pre, *FALLING),
        reported=[
            f"with post-norm {shown(post)}, which would be flat within {shown(FLAT)}",
            f"finding: the mean loss of a batch of 32 sequences has exponents {shown(pre_batch)} "
            f"(pre-norm) and {shown(post_batch)} (post-norm), higher by {shown(higher[0])} and "
            f"{shown(higher[1])}: tokens grow alike with depth, and so do their gradients, which "
            "then add up",
        ],
        differs=f"copy, width 32, depth {DEPTHS[0]} to {DEPTHS[-1]}, exponents fitted from depth "
        f"{LEAST_DEPTH} on (pre-norm's law is (c + depth)^(-1/2)), norms averaged over {TOKENS} "
        f"tokens, {len(SEEDS)} seeds, Xavier-uniform start",
        earlier="Did not hold, with exponents of 0.148 to 0.28 (post-norm) and -0.335 to -0.178 "
        "(pre-norm). Wrong loss: it differentiated the mean loss of a batch, where the theorem is "
        "about the loss at one position.",
        numbers=by_seed({**token, **batch}, DEPTHS, SEEDS, "loss", "depth", "gradient"),
        draw=lambda: lines(
            np.array(DEPTHS, float),
            {**token, **batch},
            "depth (blocks)",
            "gradient of the last FFN's second matrix (norm)",
            log=(True, True),
        ),
    )


def shapes(norm: str) -> list[Shape]:
    """Stacks with skips, by depth."""
    depths = f"model.depth={','.join(map(str, DEPTHS))}"
    settings = ["model.residual=true", f"model.norm={norm}", depths, "device=cpu"]
    return [shape for shape, _ in config.request(None, settings).shapes]


def over_seeds(measured: Callable[[Shape, int], float], by_depth: Sequence[Shape]) -> Floats:
    """Measure each seed at each depth, (S, depths)."""
    return np.array([[measured(shape, seed) for shape in by_depth] for seed in SEEDS])


def of_one_token(shape: Shape, seed: int) -> float:
    """Norm of the gradient of one token's loss, mean over tokens."""
    tokens = tokens_of(shape, seed, TOKENS)
    gradients = unpack(tokens.transformer.parameter_specs, tokens.gradients())
    return float(
        gradients[f"block{shape.model.depth}.ffn_out.matrix"].flatten(1).norm(dim=1).mean()
    )


def of_batch(shape: Shape, seed: int) -> float:
    """Norm of the gradient of the mean loss of a batch."""
    return float(measure_initial(shape, [seed])["gradient_ffn_out"][-1, 0])
