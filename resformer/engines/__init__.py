"""Engines: how workers are started and supervised. One file each."""
