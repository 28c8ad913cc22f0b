"""Folders of a study's jobs: `jobs/<2 hex>/<job>`."""

from pathlib import Path

from resformer.store import files


def job_folder(study: Path, job_id: str) -> str:
    """Folder of a job. A Path for each of 100,000 jobs takes as long as to read them."""
    return f"{study}/jobs/{job_id[:2]}/{job_id}"


def begun(study: Path) -> set[str]:
    """Names of the jobs' folders: every job that was claimed, and perhaps orphans."""
    shelves = [study / "jobs" / name for name in files.names(study / "jobs")]
    return {name for shelf in shelves for name in files.names(shelf)}
