"""The command `resformer`, or `python -m resformer`: an interrupt is a line, also before its first
import is over.
"""

import contextlib
import os
import sys

from resformer.workers.signals import Interrupts, Stopped


def main() -> None:
    """The entry point."""
    try:
        with Interrupts().handled():
            from resformer import cli

            cli.main()
    except Stopped as stopped:
        with contextlib.suppress(OSError):
            os.write(2, b"resformer: stopped\n")
        sys.exit(stopped.code)


if __name__ == "__main__":
    main()
