"""Transformer of P members: settings, forward pass, parameters, FLOPs."""
