"""A study's tables as files that other tools read:
Parquet, CSV, or the event files of TensorBoard.
"""

import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, final

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from resformer.errors import UserError
from resformer.results import frames, tensorboard
from resformer.results.csv import LINE_END, spreadsheet_safe
from resformer.results.members import Findings
from resformer.store.checks import Damaged

Form = Literal["parquet", "csv", "tensorboard"]

_CURVES = pa.schema(
    [
        ("study", pa.string()),
        ("job", pa.string()),
        ("seed", pa.int64()),
        ("lr", pa.float64()),
        ("step", pa.int64()),
    ]
    + [(name, pa.float64()) for name in frames.CURVE_VALUES]
)


@final
@dataclass(frozen=True)
class Exported:
    """The files that were written, for TensorBoard the folder, and what of the study is not in
    them, a line each.
    """

    paths: list[Path]
    left_out: list[str]


def export(findings: Findings, folder: Path, form: Form) -> Exported:
    """Write `runs` and `curves`, or for TensorBoard a folder per member, into a folder that is new
    or empty.

    The curves are read and written job by job, beside the folder, which is put in its place when
    all of it is there. UserError, and nothing written, if there are no results or the folder holds
    something or cannot be written.
    """
    if form == "tensorboard":
        tensorboard.check()
    runs = frames.runs(findings)
    left_out = frames.left_out(findings)
    damaged = []
    with _placed(folder) as new:
        with _curves_writer(new, form, runs) as write:
            for job, found in frames.curves_by_job(findings):
                if isinstance(found, Damaged):
                    damaged.append(job)
                    left_out.append(str(found))
                else:
                    write(found)
        whole = runs[~runs["job"].isin(damaged)]
        if whole.empty:
            raise frames.no_results(findings, left_out)
        if form != "tensorboard":
            _write_runs(whole, new / f"runs.{form}")
    paths = (
        [folder] if form == "tensorboard" else [folder / f"runs.{form}", folder / f"curves.{form}"]
    )
    return Exported(paths, left_out)


@contextmanager
def _placed(folder: Path) -> Iterator[Path]:
    """A folder beside the wanted one, which takes its place at the end;
    after an error it is gone.
    """
    place = folder.resolve()
    temporary = place.with_name(f".{place.name}.{uuid.uuid4().hex}.tmp")
    try:
        if why := _taken(place):
            raise UserError(f"{folder}: {why}; name a folder that is new or empty")
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(place)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror}; name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _taken(place: Path) -> str | None:
    """Why nothing can be put in this place; None if it can."""
    if not place.exists():
        return None
    if not place.is_dir():
        return "is a file"
    if any(place.iterdir()):
        return "is not empty"
    return "is the working directory" if place == Path.cwd() else None


@contextmanager
def _curves_writer(
    folder: Path, form: Form, runs: pd.DataFrame
) -> Iterator[Callable[[pd.DataFrame], None]]:
    """What writes the curves of one job after another."""
    match form:
        case "parquet":
            path = folder / "curves.parquet"
            with pq.ParquetWriter(
                path, _CURVES, compression="zstd", write_page_checksum=True
            ) as writer:
                yield lambda curves: writer.write_table(
                    pa.Table.from_pandas(curves, _CURVES, preserve_index=False)
                )
        case "csv":
            with open(folder / "curves.csv", "w", encoding="utf-8", newline="") as file:
                file.write(",".join(_CURVES.names) + LINE_END)
                yield lambda curves: _harmless(curves).to_csv(
                    file, header=False, index=False, lineterminator=LINE_END
                )
        case "tensorboard":
            names = tensorboard.run_names(runs)
            yield lambda curves: tensorboard.write(folder, names, curves)


def _write_runs(runs: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        _harmless(runs).to_csv(path, index=False, lineterminator=LINE_END)
    else:
        table = pa.Table.from_pandas(runs, preserve_index=False)
        pq.write_table(table, path, compression="zstd", write_page_checksum=True)


def _harmless(table: pd.DataFrame) -> pd.DataFrame:
    """The table with an apostrophe before each text that a spreadsheet would take for a formula;
    numbers stay.
    """
    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{str(name): texts[name].map(spreadsheet_safe) for name in texts})
