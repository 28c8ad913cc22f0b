"""Rows of a part as they are measured."""

import csv
from collections.abc import Callable
from typing import Any, TextIO

Row = dict[str, Any]
Record = Callable[[Row], None]
"""Keep a row. All rows of a part have the same keys."""


def to_csv(file: TextIO) -> Record:
    """Write each row to the file at once, so that a part that is stopped leaves what it has."""
    writers: list[csv.DictWriter[str]] = []

    def record(row: Row) -> None:
        if not writers:
            writers.append(csv.DictWriter(file, list(row), lineterminator="\n"))
            writers[0].writeheader()
        writers[0].writerow({key: _text(value) for key, value in row.items()})
        file.flush()

    return record


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
