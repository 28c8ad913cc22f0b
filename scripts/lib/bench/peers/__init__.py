"""Peers that are compared. One file per peer."""
