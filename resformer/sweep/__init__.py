"""Sweep: the request, the jobs it still needs, an estimate of their time."""
