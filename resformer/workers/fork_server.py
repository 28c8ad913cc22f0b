"""Uncaught errors of the fork server of local workers, which alone imports this: where the system
gives it no more process, it ends without a traceback, as its supervisor says so in a line.
"""

import errno
import sys
from types import TracebackType


def _print(
    kind: type[BaseException], error: BaseException, traceback: TracebackType | None
) -> None:
    """Print the traceback of what nobody has caught, unless it says that there is no more."""
    if getattr(error, "errno", None) not in (errno.EAGAIN, errno.ENOMEM):
        sys.__excepthook__(kind, error, traceback)


sys.excepthook = _print
