"""Kernels on ARM, cross-compiled and emulated."""
