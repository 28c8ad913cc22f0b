"""Residual schemes, one file each: how sub-layers read the residual streams and write to them."""
