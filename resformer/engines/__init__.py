"""Engines, one file each: how workers are started and supervised."""
