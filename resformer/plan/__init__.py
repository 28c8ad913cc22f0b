"""Jobs:
members of one shape that train together, and the provenance that their results depend on.
"""
