"""Uncaught errors of the fork server of local workers, the only process that imports this module.

Where no process can be started, it ends without a traceback: its supervisor reports that in a line.
"""

import errno
import sys
from types import TracebackType


def _print(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print the traceback of an uncaught error, unless processes or memory are exhausted."""
    if getattr(error, "errno", None) not in (errno.EAGAIN, errno.ENOMEM):
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _print
