"""Training continued within a longer budget, with the bits of one that had it from the start.

Data, initial values, the warm-up and all evaluations but the last do not depend on the budget. So
the snapshot before the last evaluation of the shorter budget is one of the longer training too, but
for the layout of what was recorded since the evaluation before.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from resformer.model.shape import TrainSettings
from resformer.training.loop import Snapshot


def continued(snapshot: Snapshot, indices: Sequence[int], train: TrainSettings) -> Snapshot:
    """Snapshot of the members with these indices, as a training with the longer budget has it.

    Raises KeyError, ValueError, TypeError or IndexError if the snapshot has no such members.
    """
    facts, arrays = snapshot.facts, snapshot.arrays
    new_index = {index: position for position, index in enumerate(indices)}
    rows = [facts["rows"].index(index) for index in indices if index in facts["rows"]]
    kept = [facts["kept"].index(index) for index in indices if index in facts["kept"]]
    looks = [row for row, index in enumerate(arrays["looks_K2"][:, 1]) if index in new_index]
    looks_K2 = arrays["looks_K2"][looks]
    looks_K2[:, 1] = [new_index[index] for index in looks_K2[:, 1]]

    def recorded(ring_EP: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Lay out the steps since the last evaluation in as many places as the budget needs."""
        step_G = np.arange(max(0, facts["evaluated_at"]), snapshot.step)
        longer_EP = np.zeros((train.longest_interval, len(rows)), ring_EP.dtype)
        longer_EP[step_G % len(longer_EP)] = ring_EP[step_G % len(ring_EP)][:, rows]
        return longer_EP

    return Snapshot(
        step=snapshot.step,
        arrays={
            **{name: array[rows] for name, array in arrays.items() if name.endswith("_PN")},
            **{name: recorded(arrays[name]) for name in ("loss_EP", "norm_EP")},
            "kept_KN": arrays["kept_KN"][kept],
            "curves_2SP": arrays["curves_2SP"][:, :, indices],
            "evaluations_3PE": arrays["evaluations_3PE"][:, indices],
            "looks_K2": looks_K2,
            "looks_KLM": arrays["looks_KLM"][looks],
        },
        facts={
            **facts,
            "rows": [new_index[facts["rows"][row]] for row in rows],
            "alive": [new_index[index] for index in facts["alive"] if index in new_index],
            "records": [facts["records"][index] for index in indices],
            "kept": [new_index[facts["kept"][row]] for row in kept],
        },
    )
