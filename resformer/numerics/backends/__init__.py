"""Backends: the operations of a block and the optimiser, by torch (eager) or by C++ kernels
(compiled).
"""
