"""C++ kernels that compute a sub-layer of many members at once, built on this machine when first
needed.
"""
