"""Claims: one process holds a job, until it has ended or gone silent."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from resformer.errors import DiskError
from resformer.store import claims, files
from resformer.store.claims import (
    Claim,
    HeartbeatObserver,
    Holder,
    attempts,
    failures,
    held,
    holder,
    over,
    take,
)

TAKER = """
import sys
from pathlib import Path
from resformer.store.claims import Claim, HeartbeatObserver, take

print("ready", flush=True)
input()
got = take(Path(sys.argv[1]), int(sys.argv[2]), 9, HeartbeatObserver(60.0))
print(got.attempt if isinstance(got, Claim) else got, flush=True)
input()
"""

LEASE = 30.0


class Clock:
    """The monotonic clock, as far ahead as the test says."""

    def __init__(self) -> None:
        self.now = time.monotonic()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def job(tmp_path: Path) -> Path:
    return tmp_path / "jobs" / "ab" / "abcd"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(claims.time, "monotonic", clock)
    return clock


def claimed(
    job: Path, launch: int = 1, retries: int = 9, observer: HeartbeatObserver | None = None
) -> Claim:
    taken = take(job, launch, retries, observer or HeartbeatObserver(LEASE))
    assert isinstance(taken, Claim)
    return taken


def watch(job: Path, observer: HeartbeatObserver, clock: Clock, leases: float) -> None:
    """Look at a held job five times per lease, for so many leases."""
    end = clock.now + leases * LEASE
    assert take(job, 1, 9, observer) == "held"
    while clock.now < end:
        clock.now = min(end, clock.now + 0.2 * LEASE)
        assert take(job, 1, 9, observer) == "held"


def error(claim: Claim) -> None:
    claim.folder.mkdir()
    (claim.folder / "error.txt").write_text("RuntimeError: on purpose")


@contextmanager
def taker(job: Path, launch: int = 1) -> Iterator[subprocess.Popen[str]]:
    """A process that takes the job at its first line of input, and stays until it is killed."""
    words = [sys.executable, "-c", TAKER, str(job), str(launch)]
    with subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert hear(process) == "ready"
            yield process
        finally:
            process.kill()


def hear(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def rewrite(claim: Path, **changes: object) -> None:
    """Make a claim somebody else's."""
    first, counter = claim.read_bytes().split(b"\n")
    who = files.verify_checksum(first)
    assert who is not None
    claim.write_bytes(files.with_checksum({**who, **changes}) + b"\n" + counter)


def wait_for_zombie(pid: int) -> None:
    deadline = time.monotonic() + 10
    while ") Z " not in Path(f"/proc/{pid}/stat").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_claim_is_held_until_its_attempt_ends_in_an_error(job: Path) -> None:
    first = claimed(job)
    assert (first.attempt, first.folder) == (1, job / "attempt-1")
    assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"
    error(first)
    assert over(job, 1)
    assert claimed(job).attempt == 2
    assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"
    assert sorted(os.listdir(job)) == ["attempt-1", "claim-1", "claim-2"]


def test_attempts_of_a_launch_run_out(job: Path) -> None:
    for _ in range(3):
        error(claimed(job, retries=2))
    assert take(job, 1, 2, HeartbeatObserver(LEASE)) == "exhausted"
    assert attempts(job) == 3


def test_the_last_traceback_is_of_the_last_attempt_that_has_one(job: Path) -> None:
    assert claims.last_trace(job) is None
    first = claimed(job)
    assert claims.last_trace(job) is None
    error(first)
    claimed(job).leave()
    assert claims.last_trace(job) == first.folder / "error.txt"


def test_a_new_launch_has_fresh_attempts(job: Path) -> None:
    for launch in (1, 2, 5):
        error(claimed(job, launch, retries=1))
        error(claimed(job, launch, retries=1))
        assert take(job, launch, 1, HeartbeatObserver(LEASE)) == "exhausted"
    assert attempts(job) == 6
    assert failures(job, since=2) == 4


def test_more_than_nine_attempts_are_counted_as_numbers(job: Path) -> None:
    for number in range(1, 13):
        claim = claimed(job, retries=99)
        assert claim.attempt == number
        error(claim)
        assert claims.last_trace(job) == claim.folder / "error.txt"


def test_a_claim_says_who_holds_it(job: Path) -> None:
    claimed(job, launch=7)
    first, counter = (job / "claim-1").read_text().split("\n")
    record = files.verify_checksum(first.encode())
    assert record is not None
    assert record.pop("launch") == 7
    assert Holder(**record) == holder()
    assert record["pid"] == os.getpid()
    assert counter == "000000000000"


def test_a_living_process_holds_its_job_and_a_dead_one_does_not(job: Path) -> None:
    with taker(job) as process:
        go(process)
        assert hear(process) == "1"
        assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"
        process.kill()
        process.wait()
        assert over(job, 1)
        assert claimed(job).attempt == 2


def test_an_attempt_that_left_only_its_claim_counts(job: Path) -> None:
    with taker(job) as process:
        go(process)
        assert hear(process) == "1"
    assert os.listdir(job) == ["claim-1"]
    assert take(job, 1, 0, HeartbeatObserver(LEASE)) == "exhausted"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
def test_a_zombie_has_ended(job: Path) -> None:
    with taker(job) as process:
        go(process)
        assert hear(process) == "1"
        process.kill()
        wait_for_zombie(process.pid)  # nobody has asked for its exit code
        assert claimed(job).attempt == 2


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("changes", "outcome"),
    [
        ({"started": "1"}, 2),
        ({"boot": "of another machine", "started": "1"}, "held"),
        ({"namespace": "pid:[1]", "started": "1"}, "held"),
        ({"boot": "", "started": "1"}, "held"),
    ],
    ids=["pid used again", "other machine", "other container", "unknown boot"],
)
def test_only_a_process_in_the_same_namespace_is_known_to_be_dead(
    job: Path, changes: dict[str, object], outcome: int | str
) -> None:
    claimed(job)
    rewrite(job / "claim-1", **changes)
    taken = take(job, 1, 9, HeartbeatObserver(LEASE))
    assert (taken.attempt if isinstance(taken, Claim) else taken) == outcome


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("others", [False, True], ids=["this user's", "another user's"])
def test_a_process_that_proc_does_not_show_is_gone_only_if_it_does_not_exist(
    job: Path, others: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On shared machines, /proc is mounted so that it hides the processes of other users."""
    read, kill = claims._read, os.kill

    def signalled(pid: int, number: int) -> None:
        kill(pid, number)
        if others:
            raise PermissionError(1, "Operation not permitted")

    with taker(job) as process:
        go(process)
        assert hear(process) == "1"
        hidden = f"/proc/{process.pid}/stat"
        monkeypatch.setattr(claims, "_read", lambda path: "" if path == hidden else read(path))
        monkeypatch.setattr(os, "kill", signalled)
        assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"
        monkeypatch.setattr(os, "kill", kill)
        process.kill()
        process.wait()
        assert claimed(job).attempt == 2


def test_a_process_whose_start_its_holder_could_not_read_may_live(job: Path) -> None:
    claimed(job)
    rewrite(job / "claim-1", started="")
    assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"


def test_a_number_that_no_process_has_is_gone(job: Path) -> None:
    claimed(job)
    rewrite(job / "claim-1", pid=10**30)
    assert claimed(job).attempt == 2


def test_a_silent_claim_is_taken_over_after_the_lease(job: Path, clock: Clock) -> None:
    claimed(job)
    observer = HeartbeatObserver(LEASE)
    clock.now += 1000 * LEASE  # the age of a claim says nothing: the lease runs while one looks
    watch(job, observer, clock, 0.9)
    assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"  # who has seen nothing yet
    clock.now += 0.2 * LEASE
    assert claimed(job, observer=observer).attempt == 2


@pytest.mark.parametrize("leases", [0.3, 1.1, 100.0])
def test_who_was_stopped_begins_a_lease_of_observation_anew(
    job: Path, clock: Clock, leases: float
) -> None:
    """Ctrl-Z stops the holder and whoever waits for it alike, and `fg` wakes both."""
    claim, observer = claimed(job), HeartbeatObserver(LEASE)
    watch(job, observer, clock, 0.9)
    clock.now += leases * LEASE
    watch(job, observer, clock, 0.9)
    claim.beat()
    watch(job, observer, clock, 0.9)
    clock.now += 0.2 * LEASE
    assert claimed(job, observer=observer).attempt == 2


def test_who_looks_at_many_claims_was_not_stopped_between_two_looks_at_one(
    job: Path, clock: Clock
) -> None:
    others = [job.with_name(f"abc{number}") for number in range(10)]
    observer = HeartbeatObserver(LEASE)
    for each in (job, *others):
        claimed(each)
    for _ in range(2):
        for each in (job, *others):
            assert take(each, 1, 9, observer) == "held"
            clock.now += 0.09 * LEASE
    assert claimed(job, observer=observer).attempt == 2


def test_a_claim_without_a_counter_is_held_for_a_lease_too(job: Path, clock: Clock) -> None:
    claimed(job)
    (job / "claim-1").write_bytes((job / "claim-1").read_bytes().split(b"\n")[0])
    observer = HeartbeatObserver(LEASE)
    watch(job, observer, clock, 1.0)
    clock.now += 0.1 * LEASE
    assert claimed(job, observer=observer).attempt == 2


def test_a_beating_claim_is_held_for_ever(job: Path, clock: Clock) -> None:
    claim, observer = claimed(job), HeartbeatObserver(LEASE)
    for _ in range(20):
        watch(job, observer, clock, 0.9)
        claim.beat()
    watch(job, observer, clock, 1.0)
    clock.now += 0.1 * LEASE
    assert claimed(job, observer=observer).attempt == 2


def test_each_successor_has_a_lease_of_its_own(job: Path, clock: Clock) -> None:
    claimed(job)
    observer = HeartbeatObserver(LEASE)
    watch(job, observer, clock, 1.0)
    clock.now += 0.1 * LEASE
    assert claimed(job, observer=observer).attempt == 2
    watch(job, observer, clock, 1.0)
    clock.now += 0.1 * LEASE
    assert claimed(job, observer=observer).attempt == 3


def test_beats_are_counted_and_written_at_most_once_a_second(job: Path, clock: Clock) -> None:
    claim = claimed(job)
    before = (job / "claim-1").read_text()
    for second in range(12):
        clock.now += 1.01
        for _ in range(3):
            claim.beat()
        first, counter = (job / "claim-1").read_text().split("\n")
        assert int(counter) == 3 * second + 1
    assert first == before.split("\n")[0]
    assert len((job / "claim-1").read_text()) == len(before)


def test_a_held_job_has_its_holder_its_steps_and_its_silence(job: Path, clock: Clock) -> None:
    assert held(job) is None
    claim = claimed(job)
    for _ in range(7):
        claim.beat()
    clock.now += 1.01
    claim.beat()
    current = held(job)
    assert current is not None
    assert (current.attempt, current.holder, current.beats) == (1, holder(), 8)
    hour_ago = time.time() - 3600
    os.utime(job / "claim-1", (hour_ago, hour_ago))
    silent = held(job)
    assert silent is not None
    assert 3600 <= silent.silent_seconds < 3700
    error(claim)
    assert held(job) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"not JSON\n000000000000",
        b"\0" * 200,
        b"\xff" * 200,
        b'{"launch": 1, "qid": 7}\n000000000000',
    ],
)
def test_an_unreadable_claim_is_held_for_a_lease(job: Path, clock: Clock, text: bytes) -> None:
    claimed(job)
    (job / "claim-1").write_bytes(text)
    who = held(job)
    assert who is not None
    assert (who.attempt, who.holder, who.beats) == (1, None, 0)
    observer = HeartbeatObserver(LEASE)
    watch(job, observer, clock, 0.9)
    clock.now += 0.2 * LEASE
    assert claimed(job, observer=observer).attempt == 2


@pytest.mark.parametrize("dead", [False, True], ids=["new", "taken over"])
def test_one_of_eight_processes_claims_the_job(job: Path, dead: bool) -> None:
    if dead:
        error(claimed(job))
    with ExitStack() as stack:
        racers = [stack.enter_context(taker(job)) for _ in range(8)]
        for racer in racers:
            go(racer)
        got = sorted(hear(racer) for racer in racers)
    assert got == ["2" if dead else "1", *7 * ["held"]]
    assert attempts(job) == 1 + dead


def test_a_claim_that_comes_second_does_not_hold_the_job(
    job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and creating the claim, somebody else created it."""
    make_folder, others = files.make_folder, list[Claim]()

    def meanwhile(folder: Path) -> None:
        make_folder(folder)
        if folder == job and not others:
            monkeypatch.setattr(files, "make_folder", make_folder)
            others.append(claimed(job))

    monkeypatch.setattr(files, "make_folder", meanwhile)
    assert take(job, 1, 9, HeartbeatObserver(LEASE)) == "held"
    assert [one.attempt for one in others] == [1] == [attempts(job)]


def test_a_deleted_study_is_held_by_nobody(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "attempts", lambda job: 1)
    assert held(job) is None


@pytest.mark.parametrize("place", ["attempt-1", "attempt-1/error.txt"])
def test_the_error_of_an_attempt_is_read_from_no_link(
    job: Path, tmp_path: Path, place: str
) -> None:
    """Else the last line of a private file would stand in a page that is passed on."""
    claimed(job)
    (tmp_path / "attempt-1").mkdir()
    (tmp_path / "attempt-1" / "error.txt").write_text("secret")
    (job / place).parent.mkdir(exist_ok=True)
    (job / place).symlink_to(tmp_path / place)
    assert claims.error(job, 1) == f"{job}/attempt-1/error.txt is a link"
    assert over(job, 1)


def test_a_link_that_takes_an_errors_place_now_is_not_followed(
    job: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the look at what it is and its opening."""
    claimed(job)
    (tmp_path / "private").write_text("secret")
    (job / "attempt-1").mkdir()
    (job / "attempt-1" / "error.txt").symlink_to(tmp_path / "private")
    monkeypatch.setattr(files, "linked", lambda path, parents: False)
    with pytest.raises(DiskError, match=r"error\.txt: cannot be read: "):
        claims.error(job, 1)


def test_of_a_long_error_the_end_is_read(job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    claimed(job).open()
    with open(job / "attempt-1" / "error.txt", "wb") as file:
        file.truncate(1 << 40)  # which takes no room
        file.seek(0, os.SEEK_END)
        file.write(b"\nRuntimeError: boom\n")
    assert claims.error(job, 1) == "RuntimeError: boom"
    (job / "attempt-1" / "error.txt").write_text("x" * 5000)
    assert claims.error(job, 1) == f"{'x' * 1000}… (5,000 characters)"
