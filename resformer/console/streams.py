"""Standard output and error of a command: readable in any encoding, quiet if a display is gone."""

import codecs
import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO, cast, final

from resformer.errors import Stuck

_ASCII = str.maketrans(
    {
        "…": "...",
        "–": "-",
        "—": "-",
        "−": "-",
        "≥": ">=",
        "≤": "<=",
        "×": "x",
        "·": "*",
        "±": "+-",
        "½": "1/2",
        "²": "^2",
        "→": "->",
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "ß": "ss",
    }
)
_FALLBACK = "resformer.ascii"


@contextmanager
def guarded() -> Iterator[None]:
    """Write in ASCII what a stream's encoding lacks; go quiet where stderr cannot be written.

    Where stdout cannot be, such as on a full disk, writing raises Stuck, and what would have ended
    well exits with code 1 and that line; where its reader has left, as under `head`, without a
    word. Other exit codes and errors stay.
    """
    codecs.register_error(_FALLBACK, _in_ascii)
    out, err = sys.stdout, sys.stderr
    for stream in (out, err):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_FALLBACK)
    nowhere = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  closed at the end
    output = _Output(out if out is not None else nowhere)
    sys.stdout = cast(TextIO, output)
    # Text that is printed to a stream that is None goes to stdout.
    sys.stderr = cast(TextIO, _Display(err if err is not None else nowhere))
    try:
        try:
            yield
        except SystemExit as leaving:
            if leaving.code:
                raise
        except (BrokenPipeError, Stuck):
            if output.error is None:
                raise
        output.end()
        if isinstance(output.error, BrokenPipeError):
            sys.exit(1)
        if output.error is not None:
            sys.stderr.write(f"resformer: {_unwritten(output.error)}\n")
            sys.exit(1)
    finally:
        output.end()
        sys.stdout, sys.stderr = out, err
        nowhere.close()


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    """Replacement of what cannot be encoded: letters that look alike, else an escape."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode(), error.end


class _Stream:
    """Text stream of which all but writing is that of another."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text."""
        if text != "":  # Click tries streams with none, and hides it if a full disk refuses that
            with self._guarded():
                self._stream.write(text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        """Write texts."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._guarded():
            self._stream.flush()

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            # What is still buffered goes nowhere, or Python would try again when it ends.
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())
            os.close(nowhere)
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        """Act on an error of writing; all that follows goes nowhere."""


@final
class _Display(_Stream):
    """Progress and notes, which work does not depend on."""


@final
class _Output(_Stream):
    """Results."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__(stream)
        self.error: OSError | None = None
        """The first error of writing, which a library that only tries a stream may have caught."""

    def end(self) -> None:
        """Write what is buffered, if that is possible."""
        with contextlib.suppress(BrokenPipeError, Stuck):
            self.flush()

    def _failed(self, error: OSError) -> None:
        self.error = self.error or error
        if isinstance(error, BrokenPipeError):
            raise error
        raise Stuck(_unwritten(error)) from error


def _unwritten(error: OSError) -> str:
    return f"standard output cannot be written: {error.strerror}"
