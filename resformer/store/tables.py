"""Tables of the store: Parquet with page checksums, without which most flipped bits go unseen."""

import io
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

TableData = dict[str, list[object]] | dict[str, npt.NDArray[Any]]
"""Values of a table by column."""

_FEW_ROWS = 100
_MOST_ROWS_A_BYTE = 100
"""No training is as easily compressed as that, but a file can be made to fill the memory."""


def written(data: TableData) -> bytes:
    """Encode a table as a file."""
    table, buffer = pa.table(data), io.BytesIO()
    # A few rows are no smaller for being compressed, and take twice as long to read.
    compression = "zstd" if len(table) > _FEW_ROWS else "none"
    pq.write_table(table, buffer, write_page_checksum=True, compression=compression)
    return buffer.getvalue()


def read(data: bytes) -> pa.Table:
    """Decode a file. Raises ValueError if it is no table, or unfolds to more rows than its bytes
    can hold.
    """
    try:
        file = pq.ParquetFile(pa.BufferReader(data))
        if file.metadata.num_rows > _MOST_ROWS_A_BYTE * len(data):
            raise ValueError(f"unfolds to {file.metadata.num_rows:,} rows")
        return file.read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise ValueError("is no table") from error
