"""Statistics of convergence: arrays in, numbers out.

Steps to solve are censored at the budget: NaN stands for a member that did not solve within it,
diverged ones included. S seeds, R learning rates, U units (the seeds of two arms), K ways to divide
the units into arms. A quantity that does not exist is None, never 0 and never the budget.
"""
