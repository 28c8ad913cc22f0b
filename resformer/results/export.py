"""Export of a study's runs and curves: Parquet, CSV, or event files of TensorBoard."""

import os
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
    """Files written (for TensorBoard the folder), and results they lack, a line each."""

    paths: list[Path]
    left_out: list[str]


def export(findings: Findings, folder: Path, form: Form) -> Exported:
    """Write `runs` and `curves` (for TensorBoard a folder per member) into a new or empty folder.

    The curves are read and written job by job in a temporary folder, which is renamed at the end.
    UserError, and nothing written, if there are no results, or the folder holds something or cannot
    be written.
    """
    if form == "tensorboard":
        tensorboard.check()
    runs = frames.runs(findings)
    left_out = frames.left_out(findings)
    damaged = []
    with _atomic(folder) as temporary:
        with _curves_writer(temporary, form, runs) as write:
            for job, curves in frames.curves_by_job(findings):
                if isinstance(curves, Damaged):
                    damaged.append(job)
                    left_out.append(str(curves))
                else:
                    write(curves)
        runs = runs[~runs["job"].isin(damaged)]
        if runs.empty:
            raise frames.no_results(findings, left_out)
        if form != "tensorboard":
            _write_runs(runs, temporary / f"runs.{form}")
    paths = (
        [folder] if form == "tensorboard" else [folder / f"runs.{form}", folder / f"curves.{form}"]
    )
    return Exported(paths, left_out)


@contextmanager
def _atomic(folder: Path) -> Iterator[Path]:
    """Temporary folder that replaces `folder` at the end, or is removed after an error."""
    target = folder.resolve()
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    try:
        if obstacle := _obstacle(target):
            raise UserError(f"{folder}: {obstacle}; name a folder that is new or empty")
        temporary.mkdir(parents=True)
        yield temporary
        temporary.replace(target)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written: {error.strerror}; name another folder"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _obstacle(target: Path) -> str | None:
    """Reason why a folder cannot be replaced; None if it can."""
    if not target.exists():
        return None
    if not target.is_dir():
        return "is a file"
    if any(target.iterdir()):
        return "is not empty"
    return "is the working directory" if target == Path.cwd() else None


@contextmanager
def _curves_writer(
    folder: Path, form: Form, runs: pd.DataFrame
) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Writer of curves, called once per job."""
    match form:
        case "parquet":
            with (
                _opened(folder / "curves.parquet") as file,
                pq.ParquetWriter(
                    file, _CURVES, compression="zstd", write_page_checksum=True
                ) as writer,
            ):
                yield lambda curves: writer.write_table(
                    pa.Table.from_pandas(curves, _CURVES, preserve_index=False)
                )
        case "csv":
            with open(folder / "curves.csv", "w", encoding="utf-8", newline="") as file:
                file.write(",".join(_CURVES.names) + LINE_END)
                yield lambda curves: _without_formulas(curves).to_csv(
                    file, header=False, index=False, lineterminator=LINE_END
                )
        case "tensorboard":
            names = tensorboard.run_names(runs)
            yield lambda curves: tensorboard.write(folder, names, curves)


def _write_runs(runs: pd.DataFrame, path: Path) -> None:
    if path.suffix == ".csv":
        _without_formulas(runs).to_csv(path, index=False, lineterminator=LINE_END)
    else:
        table = pa.Table.from_pandas(runs, preserve_index=False)
        with _opened(path) as file:
            pq.write_table(table, file, compression="zstd", write_page_checksum=True)


def _opened(path: Path) -> pa.OSFile:
    """A new file for Arrow, which itself takes no path that is no UTF-8."""
    return pa.OSFile(os.fsencode(path), "wb")


def _without_formulas(table: pd.DataFrame) -> pd.DataFrame:
    """Table with an apostrophe before each text that a spreadsheet would read as a formula."""
    texts = table.select_dtypes(exclude=["number", "bool"])
    return table.assign(**{str(name): texts[name].map(spreadsheet_safe) for name in texts})
