"""The training loop: members of a job step together, each until it has solved, diverged or used up
its budget.
"""
