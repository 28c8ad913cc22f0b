"""A command in a session of its own, for so many seconds at most."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

_GRACE_SECONDS = 5.0
"""Time for a killed process to end: one that waits for a driver may never do."""
_POLL_SECONDS = 0.05


def run(words: Sequence[str], seconds: float) -> str:
    """Run a command; returns the reason why it failed, "" if it did not.

    Its output is passed on to stderr when it has ended. Processes that it started end with it; so
    does the command if SIGTERM ends this process.
    """
    received: list[int] = []  # not raised at once: the process may be half started
    before = signal.signal(signal.SIGTERM, lambda number, _: received.append(number))
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        process = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        deadline = time.monotonic() + seconds
        try:
            while (code := process.poll()) is None and not received and time.monotonic() < deadline:
                time.sleep(_POLL_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GRACE_SECONDS)
            signal.signal(signal.SIGTERM, before)
        output.seek(0)
        text = output.read()
    sys.stderr.write(text)
    if received:
        sys.exit(128 + received[0])
    if code is None:
        return f"stopped after {seconds:.3g} s"
    if code < 0:
        return f"died of {signal.Signals(-code).name}"
    lines = text.split("\n")
    return "" if code == 0 else next(filter(None, reversed(lines)), f"exit code {code}")
