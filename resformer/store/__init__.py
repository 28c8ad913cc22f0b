"""The study folder: the queue, the results and the record of what was asked."""
