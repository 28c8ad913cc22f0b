"""Words of small studies that tests really sweep."""

TINY_SETTINGS = [
    "model.width=8",
    "model.heads=2",
    "task.length=5",
    "task.symbols=8",
    "train.eval_sequences=16",
    "train.warmup_steps=5",
]
"""A tiny model and task; a test adds depth, steps and members."""

TINY = ["model.depth=1", *TINY_SETTINGS, "train.steps=20"]
"""One tiny job."""

SMALL = [
    "--study",
    "small",
    "model.depth=1,2",
    "model.width=8,16",
    "member.seed=0,1",
    "member.lr=1e-3,1e-2",
    "train.steps=20",
    "train.warmup_steps=5",
    "train.batch=4",
    "train.compile=false",
    "train.keep_weights=true",
    "probe.every=10",
    "engine.workers=1",
]
"""`resformer sweep *SMALL`: four jobs of four members, with their weights and probes."""
