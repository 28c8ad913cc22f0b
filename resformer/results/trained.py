"""Training of a study: when it was launched, on what, and for how long it trained."""

from resformer.keys import Json
from resformer.store.study import Study


def trained(study: Study) -> Json:
    """When a study was launched, seconds of a core that its jobs trained, and versions. Raises
    Damaged.
    """
    launches = study.launches()
    seconds = sum(study.results.timing(job)["seconds"] for job in study.planned())
    return {
        "launched": [launch["started"] for launch in launches],
        "core_seconds": round(seconds),
        "versions": launches[-1]["versions"],
    }
