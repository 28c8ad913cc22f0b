"""Statistics of convergence: arrays in, numbers out.

Steps to solve are censored at the budget: NaN stands for a member that did not solve within it,
diverged ones included. S seeds, R learning rates, U units (the seeds of two arms), K permutations
of the units between the arms. A quantity that does not exist is None, never 0 and never the budget.
"""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Interval = tuple[float | None, float | None]
