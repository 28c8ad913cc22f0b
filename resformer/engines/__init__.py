"""Who runs workers. One file per engine."""
