"""The words of a small study that tests really sweep: `resformer sweep *SMALL`."""

SMALL = [
    "--study",
    "small",
    "model.depth=1,2",
    "model.width=8,16",
    "member.seed=0,1",
    "member.lr=1e-3,1e-2",
    "train.steps=20",
    "train.batch=4",
    "train.compile=false",
    "train.keep_weights=true",
    "probe.every=10",
    "engine.workers=1",
]
"""Four jobs of four members, with their weights and what was probed."""
