"""CSV that spreadsheets read as text: line ends of RFC 4180, no formulas."""

from typing import Any

LINE_END = "\r\n"
"""Of CSV, as RFC 4180 has it; with another one pandas leaves a carriage return in a text unquoted.
"""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet_safe(value: Any) -> Any:
    """A text that a spreadsheet would take for a formula, as a text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
