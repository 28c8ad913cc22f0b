"""The arithmetic of a training step: what the layers and the optimiser compute, in torch or in compiled kernels."""
