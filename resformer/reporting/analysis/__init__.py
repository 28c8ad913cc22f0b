"""Analysis: the numbers of a report."""
