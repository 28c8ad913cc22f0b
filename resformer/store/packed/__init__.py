"""Results packed: one reader for a job's files, in the job's folder or in a file of many jobs."""
