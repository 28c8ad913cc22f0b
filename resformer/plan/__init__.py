"""Jobs, members of one shape that train together, and the provenance of their results."""
