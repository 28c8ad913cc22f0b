"""Statistics that a claim may rest on, one file each: a number with its 95 % interval."""
