"""The cache folder is trusted only if nobody else can have written to it."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from resformer.numerics.cache_folder import CacheUnavailable, cache_folder


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of all caches, which does not exist."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a" / "caches"))
    return tmp_path / "a" / "caches"


@pytest.fixture
def open_mask() -> Iterator[None]:
    """Whatever is made may be written by everybody, unless its maker says otherwise."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_mask")
def test_it_is_made_for_this_user_alone(kept: Path) -> None:
    assert cache_folder() == kept / "resformer"
    made = (kept.parent, kept, kept / "resformer")
    assert [path.stat().st_mode & 0o777 for path in made] == [0o700] * 3
    assert cache_folder() == kept / "resformer"


@pytest.mark.parametrize("relative", ["", "caches", "./caches"])
def test_a_relative_one_is_ignored(
    relative: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that somebody gave out may bring one."""
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    assert cache_folder() == tmp_path / "home/.cache/resformer"
    monkeypatch.setenv("HOME", "home")
    with pytest.raises(CacheUnavailable, match="absolute"):
        cache_folder()


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722, 0o1777])
def test_one_that_others_may_write_to_is_refused(mode: int, kept: Path) -> None:
    cache_folder().chmod(mode)
    with pytest.raises(
        CacheUnavailable, match=r"others may write to it \(chmod go-w ends that\); delete it"
    ):
        cache_folder()


def test_one_that_others_may_read_is_taken(kept: Path) -> None:
    cache_folder().chmod(0o755)
    assert cache_folder() == kept / "resformer"


def test_another_users_is_refused(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, me = cache_folder(), os.geteuid()
    if me == 0:
        os.chown(folder, 65534, 65534)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with pytest.raises(CacheUnavailable, match="another user's"):
        cache_folder()


def test_roots_is_taken(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An administrator may have made it; nothing can be kept in it, but what is there is good."""
    made, lstat = cache_folder(), Path.lstat

    def of_root(path: Path) -> os.stat_result:
        status = lstat(path)
        return os.stat_result((*status[:4], 0, *status[5:10]))

    monkeypatch.setattr(Path, "lstat", of_root)
    monkeypatch.setattr(os, "geteuid", lambda: 65534)
    assert cache_folder() == made


@pytest.mark.parametrize("target", ["elsewhere", "nowhere"])
def test_a_link_is_refused(target: str, kept: Path) -> None:
    (kept.parent / "elsewhere").mkdir(parents=True)
    kept.mkdir()
    (kept / "resformer").symlink_to(kept.parent / target)
    with pytest.raises(CacheUnavailable, match="is a link"):
        cache_folder()


def test_folders_above_may_be_links(kept: Path, tmp_path: Path) -> None:
    (tmp_path / "large").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "large")
    assert cache_folder() == tmp_path / "large/caches/resformer"


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o702])
def test_one_that_others_could_exchange_is_refused(mode: int, kept: Path, tmp_path: Path) -> None:
    """Between the look at its mode and the use of what is in it."""
    cache_folder()
    kept.chmod(mode)
    with pytest.raises(CacheUnavailable, match=f"{kept}: others may write to it .chmod"):
        cache_folder()
    kept.chmod(0o700)
    kept.parent.chmod(mode)
    with pytest.raises(CacheUnavailable, match=f"{kept.parent}: others may write to it .chmod"):
        cache_folder()


def test_one_behind_a_link_that_others_could_exchange_is_refused(
    kept: Path, tmp_path: Path
) -> None:
    (tmp_path / "open" / "large").mkdir(parents=True)
    (tmp_path / "a").symlink_to(tmp_path / "open" / "large")
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(CacheUnavailable, match=f"{tmp_path}/open: others may write to it"):
        cache_folder()


def test_one_in_a_sticky_folder_is_taken(kept: Path) -> None:
    """In which others can make files, but exchange none."""
    cache_folder()
    kept.parent.chmod(0o1777)
    assert cache_folder() == kept / "resformer"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives folders away")
def test_one_in_another_users_folder_is_refused(kept: Path) -> None:
    cache_folder()
    os.chown(kept, 65534, 65534)
    with pytest.raises(CacheUnavailable, match=f"{kept}: is another user's"):
        cache_folder()


def test_one_that_cannot_be_made_is_a_line(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.parent.mkdir()
    kept.write_text("a file")
    with pytest.raises(CacheUnavailable, match="cannot be made: File exists"):
        cache_folder()
    kept.unlink()
    kept.mkdir()
    (kept / "resformer").write_text("a file")
    with pytest.raises(CacheUnavailable, match="cannot be made: File exists"):
        cache_folder()

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(CacheUnavailable, match="home directory"):
        cache_folder()
