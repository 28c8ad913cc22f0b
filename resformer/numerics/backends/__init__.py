"""Backends, the operations of a step: torch (eager), or kernels (compiled) in C++ or Triton."""
