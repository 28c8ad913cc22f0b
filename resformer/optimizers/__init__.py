"""Optimisers, one file each: how the members of a population move along their gradients."""
