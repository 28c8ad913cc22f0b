"""Compare resformer with its peers and with the hardware's limit, and write
results/reference/bench/.

equal_work.csv        member-steps per second, a row per case, peer and repetition
alone.csv             likewise, where nothing can be stacked
time_to_answer.csv    seconds, a row per process
limit.csv             seconds and operations per member-step, and the core's peak, a row per
                      measurement and repetition
filling.csv           seconds of the jobs of a study, by the workers it is planned for
settings.csv          seconds per member-step of a block's settings, likewise
overhead.csv          seconds of what is not training, likewise
bench.txt             the tables, of all as far as they are there
facts.json            by part: command, commit, date, duration, versions, machine
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import final

import pandas as pd

from lib import facts
from lib.bench import answer, equal, filling, limit, overhead, settings, targets
from lib.facts import REFERENCE, caches, commit
from resformer.numerics.backends.kernels import build
from resformer.plan.provenance import machine

_VERSIONS = ("resformer", "torch", "jax", "joblib", "lightning")


@final
@dataclass(frozen=True)
class Part:
    """Something to measure: the file of its rows, which so many repetitions make, and its table."""

    file: str
    measure: Callable[[int], pd.DataFrame]
    render: Callable[[pd.DataFrame], str]


_PARTS = {
    "equal": Part("equal_work.csv", equal.measure, equal.render),
    "alone": Part("alone.csv", equal.measure_alone, equal.render_alone),
    "answer": Part("time_to_answer.csv", lambda repeats: answer.measure(), answer.render),
    "limit": Part("limit.csv", limit.measure, limit.render),
    "filling": Part("filling.csv", lambda repeats: filling.measure(), filling.render),
    "settings": Part("settings.csv", settings.measure, settings.render),
    "overhead": Part("overhead.csv", overhead.measure, overhead.render),
}


def main() -> None:
    """Measure, write, print."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--only", choices=list(_PARTS), help="one part; the others' results stay as they are"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, help="interleaved repetitions (default 5)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=REFERENCE / "bench",
        help="folder to write",
    )
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    for name in [options.only] if options.only else _PARTS:
        revision, began = commit(), time.perf_counter()
        rows = _PARTS[name].measure(options.repeats)
        rows.to_csv(options.out / _PARTS[name].file, index=False, float_format="%.6g")
        _note(
            options.out / "facts.json",
            part=name,
            repeats=options.repeats,
            revision=revision,
            seconds=time.perf_counter() - began,
        )
    text = _tables(options.out)
    (options.out / "bench.txt").write_text(text)
    print(text, end="")


def _tables(folder: Path) -> str:
    """Tables of all files, so that parts that were measured earlier are shown as well."""
    measured = {
        name: pd.read_csv(folder / part.file)
        for name, part in _PARTS.items()
        if (folder / part.file).exists()
    }
    tables = [_PARTS[name].render(rows) for name, rows in measured.items()]
    return "\n\n\n".join([targets.render(measured), *tables]) + "\n"


def _note(path: Path, *, part: str, repeats: int, revision: str, seconds: float) -> None:
    """Put the facts of a part into the file, beside those of the other parts that there are."""
    known = json.loads(path.read_text()) if path.exists() else {}
    noted = {other: known[other] for other in _PARTS if other in known}
    noted[part] = {
        "command": f"scripts/bench --only {part} --repeats {repeats}",
        "commit": revision,
        "date": datetime.now(UTC).date().isoformat(),
        "seconds": round(seconds, 1),
        "versions": {
            "python": platform.python_version(),
            "compiler": build.compiler(),
            **{name: version(name) for name in _VERSIONS},
        },
        "machine": {**machine(), **caches()},
    }
    facts.write(path, noted)


if __name__ == "__main__":
    main()
