"""A disk of this process' own, in a namespace of mounts that nobody else sees."""

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import final

_C = ctypes.CDLL(None, use_errno=True)
_NEW_MOUNTS, _NEW_USERS = 0x00020000, 0x10000000
_READ_ONLY, _REMOUNT, _BIND, _RECURSIVE, _PRIVATE = 1, 32, 4096, 16384, 1 << 18
_DETACH = 2
_ROOMY = "size=64m,nr_inodes=10000"


def private() -> None:
    """Give this process, and those it starts, mounts of their own, if need be as its own root."""
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _done(_C.unshare(_NEW_MOUNTS), "unshare")
    else:
        _done(_C.unshare(_NEW_MOUNTS | _NEW_USERS), "unshare")
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    _mount("none", Path("/"), "", _RECURSIVE | _PRIVATE)


@final
@dataclass(frozen=True)
class Disk:
    """A file system in memory that is limited, goes read-only, is pulled out and comes back."""

    place: Path
    """Path of its mount; when it is pulled out, nothing can be written there."""
    kept: Path
    """Path at which it stays though it was pulled out."""

    def limit(self, options: str) -> None:
        """Give it another size: `size=64k`, `nr_inodes=10`."""
        _mount("none", self.kept, "tmpfs", _REMOUNT, options)

    def protect(self) -> None:
        """Make it read-only."""
        _mount("none", self.kept, "tmpfs", _REMOUNT | _READ_ONLY)

    def fill(self) -> None:
        """Take all the room that is left."""
        room = os.statvfs(self.kept)
        self.limit(f"size={(room.f_blocks - room.f_bfree) * room.f_frsize or room.f_frsize}")

    def pull(self) -> None:
        """Take it out, under the hands of whoever uses it."""
        _done(_C.umount2(os.fsencode(self.place), _DETACH), "umount")

    def restore(self) -> None:
        """Put it back in if it is out, with room, to be written."""
        if not self.place.is_mount():
            _mount(str(self.kept), self.place, "", _BIND)
        self.limit(_ROOMY)


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A disk in this folder, with room."""
    machine, kept = folder / "machine", folder / "kept"
    made = Disk(machine / "disk", kept)
    machine.mkdir()
    kept.mkdir()
    try:
        _mount("none", machine, "tmpfs", 0)
        made.place.mkdir()
        _mount("none", machine, "tmpfs", _REMOUNT | _READ_ONLY)
        _mount("none", kept, "tmpfs", 0, _ROOMY)
        made.restore()
        yield made
    finally:
        for place in (made.place, machine, kept):
            _C.umount2(os.fsencode(place), _DETACH)


def _mount(source: str, place: Path, kind: str, flags: int, options: str = "") -> None:
    path, data = os.fsencode(place), options.encode()
    status = _C.mount(source.encode(), path, kind.encode(), ctypes.c_ulong(flags), data)
    _done(status, f"mount {place} {options}")


def _done(status: int, action: str) -> None:
    if status:
        raise OSError(ctypes.get_errno(), f"{action}: {os.strerror(ctypes.get_errno())}")
