"""Synthetic tasks: what a model is asked to do. One file per task."""
