"""Triton kernels for a GPU: one launch per sub-layer of all members."""
