"""Settings of every kind with their values, and a small shape of each combination."""

from typing import Any

from resformer import plugins
from resformer.keys import (
    ACTIVATIONS,
    NORM_KINDS,
    NORMS,
    PARAMETRISATIONS,
    POSITIONS,
    SCHEDULES,
    SKIPS,
)
from resformer.model.shape import Shape
from support import shapes
from support.optimizers import optimizer
from support.pairwise import Row
from support.schemes import scheme

VALUES: dict[str, tuple[Any, ...]] = {
    "residual": tuple(sorted(plugins.own_names("resformer.residuals"))),
    "activation": ACTIVATIONS,
    "norm_kind": NORM_KINDS,
    "position": POSITIONS,
    "optimizer": tuple(sorted(plugins.own_names("resformer.optimizers"))),
    "schedule": SCHEDULES,
    "parametrisation": PARAMETRISATIONS,
    "compile": (False, True),
    "qk_norm": (False, True),
    "bias": (True, False),
    "tied": (False, True),
    "dropout": (0.0, 0.2),
    "decay_all": (False, True),
    "clip": (1.0, None),
    "attention": ("causal", "bidirectional"),
    "norm": ("own", *NORMS),
    "skip": SKIPS,
    "depth": (1, 2, 3),
    "precision": ("fp32", "bf16"),
    "batch": (8, 7),
}


APART = {
    frozenset(["residual", name])
    for name in ("activation", "norm_kind", "position", "optimizer", "schedule")
}
"""A scheme reads and writes streams: it has no part in what is inside a sub-layer, nor in the
schedule and the optimiser. It meets some of each.
"""


def allowed(row: Row) -> bool:
    """Schemes have placements that they go with, of which their own is called so; and sums have
    skips to drop; kernels are for fp32; parametrisations go with AdamW, `add` with both skips,
    norms on branches and heads of their own.
    """
    norm, skip, residual = row.get("norm", "own"), row.get("skip"), row.get("residual", "add")
    if norm != "own" and "residual" in row and norm == scheme(residual).own_norm:
        return False
    if norm not in ("own", *scheme(residual).norms):
        return False
    if skip not in (None, "both") and not scheme(residual).skips:
        return False
    if row.get("compile") and row.get("precision") == "bf16":
        return False
    if row.get("parametrisation", "standard") == "standard":
        return True
    adds = residual == "add" and row.get("norm", "pre") in ("pre", "sandwich", "branch")
    adds = adds and skip in (None, "both")
    return adds and row.get("optimizer") in (None, "adamw") and not row.get("tied")


def shape_of(row: Row) -> Shape:
    """Small, with four steps, of which two are warm-up."""
    own = dict(row)
    residual = scheme(own.pop("residual"))
    norm = own.pop("norm")
    standard = own["parametrisation"] == "standard"
    return shapes.shape(
        residual=residual,
        norm=residual.own_norm if norm == "own" else norm,
        hidden=64,
        optimizer=optimizer(own.pop("optimizer"), weight_decay=0.1),
        rope_base=100.0 if own["position"] == "rope" else None,
        base_depth=None if standard else 1,
        base_width=None if standard else 8,
        final_lr=None if own["schedule"] == "constant" else 0.1,
        steps=4,
        eval_every=2,
        warmup_steps=2,
        stop_when_solved=False,  # a tied head copies in place from the start
        **own,
    )
