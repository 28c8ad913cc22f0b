"""Who is compared. One file per peer."""
