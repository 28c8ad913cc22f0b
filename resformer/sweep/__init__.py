"""A sweep: the request, the jobs it still needs, an estimate of its time."""
