"""Residual schemes, one file each: how streams pass a sub-layer and take up its output."""
