"""This machine's processes; their failures, deaths and signals are tried in `sweeps/`."""

from pathlib import Path

import pytest
from support.engines import STUDY, Start, ended, tables

pytestmark = pytest.mark.sweep


def test_one_worker_gives_the_bits_of_two(
    start: Start, alone: dict[str, bytes], tmp_path: Path
) -> None:
    words = ["engine.workers=1" if word == "engine.workers=2" else word for word in STUDY]
    code, output = ended(start(*words))
    assert code == 0, output
    assert tables(tmp_path) == alone
