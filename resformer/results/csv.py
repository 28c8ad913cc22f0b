"""CSV for spreadsheets: line ends of RFC 4180, and no text that is read as a formula."""

from typing import Any

LINE_END = "\r\n"
"""Line end of RFC 4180; with any other, pandas leaves a carriage return in a text unquoted."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def spreadsheet_safe(value: Any) -> Any:
    """Prefix a text that a spreadsheet would read as a formula with an apostrophe."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value
