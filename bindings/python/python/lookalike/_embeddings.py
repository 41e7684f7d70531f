"""Embeddings as people have them: arrays, tensors, columns of tables, files."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lookalike import _lookalike
from lookalike._numpy import ArrayLike, Floats, as_numpy, tell_once

#: The bytes of numbers that are not ``float32``, (n, d times their size), and what they are.
Encoded = tuple[npt.NDArray[np.uint8], str]
#: One matrix as the native half takes it.
Source = Floats | Encoded | _lookalike.FileRows

#: Instances are numbered by 32 bits.
MOST_ROWS = 2**32 - 1
#: Rows that are converted at a time where all of them would be too many.
BLOCK = 65536


@dataclass(frozen=True)
class Matrix:
    """Embeddings that were checked for type and shape, of which nothing was copied that need not be."""

    #: (n, d); of queries and documents (n, 2d).
    shape: tuple[int, int]
    #: What the native half takes.
    native: Source | tuple[Source, Source]
    #: Whether they are (queries, documents).
    is_pair: bool = False

    def __len__(self) -> int:
        return self.shape[0]

    def array(self) -> Floats:
        """All of them as an array of ``float32`` in C order, a copy unless they are that already."""
        if isinstance(self.native, np.ndarray):
            return self.native
        return _lookalike.read_rows(self.native, 0, len(self))

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """The same in parts, each with the number of its first row, so that no copy of all of them is made."""
        if isinstance(self.native, np.ndarray):
            yield 0, self.native
            return
        for first in range(0, len(self), BLOCK):
            yield first, _lookalike.read_rows(self.native, first, min(BLOCK, len(self) - first))


def matrix(name: str, value: ArrayLike, rows: int | None = None, *, pairs: bool = False) -> Matrix:
    """What `value` holds, a row an instance; where `pairs` are meant it can be (queries, documents)."""
    if is_pair(value):
        if not pairs:
            raise ValueError(f"{name} are (queries, documents), but rows of one embedding are expected: give pairs")
        queries, documents = (
            matrix(f"{name}, {part}", half, rows) for part, half in zip(("queries", "documents"), value)
        )
        if queries.shape != documents.shape:
            raise ValueError(
                f"{name}: documents of shape {documents.shape} do not fit queries of shape {queries.shape}; "
                "expected one of the same width for each query"
            )
        n, d = queries.shape
        return Matrix((n, 2 * d), (queries.native, documents.native), is_pair=True)  # type: ignore[arg-type]
    if _library(value) == "torch" and str(getattr(value, "dtype", "")) == "torch.bfloat16":
        made = _of_bfloat16(name, value)
    else:
        found = _found(name, value)
        made = _of_array(name, found) if isinstance(found, np.ndarray) else Matrix(found.shape, found)
    if rows is not None and len(made) != rows:
        raise ValueError(f"{name} of shape {made.shape} has {len(made)} rows; expected {rows}, one an instance")
    return made


def embeddings(name: str, value: ArrayLike, rows: int | None = None, *, pairs: bool = False) -> Floats:
    """The same as one array of ``float32``, of pairs with both side by side."""
    return matrix(name, value, rows, pairs=pairs).array()


def is_pair(value: ArrayLike) -> bool:
    """Whether it is (queries, documents), not one matrix."""
    return isinstance(value, tuple) and len(value) == 2 and all(_is_matrix(part) for part in value)


def _is_matrix(value: ArrayLike) -> bool:
    if _is_path(value) or _library(value) in ("pyarrow", "datasets", "polars", "pandas"):
        return True
    if hasattr(value, "ndim"):
        return bool(value.ndim == 2)
    return isinstance(value, Sequence) and len(value) > 0 and hasattr(value[0], "__len__")


def _is_path(value: ArrayLike) -> bool:
    return isinstance(value, (str, os.PathLike))


def _library(value: ArrayLike) -> str:
    """Who made an object: other libraries are known by name, so that none of them need be there."""
    return type(value).__module__.partition(".")[0]


def _found(name: str, value: ArrayLike) -> npt.NDArray[Any] | _lookalike.FileRows:
    """An array, or files of which nothing is read yet."""
    if _is_path(value):
        return _of_files(name, [value])
    library = _library(value)
    if library == "datasets" and hasattr(getattr(value, "source", None), "with_format"):
        # Through Arrow, which keeps the type of the numbers; as a sequence a column gives lists of Python's.
        value, library = value.source.with_format("arrow")[:][value.column_name], "pyarrow"
    if library == "polars" and hasattr(value, "to_arrow") and not hasattr(value, "columns"):
        value, library = value.to_arrow(), "pyarrow"
    if library == "pyarrow":
        return _of_arrow(name, value)
    if isinstance(value, (list, tuple)):
        return _of_list(name, value)
    array = as_numpy(name, value)
    return _of_list(name, list(array)) if array.dtype == object and array.ndim == 1 else array


def _shape(name: str, array: npt.NDArray[Any]) -> tuple[int, int]:
    if array.ndim != 2 or array.shape[1] == 0:
        raise ValueError(f"{name} of shape {array.shape} is no matrix; expected (n, d) with one instance a row")
    if len(array) > MOST_ROWS:
        raise ValueError(f"{name} of shape {array.shape} has {len(array)} rows; fewer than 2^32 can be numbered")
    return array.shape


def _of_bfloat16(name: str, tensor: Any) -> Matrix:
    """A tensor of PyTorch of a type that NumPy does not have: its bits are taken."""
    bits = as_numpy(name, tensor.detach().contiguous().view(sys.modules["torch"].int16))
    n, d = _shape(name, bits)
    return Matrix((n, d), (bits.view(np.uint8).reshape(n, 2 * d), "BF16"))


def _of_array(name: str, array: npt.NDArray[Any]) -> Matrix:
    n, d = _shape(name, array)
    if array.dtype == np.float32:
        return Matrix((n, d), np.ascontiguousarray(array, dtype=np.float32))
    kind = array.dtype.name
    if array.dtype.kind != "f" and not kind.startswith(("bfloat16", "float8", "float6", "float4")):
        raise ValueError(
            f"{name} of shape {array.shape} is {array.dtype}; expected numbers of floating point: .astype('float32')"
        )
    if array.dtype.kind == "f" and array.dtype.itemsize > 4:
        tell_once("float64", f"{name} of shape {array.shape} is {array.dtype}: it is rounded to float32")
    encodings = {"float16": "F16", "float64": "F64", "bfloat16": "BF16"}
    if kind in encodings and array.flags.c_contiguous and array.dtype.isnative and sys.byteorder == "little":
        return Matrix((n, d), (array.view(np.uint8).reshape(n, d * array.itemsize), encodings[kind]))
    with np.errstate(over="ignore"):
        return Matrix((n, d), np.ascontiguousarray(array.astype(np.float32)))


def _of_list(name: str, rows: Sequence[Any]) -> npt.NDArray[Any] | _lookalike.FileRows:
    """Of rows, of matrices one behind another, or of paths."""
    if rows and all(_is_path(row) for row in rows):
        return _of_files(name, rows)
    for at, row in enumerate(rows):
        if row is None:
            raise ValueError(f"{name}[{at}] is None; expected an embedding for each instance")
    if not rows or not hasattr(rows[0], "ndim"):
        try:
            return np.asarray(rows)
        except ValueError:
            # Rows of several lengths, which are named below.
            pass
    parts = [as_numpy(f"{name}[{at}]", row) for at, row in enumerate(rows)]
    for at, part in enumerate(parts):
        if part.ndim not in (1, 2) or part.ndim != parts[0].ndim:
            raise ValueError(f"{name}[{at}] has shape {part.shape}; expected rows (d,), or matrices (n, d)")
        if part.shape[-1] != parts[0].shape[-1]:
            wide, first = part.shape[-1], parts[0].shape[-1]
            raise ValueError(f"{name}[{at}] has {wide} columns, and {name}[0] has {first}; expected one width")
        if part.ndim == 2 and len(part) == 0:
            raise ValueError(f"{name}[{at}] has no rows; leave it out")
    return np.stack(parts) if parts[0].ndim == 1 else np.concatenate(parts)


def _of_arrow(name: str, column: Any) -> npt.NDArray[Any]:
    """The lists of a column of Arrow, all of one length; one chunk is not copied, several are."""
    if hasattr(column, "column_names") or hasattr(column, "schema"):
        names = list(column.schema.names)
        raise ValueError(f"{name} is a table with the columns {names}; give one of them: table[{names[0]!r}]")
    parts: list[npt.NDArray[Any]] = []
    before = 0
    for chunk in getattr(column, "chunks", [column]):
        if len(chunk) > 0:
            part = _of_chunk(name, getattr(chunk, "storage", chunk), before)
            if parts and part.shape[1] != parts[0].shape[1]:
                wide, first = part.shape[1], parts[0].shape[1]
                raise ValueError(f"{name}[{before}] has {wide} columns, and {name}[0] has {first}; expected one width")
            parts.append(part)
        before += len(chunk)
    if not parts:
        raise ValueError(f"{name} is a column without rows")
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _of_chunk(name: str, chunk: Any, before: int) -> npt.NDArray[Any]:
    if chunk.null_count:
        at = before + int(np.argmax(chunk.is_null().to_numpy(zero_copy_only=False)))
        raise ValueError(f"{name}[{at}] is null; expected an embedding for each instance")
    if "list" not in str(chunk.type):
        raise ValueError(f"{name} is a column of {chunk.type}; expected lists of numbers, all of one length")
    values = chunk.flatten()
    if "list" in str(values.type):
        raise ValueError(f"{name} is a column of {chunk.type}; expected lists of numbers, not of lists")
    if hasattr(chunk.type, "list_size"):
        width = chunk.type.list_size
    else:
        lengths = chunk.value_lengths().to_numpy(zero_copy_only=False)
        width = int(lengths[0])
        if (lengths != width).any():
            at = int(np.argmax(lengths != width))
            raise ValueError(
                f"{name}[{before + at}] has {lengths[at]} columns, and {name}[{before}] has {width}; expected one width"
            )
    array: npt.NDArray[Any] = values.to_numpy(zero_copy_only=False)
    return array.reshape(len(chunk), width)


def _of_files(name: str, paths: Sequence[str | os.PathLike[str]]) -> npt.NDArray[Any] | _lookalike.FileRows:
    texts = [os.fspath(path) for path in paths]
    if len(texts) == 1 and ".npz" in texts[0]:
        return _of_npz(name, texts[0])
    try:
        files = _lookalike.FileRows(texts)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if files.rounds:
        tell_once("float64", f"{name}: {texts[0]} holds float64, which is rounded to float32")
    return files


def _of_npz(name: str, text: str) -> npt.NDArray[Any]:
    """The one matrix of an archive of NumPy, or the one named behind a colon; archives are read, not mapped."""
    path, wanted = text, ""
    if not os.path.exists(text):
        path, _, wanted = text.partition(".npz:")
        path += ".npz" if wanted else ""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
            names = archive.files
            if wanted not in names and (wanted or len(names) != 1):
                raise ValueError(
                    f"it holds {names}; name the one matrix that is meant, as {path}:{(names or ['arr_0'])[0]}"
                )
            array: npt.NDArray[Any] = archive[wanted or names[0]]
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"{name}: {path} is no archive that can be read: {error}") from None
    return array
