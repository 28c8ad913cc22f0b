"""Workers: claim a job, train it, commit it; their events and signals."""
