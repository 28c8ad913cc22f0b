"""Clusters, and a network file system, on this machine's loopback."""
