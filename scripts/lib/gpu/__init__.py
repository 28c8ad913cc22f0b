"""Measurements on a machine with an NVIDIA GPU."""
