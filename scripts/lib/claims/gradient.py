"""Claim 2: at the start the last FFN's gradient is flat in depth for post-norm only."""

import numpy as np

from lib.claims.claim import Claim, Interval, Part, inside, shown
from lib.claims.drawn import lines
from lib.claims.slopes import by_seed, exponents, interval
from resformer import config
from resformer.probes.measure import measure_initial

SEEDS, DEPTHS = 10, (2, 4, 8, 16, 32, 64)
FLAT, FALLING = (-0.1, 0.1), (-0.6, -0.4)


def run() -> Claim:
    """Try it."""
    by_norm = {norm: gradients(norm) for norm in ("post", "pre")}
    depths = np.array(DEPTHS, float)
    post, pre = (interval(exponents(depths, norm_SL)) for norm_SL in by_norm.values())
    return Claim(
        number=2,
        title="at the start the last FFN's gradient is flat in depth for post-norm, like "
        "depth^(-1/2) for pre-norm",
        source="Xiong et al. 2020, arXiv 2002.04745, theorem 1 and figure 3",
        saw="for post-norm of the order of 1, for pre-norm of depth^(-1/2), at the start of "
        "machine translation",
        parts=judged(post, pre),
        differs=f"copy, width 32, depth {DEPTHS[0]} to {DEPTHS[-1]}, {SEEDS} seeds, Xavier-uniform "
        "start",
        numbers=by_seed(by_norm, DEPTHS, arm="norm", value="gradient"),
        draw=lambda: lines(
            depths,
            {f"{norm}-norm": norm_SL for norm, norm_SL in by_norm.items()},
            "depth (blocks)",
            "gradient of the last FFN's second matrix (norm)",
            log=(True, True),
        ),
    )


def judged(post: Interval, pre: Interval) -> list[Part]:
    """Exponents within ±0.1 of 0, and between -0.6 and -0.4."""
    arms = {"post-norm": (post, FLAT), "pre-norm": (pre, FALLING)}
    return [
        Part(
            f"exponent of depth with {label} {shown(exponent)}, wanted {shown(bounds)}",
            inside(exponent, *bounds),
        )
        for label, (exponent, bounds) in arms.items()
    ]


def gradients(norm: str) -> np.ndarray:
    """Norm of the gradient, (S, depths)."""
    settings = [
        "model.residual=true",
        f"model.norm={norm}",
        f"model.depth={','.join(map(str, DEPTHS))}",
        "device=cpu",
    ]
    shapes = [shape for shape, _ in config.request(None, settings).shapes]
    return np.stack(
        [measure_initial(shape, range(SEEDS))["gradient_ffn_out"][-1] for shape in shapes],
        axis=1,
    )
