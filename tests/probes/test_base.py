"""The contract of all probes, and the whole table."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from support.naive_model import shape_of
from support.schemes import name_of, schemes

from resformer.model.shape import Member
from resformer.probes.measure import descriptions, measure_initial
from resformer.probes.table import table
from resformer.residuals.add import Add
from resformer.residuals.base import Residual
from resformer.residuals.plain import Plain


@pytest.mark.parametrize("residual", schemes(), ids=name_of)
def test_every_measure_of_every_scheme(residual: Residual[Any]) -> None:
    measured = measure_initial(shape_of(residual), [0, 5])
    assert list(measured) == list(descriptions())
    for name, values in measured.items():
        assert values.shape == (7, 2)
        # Of the sub-layers' own measures the embedding has none.
        of_sublayers = ("branch", "attention", "gradient", "mixing", "composite")
        assert np.isfinite(values[0]).all() != name.startswith(of_sublayers), name
        assert not np.isinf(values).any()


def test_a_member_measures_the_same_alone_and_whatever_trains_it() -> None:
    shape = shape_of(Add())
    together, alone = measure_initial(shape, [3, 4, 5]), measure_initial(shape, [4])
    compiled = dataclasses.replace(shape, train=dataclasses.replace(shape.train, compile=True))
    for name, values in together.items():
        # float64; a relative residual may be as small as round-off.
        np.testing.assert_allclose(values[:, 1:2], alone[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(measure_initial(compiled, [3, 4, 5])[name], values)


def test_the_table_has_a_row_per_stack_seed_and_layer() -> None:
    shapes = [
        (
            shape_of(residual, depth=depth),
            [Member(seed=seed, lr=lr) for seed in (1, 2) for lr in (1e-3, 1e-2)],
        )
        for residual in (Add(), Plain())
        for depth in (1, 3)
    ]
    progress = list[int]()
    measured = table(shapes, progress.append)
    assert progress == [0, 1, 2, 3]
    assert len(measured) == 2 * 2 * (3 + 7)
    key = ["model.residual.name", "model.depth", "seed", "layer"]
    assert not measured.duplicated(key).any()
    one = measured[
        (measured["model.residual.name"] == "plain")
        & (measured["model.depth"] == 3)
        & (measured["seed"] == 2)
    ]
    expected = measure_initial(shapes[3][0], [2])["rms"][:, 0]
    np.testing.assert_allclose(one.sort_values("layer")["rms"], expected, rtol=1e-12)
