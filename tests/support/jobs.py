"""Jobs of a store that are claimed and committed without training."""

import numpy as np

from resformer.store.claims import Claim, HeartbeatObserver, take
from resformer.store.study import Study


def planned_job(job_id: str) -> dict[str, object]:
    """A line of a plan; the store looks no deeper than it must."""
    model = {"depth": 1, "norm": "post", "residual": {"name": "add"}}
    shape = {
        "task": {"name": "copy"},
        "model": model,
        "train": {"steps": 5, "compile": False},
        "device": "cpu",
    }
    facts = {"parameters": 1, "flops_per_step": 1, "flops": 1, "blind_loss": 1.0}
    return {"id": job_id, "shape": shape, "members": [{"seed": 0, "lr": 0.1}], **facts}


def claim(study: Study, job_id: str, launch: int = 1) -> Claim:
    study.path.mkdir(parents=True, exist_ok=True)
    taken = take(study.job(job_id), launch, 9, HeartbeatObserver(60.0))
    assert isinstance(taken, Claim)
    return taken


def table(rows: int = 4) -> dict[str, dict[str, object]]:
    return {"runs": {"seed": list(range(rows)), "loss": np.random.default_rng(0).normal(size=rows)}}


def commit(study: Study, job_id: str, rows: int = 4) -> Claim:
    held = claim(study, job_id)
    assert study.results.commit(held, table(rows), {"seconds": 1.5, "stretches": []})
    return held
