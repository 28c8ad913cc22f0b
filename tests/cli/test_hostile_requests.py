"""Requests that nobody means well are refused: exit code 2, one printable line, at once, and
nothing is written.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from support.commands import check_refused

from lib.faults import requests
from resformer import config

pytestmark = pytest.mark.fuzz

EXAMPLES = 300
REQUESTS = list(requests.requests())
PARTS = 8


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        requests, "SECONDS", 10.0
    )  # the campaign holds to one second; a tracer of coverage takes more
    config.request("some", ["model.depth=1"])


def test_there_are_enough_hostile_requests() -> None:
    assert len(set(REQUESTS)) + len(requests.YAMLS) >= 300


@pytest.mark.parametrize("part", range(PARTS))
def test_a_hostile_request_is_refused(tmp_path: Path, part: int) -> None:
    answers = [(words, requests.ask(words)) for words in REQUESTS[part::PARTS]]
    assert [(words, fault) for words, answer in answers if (fault := answer.fault())] == []
    assert requests.contents(tmp_path) == set()


def test_a_hostile_study_file_is_refused(tmp_path: Path) -> None:
    faults = []
    for number, name in enumerate(requests.study_files(tmp_path)):
        before = requests.contents(tmp_path)
        faults += (
            [(number, fault)] if (fault := requests.ask(["sweep", "--study", name]).fault()) else []
        )
        assert requests.contents(tmp_path) == before
    assert faults == []


@settings(deadline=None, max_examples=EXAMPLES)
@given(requests.overrides_of_a_request)
def test_any_request_is_planned_or_refused_in_one_line(overrides: list[str]) -> None:
    assert requests.fault(overrides) is None


def test_a_mistyped_option_is_shown_and_not_obeyed() -> None:
    for word in ("--\x1b[31m=1", "--workers=\x1b[31m", "-\x1b", "--engine"):
        check_refused(requests.ask(["sweep", word]).result, repr(word.partition("=")[0])[1:-1])


def test_the_environment_does_not_leak(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "4242")
    for value in ("${oc.env:SECRET}", "$SECRET", "${SECRET}", "~", "${oc.decode:${oc.env:SECRET}}"):
        for key in ("model.depth", "device", "task"):
            answer = requests.ask(["show", "--", f"{key}={value}"])
            assert answer.fault() is None
            assert "4242" not in answer.result.stderr
