"""How deep can a transformer train, how fast, and why does it stop: a lab bench for residual connections."""

__version__ = "0.1.0"
