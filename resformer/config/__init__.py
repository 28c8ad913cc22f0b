"""Overrides to plans: the settings composed and checked; the only package that imports Hydra.

Hydra composes the tree (defaults and config groups) and parses the overrides' grammar. Everything
that it would let through is checked here: keys that are not there, additions, deletions, types,
interpolations.
"""

from resformer.config.resolve import of_grids, request, single
from resformer.config.tree import keys

__all__ = ["keys", "of_grids", "request", "single"]
