"""Store: a study's folder, which is also the queue of its jobs."""
