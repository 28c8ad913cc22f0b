"""Console: progress of a sweep, status of a study, preview of a grid, outcomes of members."""
