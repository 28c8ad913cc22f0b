"""An exception in one line, so that many of them can be looked through."""

from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

import resformer

_OURS = Path(resformer.__file__).parent


def shown(error: BaseException) -> str:
    """Say what was raised, by which of our lines, and while handling what."""
    parts = [
        f"{type(link).__name__}: {link} ({' > '.join(_places(link)) or 'not ours'})"
        for link in _chain(error)
    ]
    return " while handling ".join(parts)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        if [*_places(error)] or error.__context__ is None:
            yield error
        hidden = error.__suppress_context__ and error.__cause__ is None
        error = None if hidden else error.__cause__ or error.__context__


def _places(error: BaseException) -> Iterator[str]:
    for frame, line in walk_tb(error.__traceback__):
        code = frame.f_code
        if Path(code.co_filename).is_relative_to(_OURS):
            yield f"{Path(code.co_filename).name}:{line} {code.co_name}"
