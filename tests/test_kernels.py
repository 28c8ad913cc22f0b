"""Kernels on a new machine: built once, found again, and the reason where there can be none."""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from support.commands import Command
from support.sweeps import TINY

from resformer.numerics.backends.kernels import build, compiler, sources

pytestmark = pytest.mark.sweep

REASON = """
from resformer.numerics.backends.kernels import build
print(build.missing() or build.note() or None)
"""


VERSION = "[ $1 = --version ] && echo 1.0 && exit; "
OUTPUT = "for made; do :; done; "
"""The compiler's last word is the file that it makes."""


def missing(cache: Path, *words: str, **environment: str) -> str:
    """The reason of a fresh process, which keeps its kernels in that folder, why there are none, or
    why they are not kept; `words` stand before its command.
    """
    run = subprocess.run(
        [*words, sys.executable, "-c", REASON],
        env={"XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stdout.strip()


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., str]]:
    """`refused(cache)`: the reason why no compiler makes kernels that are used, in this process;
    "" if one does.
    """

    def reason(cache: Path, **environment: str) -> str:
        variables = {"XDG_CACHE_HOME": str(cache), "PATH": "/usr/bin:/bin", **environment}
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        compiler._version.cache_clear()
        try:
            build._chosen.__wrapped__(torch.float32)
        except compiler.Unavailable as unavailable:
            return str(unavailable)
        return ""

    yield reason
    compiler._version.cache_clear()


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


@pytest.fixture
def copying(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A compiler that makes those kernels again by copying them, which takes no seconds, and all
    else as ever. Here they are not tried in a process first: they were when they were built.
    """
    (made,) = (built / "resformer").iterdir()
    monkeypatch.setattr(build.selftest, "crash", lambda library, dtype: "")
    copies = f'case "$*" in *{sources.MAIN}*) {OUTPUT} exec /bin/cp {made} "$made" ;; esac'
    return fake(tmp_path / "copies", f'{copies}; exec /usr/bin/c++ "$@"') / "c++"


@pytest.fixture
def path(copying: Path) -> str:
    """A PATH with that compiler."""
    return f"{copying.parent}:/usr/bin:/bin"


def test_kernels_are_built_once_and_then_found(cache: Path, tmp_path: Path) -> None:
    (made,) = (cache / "resformer").iterdir()
    before = made.stat()
    only_named = fake(
        tmp_path / "bin", f"[ \"$1\" = --version ] && echo '{build.compiler()}' || exit 1"
    )
    assert missing(cache, PATH=str(only_named)) == "None"
    after = made.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_another_compiler_builds_its_own(
    cache: Path, tmp_path: Path, copying: Path, refused: Callable[..., str]
) -> None:
    other = fake(tmp_path / "bin", f'{VERSION} exec {copying} "$@"')
    assert refused(cache, PATH=f"{other}:/usr/bin:/bin") == ""
    assert len(list((cache / "resformer").iterdir())) == 2


def test_the_words_of_a_compiler_count(
    cache: Path, copying: Path, refused: Callable[..., str]
) -> None:
    """They change bits; launches record them."""
    plain = compiler.Compiler(("c++",)).version
    assert refused(cache, CXX=f"{copying} -pipe") == ""
    assert len(list((cache / "resformer").iterdir())) == 2
    words = compiler.Compiler(("c++", "-DNAME=a b", "-O1")).version
    assert words == f"{plain} '-DNAME=a b' -O1"


def without_privileges(folder: Path) -> list[str]:
    """Words before a command for which a folder that may not be written is closed, also as root."""
    folder.chmod(0o500)
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("there is no setpriv")
    return [setpriv, "--bounding-set=-dac_override", "--inh-caps=-dac_override"]


@pytest.mark.parametrize("known", [True, False])
def test_a_cache_that_cannot_be_written_is_read(
    cache: Path, tmp_path: Path, copying: Path, known: bool
) -> None:
    """As an administrator's, or in a home that is mounted to be read."""
    words = without_privileges(cache / "resformer")
    if known:
        only_named = f"[ \"$1\" = --version ] && echo '{build.compiler()}' || exit 1"
        path = str(fake(tmp_path / "bin", only_named))
    else:
        other = fake(tmp_path / "bin", f'{VERSION} exec {copying} "$@"')
        path = f"{other}:/usr/bin:/bin"
    reason = missing(cache, *words, PATH=path)
    if known:
        assert reason == "None"
    else:
        assert reason.endswith(f"only: {cache / 'resformer'}: cannot be written: Permission denied")


@pytest.mark.parametrize("harm", ["cut", "flipped", "a folder"])
def test_a_damaged_library_is_built_again(
    cache: Path, path: str, harm: str, refused: Callable[..., str]
) -> None:
    (made,) = (cache / "resformer").iterdir()
    whole = made.read_bytes()
    if harm == "a folder":
        made.unlink()
        made.mkdir()
    else:
        flipped = bytes([whole[0], whole[1] ^ 4, *whole[2:]])
        made.write_bytes(whole[:-1] if harm == "cut" else flipped)
    assert refused(cache, PATH=path) == ""
    assert [file.read_bytes() for file in (cache / "resformer").iterdir()] == [whole]


def test_a_machine_without_a_compiler_is_told_so(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert (
        refused(tmp_path, PATH=str(tmp_path))
        == "there is no C++ compiler (c++, g++ or clang++) here"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "script",
    ["echo 'no such language' >&2; exit 1", "[ $1 = --version ] && exit; echo no >&2; exit 1"],
)
def test_a_compiler_that_fails_is_named_with_what_it_said(
    tmp_path: Path, refused: Callable[..., str], script: str
) -> None:
    reason = refused(tmp_path / "cache", PATH=str(fake(tmp_path / "bin", script)))
    assert reason in ("c++ failed: no", "c++ failed: no such language")
    assert not list(tmp_path.glob("cache/resformer/*"))


def test_a_compiler_that_cannot_be_run_is_named(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    (fake(tmp_path / "bin", "") / "c++").write_bytes(b"\x7fELF, but no more of it")
    assert refused(tmp_path, PATH=str(tmp_path / "bin")) == "c++ cannot be run: Exec format error"


def test_the_next_compiler_is_taken_where_one_is_broken(
    tmp_path: Path, copying: Path, refused: Callable[..., str]
) -> None:
    cache, broken = tmp_path / "cache", fake(tmp_path / "bin", "echo no >&2; exit 1")
    (broken / "g++").symlink_to(copying)
    assert refused(cache, PATH=f"{broken}:/usr/bin:/bin") == ""


def test_the_compiler_of_cxx_is_the_only_one(tmp_path: Path, refused: Callable[..., str]) -> None:
    cache, broken = tmp_path / "cache", fake(tmp_path / "bin", "echo no >&2; exit 1")
    reason = refused(cache, CXX=f"{broken / 'c++'} -pipe")
    assert reason == f"{broken / 'c++'} -pipe failed: no"
    assert refused(cache, CXX="nowhere") == "CXX=nowhere: there is no such compiler"
    assert "No closing quotation" in refused(cache, CXX="'")


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        (VERSION + "printf '\\377\\376' >&2; exit 1", "c++ failed: \N{REPLACEMENT CHARACTER}"),
        (VERSION + "kill -SEGV $$", "c++ was ended by SIGSEGV"),
        (VERSION + "exit 7", "c++ failed with exit code 7"),
        (VERSION + "exit 0", "c++ makes nothing of the kernels, and does not say why"),
        (VERSION + OUTPUT + ": >$made", "cannot be loaded: file too short"),
        (VERSION + OUTPUT + "echo garbage >$made", "cannot be loaded: "),
        (
            VERSION
            + OUTPUT
            + 'PATH=/usr/bin:/bin; export PATH; echo "" | c++ -shared -xc++ - -o $made',
            "undefined symbol",
        ),
    ],
)
def test_what_a_broken_compiler_makes_is_not_kept(
    tmp_path: Path, refused: Callable[..., str], script: str, reason: str
) -> None:
    cache = tmp_path / "cache"
    only = fake(tmp_path / "bin", script)
    assert reason in refused(cache, PATH=str(only))
    assert list((cache / "resformer").iterdir()) == []


IDLE = "".join(f'extern "C" void {name}() {{}}\n' for name in sources.SIGNATURES)
"""Kernels that do nothing."""


@pytest.fixture
def idle(tmp_path: Path) -> Path:
    """A library of kernels that do nothing."""
    code, made = tmp_path / "idle.cpp", tmp_path / "idle.so"
    code.write_text(IDLE)
    compiler.compilers()[0].run("-shared", "-fPIC", str(code), "-o", str(made))
    return made


def test_kernels_that_compute_wrongly_are_built_again(
    cache: Path, path: str, idle: Path, refused: Callable[..., str]
) -> None:
    """A library of the right name and hash."""
    (made,) = (cache / "resformer").iterdir()
    whole = made.read_bytes()
    wrong = hashlib.sha256(idle.read_bytes()).hexdigest()[:16]
    made.unlink()
    idle.rename(made.with_name(f"{made.stem.rpartition('-')[0]}-{wrong}.so"))
    assert refused(cache, PATH=path) == ""
    assert made.read_bytes() == whole
    assert list((cache / "resformer").iterdir()) == [made]


def test_a_compiler_whose_kernels_compute_wrongly_is_not_used(
    tmp_path: Path, refused: Callable[..., str], idle: Path
) -> None:
    only = fake(tmp_path / "bin", VERSION + OUTPUT + f"/bin/cat {idle} >$made")
    reason = refused(tmp_path / "cache", PATH=str(only))
    assert reason == "what c++ makes of the kernels computes attention wrongly"
    assert list((tmp_path / "cache" / "resformer").iterdir()) == []


def test_a_compiler_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging = fake(tmp_path / "bin", "/bin/sleep 60 & wait") / "c++"
    monkeypatch.setattr(compiler, "_MOST_SECONDS", 0.3)
    began = time.monotonic()
    with pytest.raises(compiler.Unavailable, match=r"c\+\+ did not end within 0.3 s"):
        compiler.Compiler((str(hanging),)).run("--version")
    assert time.monotonic() - began < 10


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("__attribute__((constructor)) void start() { raise(SIGILL); }", "SIGILL"),
        ('extern "C" void attend_forward() { raise(SIGSEGV); }', "SIGSEGV"),
    ],
)
def test_a_library_that_would_end_the_command_is_not_used(
    tmp_path: Path, refused: Callable[..., str], code: str, end: str
) -> None:
    """Such as one that is made for another processor."""
    source = tmp_path / "bad.cpp"
    others = [line for line in IDLE.splitlines() if line.split("()")[0] not in code]
    source.write_text("\n".join(["#include <signal.h>", code, *others]))
    bad = VERSION + OUTPUT + f"PATH=/usr/bin:/bin; exec c++ -shared -fPIC {source} -o $made"
    only = fake(tmp_path / "bin", f"export PATH=/usr/bin:/bin; {bad}")
    reason = refused(tmp_path / "cache", PATH=str(only))
    assert reason == f"what c++ makes of the kernels ends its self-test by {end}"
    assert list((tmp_path / "cache" / "resformer").iterdir()) == []


def test_a_process_that_cannot_be_started_is_no_file_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For two compilers the one reason is given once."""

    def crash(library: Path, dtype: torch.dtype) -> str:
        raise PermissionError(13, "Permission denied", sys.executable)

    script = VERSION + OUTPUT + "/bin/echo >$made"
    only = fake(tmp_path / "bin", script)
    shutil.copy(only / "c++", only / "g++")
    monkeypatch.setenv("PATH", str(only))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build.selftest, "crash", crash)
    with pytest.raises(compiler.Unavailable) as refused:
        build._chosen.__wrapped__(torch.float32)
    reason = f"{sys.executable} cannot be run: Permission denied"
    assert str(refused.value) == f"the kernels cannot be tried: {reason}"


def test_other_sources_are_built_by_the_compiler_of_the_kernels(
    tmp_path: Path, copying: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = fake(tmp_path / "bin", "echo no >&2; exit 1")
    (broken / "g++").symlink_to(copying)
    monkeypatch.setenv("PATH", f"{broken}:/usr/bin:/bin")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    source = tmp_path / "one.cpp"
    source.write_text('extern "C" long one() { return 1; }')
    chosen = build._chosen.__wrapped__(torch.float32)
    monkeypatch.setattr(build, "_chosen", lambda dtype: chosen)
    assert build.load(source, torch.float32).one() == 1


NOTE = "the kernels are built for this command only: "


def test_kernels_that_cannot_be_kept_are_built_for_this_command(tmp_path: Path, path: str) -> None:
    """In a folder of this command, which is gone when it ends."""
    taken, scratch = tmp_path / "taken", tmp_path / "scratch"
    scratch.mkdir()
    taken.write_text("")
    reason = missing(taken, TMPDIR=str(scratch), PATH=path)
    assert reason.startswith(NOTE)
    assert str(taken) in reason
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("harm", ["others may write", "another user's"])
def test_kernels_are_not_kept_where_others_could_write(
    tmp_path: Path,
    path: str,
    harm: str,
    refused: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken, scratch = tmp_path / "taken", tmp_path / "scratch"
    scratch.mkdir()
    (taken / "resformer").mkdir(parents=True)
    (taken / "resformer").chmod(0o777)
    if harm == "another user's":
        if os.geteuid() != 0:
            pytest.skip("only root gives folders away")
        (taken / "resformer").chmod(0o700)
        os.chown(taken / "resformer", 65534, 65534)
    monkeypatch.setattr(build, "_notes", [])
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setenv(build._PRIVATE, "")  # so that what is set there is undone
    assert refused(taken, PATH=path) == ""
    assert build.note().startswith(NOTE)
    assert str(taken) in build.note()
    assert list((taken / "resformer").iterdir()) == []
    assert len([*scratch.glob("resformer-*/kernels-*.so")]) == 1


@pytest.mark.parametrize("harm", ["others may write", "another user's", "a link"])
def test_a_library_that_others_could_have_written_is_built_again(
    cache: Path, path: str, harm: str, refused: Callable[..., str]
) -> None:
    (made,) = (cache / "resformer").iterdir()
    whole = made.read_bytes()
    if harm == "others may write":
        made.chmod(0o777)
    elif harm == "a link":
        made.rename(cache / "elsewhere")
        made.symlink_to(cache / "elsewhere")
    elif os.geteuid() == 0:
        os.chown(made, 65534, 65534)
    else:
        pytest.skip("only root gives files away")
    assert refused(cache, PATH=path) == ""
    status = made.lstat()
    assert (made.is_symlink(), status.st_uid, status.st_mode & 0o077) == (False, os.geteuid(), 0)
    assert made.read_bytes() == whole


def test_workers_share_the_kernels_of_their_command(
    command: Command, tmp_path: Path, copying: Path
) -> None:
    """Where there is no cache, the compiler runs once, and a line says so."""
    log, taken = tmp_path / "log", tmp_path / "taken"
    taken.write_text("")
    only = fake(tmp_path / "bin", f'[ $1 = --version ] || echo built >>{log}; exec {copying} "$@"')
    variables = {"XDG_CACHE_HOME": str(taken), "PATH": f"{only}:{os.environ['PATH']}"}
    words = [*TINY, "member.seed=0,1", "engine.stack=1", "engine.workers=2"]
    result = command("sweep", *words, **variables)
    assert result.returncode == 0, result.stderr
    notes = [line for line in result.stderr.splitlines() if "for this command only" in line]
    assert len(notes) == 1
    assert str(taken) in notes[0]
    assert log.read_text() == "built\n"
