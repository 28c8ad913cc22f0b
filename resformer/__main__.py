"""The command `resformer`, or `python -m resformer`: an interrupt is a line, also before its first
import is over, and nothing is imported before the environment is in order.
"""

import contextlib
import os
import sys
from typing import NoReturn

from resformer.workers import environment


def main() -> None:
    """The entry point."""
    if sys.platform == "win32":  # which lacks modules that are imported next
        _leave("runs on Linux and macOS; on Windows in WSL", 2)
    environment.for_command()
    from resformer.workers.signals import Interrupts, Stopped

    try:
        with Interrupts().handled():
            from resformer import cli

            cli.main()
    except Stopped as stopped:
        _leave("stopped", stopped.code)


def _leave(line: str, code: int) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, f"resformer: {line}\n".encode())
    sys.exit(code)


if __name__ == "__main__":
    main()
