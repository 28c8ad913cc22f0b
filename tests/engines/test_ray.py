"""A Ray of two nodes on this machine."""

import signal
from pathlib import Path

import pytest
from support.engines import (
    LONG,
    STUDY,
    Contract,
    DetachedContract,
    Start,
    check_refused,
    check_stopped,
    ended,
    holders,
)
from support.waiting import wait_until

from lib.clusters import loopback

pytestmark = pytest.mark.cluster


class TestRay(Contract, DetachedContract):
    pass


def test_sigterm_checkpoints_the_work_though_ray_handles_it_too(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    check_stopped(signal.SIGTERM, engine, start, tmp_path)


def test_a_lost_node_loses_nothing(engine: list[str], start: Start, tmp_path: Path) -> None:
    process = start(*LONG, *engine)
    wait_until(lambda: len(holders(tmp_path)) == 2)
    loopback.lose_second_node()
    code, output = ended(process)
    loopback.second_node()
    assert code == 0, output
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/result.json"))) == 2
    assert len(list(tmp_path.glob("results/tiny/jobs/*/*/claim-2"))) == 1


def test_no_more_pilots_than_slots(engine: list[str], start: Start, tmp_path: Path) -> None:
    study = [word for word in STUDY if not word.startswith("engine.workers")]
    code, output = ended(start(*study, *engine, "engine.workers=64", "--dry-run"))
    assert code == 0, output
    assert "4 jobs to run" in output
    assert "with 2 workers" in output


def test_impossible_requests_of_ray_are_refused_before_anything_is_written(
    engine: list[str], start: Start, tmp_path: Path
) -> None:
    refused = {
        "engine.cpus=2": "engine.cpus=2, engine.gpus=0: no node of the cluster at ",
        "engine.gpus=0.5": "engine.gpus=0.5: no node of the cluster at ",
        "engine.address=127.0.0.1:1": "engine.address=127.0.0.1:1: no Ray cluster answers there",
    }
    check_refused(refused, engine, start, tmp_path)
