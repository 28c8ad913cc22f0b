"""Coverage of the report's intervals and decisions of its tests, in studies of a known truth."""
