"""C++ kernels for the sub-layers of many members, built on this machine on first use."""
