"""Claims of papers, tried here. One file per claim."""
