"""Windows with embeddings (n, P) <-> Arrow or Parquet files that `datasets` and others read, and a small JSON.

A folder of format `"arrow"` is what `Dataset.save_to_disk` writes: `datasets.load_from_disk(folder)` opens it, and the
gallery maps it into memory. `"parquet"` has `data/train-*.parquet`: smaller, for the Hub, Spark, Ray or a vector
database. Both have one row a window with the columns of [`COLUMNS`].
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np


MANIFEST = "gallery.json"
FORMAT, VERSION = "motionpatch-gallery", 1
COLUMNS = ("id", "start", "end", "captions", "source", "embedding")
FILE_FORMATS = ("arrow", "parquet")
DTYPES = ("float32", "float16")
FILE_BYTES = 500 * 2**20  # of embeddings a file, so that readers can share the files among them
BATCH_ROWS = 16_384  # rows a record batch; mapped from disk, each is one block of the search


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _are_pairs(value) -> bool:
    return isinstance(value, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in value
    )


_MANIFEST_RULES = {
    "files": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "dim": lambda value: type(value) is int and value > 0,
    "dtype": lambda value: value in DTYPES,
    "num_windows": lambda value: type(value) is int and value >= 0,
    "window_seconds": lambda value: value is None or _is_number(value),
    "stride_seconds": lambda value: value is None or _is_number(value),
    "index": lambda value: value is None or (isinstance(value, dict) and _is_number(value.get("recall"))),
    "model": lambda value: (
        value is None
        or (
            isinstance(value, dict)
            and isinstance(value.get("name"), str)
            and isinstance(value.get("config"), dict)
            and isinstance(value.get("weights"), dict)
            and {"dim", "dtype"} <= value.keys()
        )
    ),
    "skipped": _are_pairs,
    "notes": _are_pairs,
}


class GalleryError(ValueError):
    """A folder that holds no gallery, or a broken one, or a gallery that does not fit what is asked of it."""


class ArrowColumn(Sequence):
    """A column in Arrow's memory as a sequence of Python values, each made when it is asked for."""

    def __init__(self, column):
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, index: int):
        return self.column[int(index)].as_py()

    def take(self, rows: np.ndarray) -> list:
        return self.column.take(rows).to_pylist()


@dataclass
class Windows:
    """Rows of a gallery; sequences of length n.

    Args:
        ids (`Sequence[str | int]`): Of the motions; several windows of a take have the same.
        starts, ends (`np.ndarray` of shape `(n,)`): Seconds, float64; NaN where there are none.
        captions (`Sequence[list[str]]`): Of the motions.
        sources (`Sequence[str | None]`): Files.
        embeddings (`np.ndarray` of shape `(n, P)`): Unit length, float16 or float32.
    """

    ids: Sequence
    starts: np.ndarray
    ends: np.ndarray
    captions: Sequence
    sources: Sequence
    embeddings: np.ndarray

    def __len__(self) -> int:
        return len(self.embeddings)

    def take(self, rows: np.ndarray) -> "Windows":
        """Some rows, copied into memory."""

        def some(column):
            return column.take(rows) if isinstance(column, ArrowColumn) else [column[row] for row in rows]

        return Windows(
            some(self.ids),
            self.starts[rows],
            self.ends[rows],
            some(self.captions),
            some(self.sources),
            self.embeddings[rows],
        )

    def astype(self, dtype: str) -> "Windows":
        """The same rows with embeddings of another dtype."""
        embeddings = self.embeddings if self.embeddings.dtype == dtype else self.embeddings.astype(dtype)
        return Windows(self.ids, self.starts, self.ends, self.captions, self.sources, embeddings)


# --------------------------------------------------------------------------------------------------------------------
# Windows <-> tables


def features(dim: int, dtype: str, id_type: str = "string"):
    """The `datasets.Features` of a gallery."""
    from datasets import Features, List, Value

    return Features(
        {
            "id": Value(id_type),
            "start": Value("float64"),
            "end": Value("float64"),
            "captions": List(Value("string")),
            "source": Value("string"),
            "embedding": List(Value(dtype), length=dim),
        }
    )


def to_table(windows: Windows, schema):
    """Windows -> a `pyarrow.Table`; embeddings are not copied."""
    import pyarrow as pa

    def column(values, name):
        kind = schema.field(name).type
        if isinstance(values, ArrowColumn):
            return values.column.cast(kind)
        if pa.types.is_string(kind):
            values = [None if value is None else str(value) for value in values]
        return pa.array(values, kind)

    dim = windows.embeddings.shape[1]
    flat = pa.array(np.ascontiguousarray(windows.embeddings).reshape(-1))
    times = [pa.array(values, pa.float64(), mask=np.isnan(values)) for values in (windows.starts, windows.ends)]
    return pa.table(
        [
            column(windows.ids, "id"),
            *times,
            column(windows.captions, "captions"),
            column(windows.sources, "source"),
            pa.FixedSizeListArray.from_arrays(flat, dim).cast(schema.field("embedding").type),
        ],
        schema=schema,
    )


def from_table(table, dim: int) -> list[Windows]:
    """A `pyarrow.Table` -> one `Windows` for each of its record batches, over the same memory."""
    import pyarrow as pa

    parts = []
    for batch in table.to_batches():
        if not len(batch):
            continue
        embeddings = batch.column("embedding")
        if not pa.types.is_fixed_size_list(embeddings.type) or embeddings.type.list_size != dim:
            raise GalleryError(f"the column `embedding` is {embeddings.type}, not a list of {dim} numbers")
        values = embeddings.flatten().to_numpy(zero_copy_only=True).reshape(-1, dim)
        starts, ends = (
            batch.column(name).to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
            for name in ("start", "end")
        )
        columns = [ArrowColumn(batch.column(name)) for name in ("id", "captions", "source")]
        parts.append(Windows(columns[0], starts, ends, columns[1], columns[2], values))
    return parts


# --------------------------------------------------------------------------------------------------------------------
# Folders


def write_folder(folder: Path, parts: Sequence[Windows], dim: int, dtype: str, file_format: str) -> list[str]:
    """Writes the rows of a gallery into an existing, empty folder and returns the names of the files."""
    import datasets
    import pyarrow as pa
    import pyarrow.parquet as pq

    integers = bool(parts) and all(_integer_ids(part) for part in parts)
    schema_features = features(dim, dtype, "int64" if integers else "string")
    schema = schema_features.arrow_schema
    groups = _files(parts, dim, dtype)
    names = []
    for number, group in enumerate(groups):
        suffix = f"{number:05d}-of-{len(groups):05d}"
        name = f"data-{suffix}.arrow" if file_format == "arrow" else f"data/train-{suffix}.parquet"
        (folder / name).parent.mkdir(exist_ok=True)
        tables = (to_table(windows.astype(dtype), schema) for windows in group)
        if file_format == "arrow":
            with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
                for table in tables:
                    writer.write_table(table, max_chunksize=BATCH_ROWS)
        else:
            with pq.ParquetWriter(folder / name, schema) as writer:
                for table in tables:
                    writer.write_table(table, row_group_size=BATCH_ROWS)
        names.append(name)
    if file_format == "arrow":  # what `datasets.load_from_disk` asks for
        datasets.DatasetInfo(features=schema_features).write_to_directory(str(folder))
        state = {
            "_data_files": [{"filename": name} for name in names],
            "_fingerprint": os.urandom(8).hex(),
            "_format_columns": None,
            "_format_kwargs": {},
            "_format_type": None,
            "_output_all_columns": False,
            "_split": None,
        }
        write_json(folder / "state.json", state)
    return names


def read_folder(folder: Path, manifest: dict) -> list[Windows]:
    """The rows of a gallery: mapped into memory from `"arrow"`, read into memory from `"parquet"`.

    Raises:
        GalleryError: A file is missing, broken, or holds other rows than the manifest says.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    parts = []
    for name in manifest["files"]:
        path = folder / name
        try:
            if path.suffix == ".arrow":
                with pa.memory_map(str(path)) as file:
                    table = pa.ipc.open_stream(file).read_all()
            else:
                table = pq.read_table(path, memory_map=True)
            parts += from_table(table, manifest["dim"])
        except (OSError, KeyError, pa.ArrowException, GalleryError) as error:
            raise GalleryError(f"{path}: this file of the gallery cannot be read ({error}).") from error
    rows = sum(len(part) for part in parts)
    if rows != manifest["num_windows"]:
        raise GalleryError(f"{folder}: {MANIFEST} says {manifest['num_windows']} windows, but its files hold {rows}.")
    return parts


def read_manifest(folder: Path) -> dict:
    """`gallery.json`.

    Raises:
        GalleryError: There is none, it is no JSON, or of a newer version.
    """
    path = folder / MANIFEST
    if not folder.exists() and _old(folder).exists():
        _old(folder).rename(folder)  # a process was killed between the two renames of `replace_folder`
    if not path.is_file():
        raise GalleryError(f"{folder} holds no gallery: there is no {MANIFEST}. `MotionGallery.save` writes one.")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GalleryError(f"{path}: cannot be read ({error}).") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise GalleryError(f"{path}: is not the {MANIFEST} of a gallery.")
    if type(manifest.get("version")) is not int or not 1 <= manifest["version"] <= VERSION:
        raise GalleryError(f"{path}: has version {manifest.get('version')!r}; this package reads 1 to {VERSION}.")
    missing = [name for name in ("files", "dim", "dtype", "num_windows") if name not in manifest]
    if missing:
        raise GalleryError(f"{path}: lacks {', '.join(missing)}.")
    for name, fits in _MANIFEST_RULES.items():
        if name in manifest and not fits(manifest[name]):
            raise GalleryError(f"{path}: `{name}` is {str(manifest[name])[:60]!r}, which no gallery has.")
    outside = [name for name in manifest["files"] if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise GalleryError(f"{path}: names files outside its folder: {outside[:3]}.")
    return manifest


@contextmanager
def fresh_folder(target: Path) -> Iterator[Path]:
    """A temporary folder beside `target`, which takes its place when the block ends well, and is deleted otherwise.

    The old folder stays whole until then. A kill between the two renames leaves it as `.NAME.old`, from where
    [`read_manifest`] puts it back.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    old = _old(target)
    try:
        temporary.chmod(0o755)  # mkdtemp lets nobody else in
        yield temporary
        if target.exists():
            shutil.rmtree(old, ignore_errors=True)
            target.rename(old)
        try:
            temporary.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(folder: Path) -> None:
    """Refuses to replace anything that is no gallery."""
    if folder.is_file():
        raise GalleryError(f"{folder} is a file; give a folder to save the gallery to.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MANIFEST).is_file():
        raise GalleryError(
            f"{folder} is not empty and holds no gallery, so it is not replaced; choose another folder."
        )


def write_json(path: Path, values) -> None:
    """Writes JSON so that a half-written file never has the name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _integer_ids(part: Windows) -> bool:
    if isinstance(part.ids, ArrowColumn):
        import pyarrow as pa

        return pa.types.is_integer(part.ids.column.type)
    return all(isinstance(value, (int, np.integer)) for value in part.ids)


def _files(parts: Sequence[Windows], dim: int, dtype: str) -> list[list[Windows]]:
    """Parts, cut where needed -> one list of parts a file."""
    rows_a_file = max(BATCH_ROWS, FILE_BYTES // (dim * np.dtype(dtype).itemsize))
    groups, room = [[]], rows_a_file
    for part in parts:
        first = 0
        while first < len(part):
            if not room:
                groups.append([])
                room = rows_a_file
            last = min(len(part), first + room)
            groups[-1].append(part if last - first == len(part) else part.take(np.arange(first, last)))
            room -= last - first
            first = last
    return groups


# --------------------------------------------------------------------------------------------------------------------
# Shards of a build that can be resumed


def write_shard(path: Path, parts: Sequence[Windows], dim: int, dtype: str, skipped: list, notes: list) -> None:
    """One shard, with what was left out of it and noted, under its name only when it is complete."""
    import pyarrow as pa

    schema = features(dim, dtype).arrow_schema
    lists = {b"skipped": json.dumps(skipped).encode(), b"notes": json.dumps(notes).encode()}
    schema = schema.with_metadata({**(schema.metadata or {}), **lists})
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with pa.OSFile(str(temporary), "wb") as file, pa.ipc.new_stream(file, schema) as writer:
        for part in parts:
            writer.write_table(to_table(part.astype(dtype), schema))
    os.replace(temporary, path)


def read_shard(path: Path, dim: int) -> tuple[list[Windows], list, list]:
    """The windows of a shard, mapped into memory, what was left out of it and what was noted."""
    import pyarrow as pa

    with pa.memory_map(str(path)) as file:
        table = pa.ipc.open_stream(file).read_all()
    lists = (json.loads(table.schema.metadata.get(name, b"[]")) for name in (b"skipped", b"notes"))
    return from_table(table, dim), *lists
