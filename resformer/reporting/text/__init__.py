"""Text: the sentences of a report."""
