"""Kernels on a new machine: built once, found again, and the reason where there can be none."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from resformer.numerics.backends.kernels import build

pytestmark = pytest.mark.sweep

REASON = "from resformer.numerics.backends.kernels import build; print(build.missing())"


def missing(cache: Path, **environment: str) -> str:
    """The reason of a fresh process, which keeps its kernels in that folder, why there are none."""
    run = subprocess.run(
        [sys.executable, "-c", REASON],
        env={"XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


def fake(folder: Path, script: str) -> Path:
    """A folder with a compiler that does this."""
    folder.mkdir()
    (folder / "c++").write_text(f"#!{shutil.which('sh')}\n{script}\n")
    (folder / "c++").chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder in which the kernels were built."""
    if reason := build.missing():
        pytest.skip(reason)
    cache = tmp_path_factory.mktemp("built")
    assert missing(cache) == "None"
    return cache


@pytest.fixture
def cache(built: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(built, tmp_path / "cache"))


def test_kernels_are_built_once_and_then_found(cache: Path, tmp_path: Path) -> None:
    (made,) = (cache / "resformer").iterdir()
    before = made.stat()
    only_named = fake(
        tmp_path / "bin", f"[ \"$1\" = --version ] && echo '{build.compiler()}' || exit 1"
    )
    assert missing(cache, PATH=str(only_named)) == "None"
    after = made.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_compiler_builds_its_own(cache: Path, tmp_path: Path) -> None:
    other = fake(
        tmp_path / "bin", '[ "$1" = --version ] && echo \'another 1.0\' || exec /usr/bin/c++ "$@"'
    )
    assert missing(cache, PATH=f"{other}:/usr/bin:/bin") == "None"
    assert len(list((cache / "resformer").iterdir())) == 2


@pytest.mark.parametrize("harm", ["cut", "flipped", "a folder"])
def test_a_damaged_library_is_built_again(cache: Path, harm: str) -> None:
    (made,) = (cache / "resformer").iterdir()
    whole = made.read_bytes()
    if harm == "a folder":
        made.unlink()
        made.mkdir()
        assert str(made) in missing(cache)
        return
    made.write_bytes(whole[:-1] if harm == "cut" else bytes([whole[0], whole[1] ^ 4, *whole[2:]]))
    assert missing(cache) == "None"
    assert [path.read_bytes() for path in (cache / "resformer").iterdir()] == [whole]


def test_a_machine_without_a_compiler_is_told_so(tmp_path: Path) -> None:
    assert (
        missing(tmp_path, PATH=str(tmp_path))
        == "there is no C++ compiler (c++, g++ or clang++) here"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    ["echo 'no such language' >&2; exit 1", "[ $1 = --version ] && exit; echo no >&2; exit 1"],
)
def test_a_compiler_that_fails_is_named_with_what_it_said(tmp_path: Path, script: str) -> None:
    reason = missing(tmp_path / "cache", PATH=str(fake(tmp_path / "bin", script)))
    assert reason in ("c++ failed: no", "c++ failed: no such language")
    assert not list(tmp_path.glob("cache/resformer/*"))


def test_a_compiler_that_cannot_be_run_is_named(tmp_path: Path) -> None:
    (fake(tmp_path / "bin", "") / "c++").write_bytes(b"\x7fELF, but no more of it")
    assert missing(tmp_path, PATH=str(tmp_path / "bin")) == "c++ cannot be run: Exec format error"


@pytest.mark.usefixtures("kernels")
def test_a_cache_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("")
    reason = missing(taken)
    assert reason.startswith("the kernels cannot be kept in a cache folder: ")
    assert str(taken) in reason
