"""Residual schemes: what is carried past a sub-layer and how its output rejoins. One file per
scheme.
"""
