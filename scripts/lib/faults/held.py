"""Give a job of a study, in place of its result, to a process that lives:
python -m lib.faults.held STUDY PID.
"""

import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from resformer.store import claims, files


def give(study: Path, pid: int) -> None:
    """Have a process hold the first of the study's finished jobs, which then has no result."""
    result = sorted(study.glob("jobs/*/*/result.json"))[0]
    record = {"launch": 1, **asdict(claims.process_holder(pid))}
    result.with_name("claim-1").write_bytes(files.with_checksum(record) + b"\n000000000001")
    result.unlink()
    shutil.rmtree(study / "done")


if __name__ == "__main__":
    give(Path(sys.argv[1]), int(sys.argv[2]))
