"""What papers claim, tried here. One file per claim."""
