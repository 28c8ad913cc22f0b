"""The notebook, run for real."""

import json
import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.sweep

NOTEBOOK = Path(__file__).parent.parent / "scripts" / "explore.ipynb"


def outputs(cell: nbformat.NotebookNode) -> str:
    """Texts that a cell printed and returned."""
    parts = [part.get("text") or part["data"]["text/plain"] for part in cell["outputs"]]
    return "".join(parts)


def test_the_notebook_is_committed_without_outputs() -> None:
    cells = [
        cell
        for cell in nbformat.read(NOTEBOOK, as_version=4)["cells"]
        if cell["cell_type"] == "code"
    ]
    assert cells
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_the_notebook_runs_and_shows_what_the_study_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = tmp_path / "kernels" / "python3" / "kernel.json"
    kernel.parent.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(
        json.dumps({"argv": command, "display_name": "Python 3", "language": "python"})
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.delenv("MPLBACKEND", raising=False)
    monkeypatch.setenv(
        "PATH", os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    )
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    sweep, limits = outputs(code[1]), outputs(code[-1])
    assert "36 members, 6 jobs" in sweep
    assert "solved_step" in outputs(code[2])
    assert any("image/png" in part.get("data", {}) for part in code[-2]["outputs"])
    assert limits.startswith("{'add': 4, 'plain': ")
