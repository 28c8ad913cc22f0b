"""A network file system on this machine's loopback, as two machines see it: GlusterFS, mounted
twice.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from lib.clusters import loopback

_PORT = 24999
_SERVER = """
volume disk
  type storage/posix
  option directory {folder}/disk
end-volume
volume shared
  type features/locks
  subvolumes disk
end-volume
volume server
  type protocol/server
  option transport-type tcp
  option transport.socket.listen-port {port}
  option transport.socket.bind-address 127.0.0.1
  option auth.addr.shared.allow 127.0.0.1
  subvolumes shared
end-volume
"""
_CLIENT = """
volume remote
  type protocol/client
  option transport-type tcp
  option remote-host 127.0.0.1
  option remote-port {port}
  option remote-subvolume shared
end-volume
volume write-behind
  type performance/write-behind
  subvolumes remote
end-volume
volume open-behind
  type performance/open-behind
  subvolumes write-behind
end-volume
volume quick-read
  type performance/quick-read
  subvolumes open-behind
end-volume
volume md-cache
  type performance/md-cache
  subvolumes quick-read
end-volume
"""
"""With the caches of a volume as GlusterFS makes it."""


@contextmanager
def mounted_twice() -> Iterator[tuple[Path, Path]]:
    """A folder of GlusterFS, over TCP, at two mounts with caches of their own; Missing if that is
    not installed.
    """
    for command in ("glusterfsd", "glusterfs"):
        if shutil.which(command, path=loopback.WHERE) is None:
            raise loopback.Missing(command)
    if os.geteuid() != 0:
        raise loopback.Missing("root, to mount")
    with loopback.short_folder() as folder:
        mounts = folder / "here", folder / "there"
        for path in (folder / "disk", *mounts):
            path.mkdir()
        try:
            _serve(folder, "glusterfsd", "server", _SERVER)
            for mount in mounts:
                _serve(folder, "glusterfs", mount.name, _CLIENT, str(mount))
                assert mount.is_mount()
            yield mounts
        finally:
            for mount in mounts:
                subprocess.run(["umount", "--lazy", mount], capture_output=True, check=False)
            for path in folder.glob("*.pid"):
                psutil.Process(int(path.read_text())).kill()


def _serve(folder: Path, command: str, name: str, volume: str, *words: str) -> None:
    """Returns once it serves."""
    (folder / f"{name}.vol").write_text(volume.format(folder=folder, port=_PORT))
    files = {"volfile": "vol", "log-file": "log", "pid-file": "pid"}
    options = [f"--{option}={folder / name}.{suffix}" for option, suffix in files.items()]
    subprocess.run(
        [shutil.which(command, path=loopback.WHERE) or command, *options, *words],
        check=True,
        capture_output=True,
    )
