"""Text for people: one line, counts, durations, errors."""

import importlib
import sys
import traceback
from collections.abc import Container
from pathlib import Path

_LONGEST_ERROR = 500
"""Most characters of an exception's line, whose message may be other people's."""


def printable(text: str) -> str:
    """One line in which control characters are shown, not obeyed."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in " ".join(text.split()))


def shortened(text: str, most: int = 100) -> str:
    """A text of at most `most` characters; a longer one is cut, with its length behind it."""
    return text if len(text) <= most else f"{text[:most]}… ({len(text):,} characters)"


def counted(number: int, noun: str) -> str:
    """A number with its noun: "1 job", "2 jobs"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def clock(seconds: float) -> str:
    """A duration in hours and minutes, minutes and seconds, or seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def exception_line(error: BaseException) -> str:
    """Type and message of an exception in one line; a longer message is cut."""
    line = " ".join("".join(traceback.format_exception_only(error)).split())
    return shortened(line, _LONGEST_ERROR)


def failure_line(error: BaseException, own_files: Container[str] = ()) -> str:
    """An exception in one line behind the file and line to look at: "mypackage/fading.py:19:
    ValueError: …". It is the innermost in one of `own_files`, those of the scheme and the task; if
    there is none, the innermost outside of torch and of what imports modules. A syntax error has a
    line of its own.
    """
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{short_path(error.filename)}:{error.lineno}"
        return f"{where}: {type(error).__name__}: {shortened(printable(error.msg), _LONGEST_ERROR)}"
    frames = traceback.extract_tb(error.__traceback__)
    outside = [frame for frame in frames if not _of_library(frame.filename)]
    own = [frame for frame in outside if frame.filename in own_files] or outside
    if not own:
        return exception_line(error)
    return f"{short_path(own[-1].filename)}:{own[-1].lineno}: {exception_line(error)}"


def short_path(file: str) -> str:
    """A file with its folder, as messages name it: "mypackage/fading.py"."""
    return "/".join(Path(file).parts[-2:])


def _of_library(file: str) -> bool:
    """True of what imports modules, and of a file of torch, which is not imported for that."""
    if file.startswith("<frozen ") or file == importlib.__file__:
        return True
    init = getattr(sys.modules.get("torch"), "__file__", None)
    return init is not None and Path(file).is_relative_to(Path(init).parent)


def error_line(error: BaseException) -> str:
    """The message of an error of Hydra, OmegaConf or YAML in one line, without its "See http…"."""
    return shortened(" ".join(str(error).split("\nSee http")[0].split()), 200)
