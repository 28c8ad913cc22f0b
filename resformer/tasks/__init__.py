"""Synthetic tasks, one file each: sources, targets, and the loss of a blind guess."""
