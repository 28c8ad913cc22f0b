"""Measures of the residual stream, layer by layer: at initialisation and while members train."""
