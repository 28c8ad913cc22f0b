"""Backends, the operations of a step: torch (eager) or C++ kernels (compiled)."""
