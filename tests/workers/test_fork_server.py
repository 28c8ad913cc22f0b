"""What the fork server of local workers prints when it ends."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    ("error", "ending"),
    [("BlockingIOError(11, 'again')", ""), ("OSError(5, 'broken')", "OSError: [Errno 5] broken\n")],
)
def test_a_fork_server_prints_what_its_supervisor_cannot_say(error: str, ending: str) -> None:
    code = f"import resformer.workers.fork_server; raise {error}"
    server = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert server.returncode == 1
    assert server.stderr.endswith(ending)
    assert bool(server.stderr) == bool(ending)
