"""Result of a claim as files: the verdict with its circumstances, numbers and figure."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from resformer.claims.figure import draw
from resformer.claims.judge import Judged
from resformer.plan.provenance import compiled_on, machine, versions
from resformer.results.trained import trained
from resformer.store.study import Study
from resformer.sweep.request import Request


def write(
    folder: Path, judged: Judged, request: Request, study: Study, command: Sequence[str]
) -> None:
    """Write NAME.json, what `--format json` prints with the command, versions, machine and seconds
    of a core that the study trained; NAME.csv, the numbers that the verdict is made of; and
    NAME.svg, their figure. Makes the folder.
    """
    trains = judged.claim.trains
    facts = {
        "command": shlex.join(command),
        "versions": versions(compiled_on(shape for shape, _ in request.shapes) if trains else ()),
        "machine": machine(),
        "trained": trained(study) if trains else None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / judged.claim.name
    tree = {**judged.to_json(), "facts": facts}
    Path(f"{path}.json").write_text(f"{json.dumps(tree, indent=1)}\n", encoding="utf-8")
    numbers = judged.measured.numbers
    Path(f"{path}.csv").write_text(numbers.to_csv(index=False, float_format="%.6g"), "utf-8")
    draw(judged.measured, Path(f"{path}.svg"))
