"""Training loop: members of a job step together until solved, diverged or out of budget."""
