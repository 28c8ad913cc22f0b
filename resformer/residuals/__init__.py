"""Residual schemes: what is streams past a sub-layer and how its output rejoins. One file per
scheme.
"""
