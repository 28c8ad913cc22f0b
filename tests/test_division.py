"""Division of members into jobs: the simulated end of a sweep."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resformer.plan.division import Load, divide, end, work

LOADS = st.builds(
    Load,
    members=st.integers(1, 60),
    most=st.integers(1, 16),
    seconds_per_job=st.floats(0.01, 20.0),
    seconds_per_member=st.floats(0.01, 20.0),
)


def load(members: int, *, seconds: float = 10.0, per_job: float = 5.0) -> Load:
    return Load(members=members, most=16, seconds_per_job=per_job, seconds_per_member=seconds)


@pytest.mark.parametrize(
    ("members", "workers", "jobs"), [(16, 1, 1), (16, 2, 2), (16, 16, 16), (32, 1, 2), (3, 2, 2)]
)
def test_members_of_one_shape_keep_every_worker_busy(members: int, workers: int, jobs: int) -> None:
    assert divide([load(members)], workers) == [jobs]


def test_members_whose_results_depend_on_it_stay_together() -> None:
    fixed = dataclasses.replace(load(16), divisible=False)
    assert divide([fixed], 16) == [1]
    assert divide([fixed, load(16)], 4)[0] == 1


def test_members_stay_together_where_a_job_costs_more_than_they_do() -> None:
    assert divide([load(4, seconds=0.1, per_job=10.0)], 2) == [1]


def test_only_what_would_end_last_is_divided() -> None:
    assert divide([load(16), *[load(1)] * 16], 2) == [1, *[1] * 16]
    assert divide([load(16), load(1)], 2) == [2, 1]


@given(st.lists(LOADS, min_size=1, max_size=8), st.integers(1, 20))
def test_no_division_ends_later_than_the_undivided_one(loads: list[Load], workers: int) -> None:
    counts, fewest = divide(loads, workers), [load.fewest for load in loads]
    assert all(
        few <= count <= load.members for few, count, load in zip(fewest, counts, loads, strict=True)
    )
    assert all(
        -(-load.members // count) <= load.most for count, load in zip(counts, loads, strict=True)
    )
    assert end(loads, counts, workers) <= end(loads, fewest, workers)


@given(LOADS, st.integers(1, 60), st.integers(1, 20))
def test_jobs_hold_all_members_and_end_within_grahams_bound(
    some: Load, jobs: int, workers: int
) -> None:
    jobs = max(some.fewest, min(jobs, some.members))
    seconds = some.seconds(jobs)
    expected = jobs * some.seconds_per_job + some.members * some.seconds_per_member
    assert sum(seconds) == pytest.approx(expected)
    share = work([some], [jobs]) / expected  # of the budget, in the mean over the cases
    assert 0.5 < share < 0.7
    ends, even = end([some], [jobs], workers) / share, expected / workers
    assert max(even, seconds[0]) * (1 - 1e-9) <= ends
    assert ends <= (even + (1 - 1 / workers) * seconds[0]) * (1 + 1e-9)


def test_a_job_that_may_be_the_only_long_one_is_divided() -> None:
    """Four shapes for four workers, each of whose members may leave early."""
    assert divide([load(16)] * 4, 4) != [1] * 4
    assert divide([load(16)] * 4, 1) == [1] * 4
