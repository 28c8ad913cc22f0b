"""Measures, one file each. Tables of a report show those listed in `reporting/measures.py`."""
