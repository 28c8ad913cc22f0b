"""C++ that computes a sub-layer of many members at once, compiled for this machine when first needed."""
