"""Console: launches run and shown, status of a study, preview of a grid, outcomes of members."""
