"""Steps of two arms against each other: the same seeds, each at its tuned rate."""

import numpy as np

from lib.claims.claim import Interval, shown
from lib.claims.slopes import Floats
from resformer.stats.depth import wilson
from resformer.stats.speed import paired_ratio


def paired(first_S: Floats, second_S: Floats) -> Interval:
    """Second / first, the geometric mean over seeds; anything if all ratios are alike."""
    _, low, high = paired_ratio(first_S, second_S)
    return (0.0, np.inf) if low is None or high is None else (low, high)


def in_words(first_S: Floats, second_S: Floats, budget: float) -> str:
    """The same in words: at least (≥), at most (≤) or either (~), if seeds spent all the budget."""
    marks = {(False, False): "", (False, True): "≥ ", (True, False): "≤ ", (True, True): "~ "}
    censored = bool((first_S >= budget).any()), bool((second_S >= budget).any())
    return f"{marks[censored]}{shown(paired(first_S, second_S))}"


def solved(spent_S: Floats, budget: float) -> tuple[int, Interval]:
    """Count the seeds that solved, with the interval of their share."""
    count = int((spent_S < budget).sum())
    return count, wilson(count, len(spent_S))
