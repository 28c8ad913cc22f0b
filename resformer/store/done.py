"""The workers' lists of done jobs, read as they grow."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import final

from resformer.errors import DiskError
from resformer.keys import Json
from resformer.store import files
from resformer.store.job_folders import begun, job_folder
from resformer.store.packed.result_files import result_name


@final
class Done:
    """Reader of the lists in a study folder. They are a cache: jobs they leave out may be finished
    too; quarantined ones are open, and so are those whose results were gone at the first reading.
    """

    def __init__(self, study: Path) -> None:
        self._study = study
        self._offsets: dict[str, int] = {}
        """Bytes read of each list, by its name."""

    def news(self) -> dict[str, Json]:
        """Lines of jobs listed since the last call, by job."""
        first = not self._offsets
        news = {str(line.get("job")): line for line in self._lines()}
        if first and news:
            there = begun(self._study)
            news = {job: line for job, line in news.items() if job in there and self._has(job)}
        for name in files.names(self._study / "damaged") if news else []:
            news.pop(name.partition(".")[0], None)
        return news

    def _has(self, job: str) -> bool:
        """Tell whether a job that was begun has a first result, as gathered ones have, too; true
        where that cannot be told, as the list says so.
        """
        try:
            return files.exists(f"{job_folder(self._study, job)}/{result_name(1)}")
        except DiskError:
            return True

    def _lines(self) -> Iterator[Json]:
        """New lines whose checksum fits."""
        folder = self._study / "done"
        for name in files.names(folder):
            with contextlib.suppress(FileNotFoundError, DiskError):
                lines, self._offsets[name] = files.lines_since(
                    folder / name, self._offsets.get(name, 0)
                )
                yield from _parsed(
                    [body for line in lines if (body := files.verified_body(line)) is not None]
                )


def _parsed(texts: Sequence[bytes]) -> list[Json]:
    """The JSON objects among these texts; if all are, parsed as one, which is several times as
    fast.
    """
    trees = (files.parse_object(b'{"all": [%s]}' % b",".join(texts)) or {}).get("all", ())
    if len(trees) == len(texts) and all(isinstance(tree, dict) for tree in trees):
        return list(trees)
    return [tree for text in texts if (tree := files.parse_object(text)) is not None]
