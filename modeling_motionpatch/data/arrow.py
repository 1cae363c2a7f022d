"""Rows with motions (T, J, 3) -> Arrow tables whose motions read as one block, whatever the number of frames.

Motions are nested lists in Arrow's memory. Where all rows have the same J, the column's type is `Array3D((None, J, 3),
"float32")` (`Array4D((None, P, J, 3), ...)` with P persons), over the same bytes; only folders that mix skeletons keep
plain nested lists, since an `Array3D` lets nothing but its first axis vary. T frames, J joints, P persons.
"""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .report import MotionDataError, SkipReport


BATCH_BYTES = 32 * 2**20  # rows are collected up to this size before they are written
BATCH_ROWS = 512  # and to this number, so that reading one row touches little else
BASE_COLUMNS = ("id", "motion", "captions", "fps", "skeleton")


def motion_to_arrow(motions: list[np.ndarray]):
    """Motions of shape `(T, ..., 3)` -> a `pyarrow.ListArray` of nested float32 lists, without a loop over frames."""
    import pyarrow as pa

    flat = np.concatenate([np.asarray(motion, dtype=np.float32).reshape(-1) for motion in motions])
    array = pa.array(flat)
    for axis in range(motions[0].ndim - 1, -1, -1):
        lengths = np.concatenate(
            [np.full(int(np.prod(motion.shape[:axis])), motion.shape[axis], dtype=np.int64) for motion in motions]
        )
        offsets = np.concatenate([[0], np.cumsum(lengths)])
        array = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), array)
    return array


def motion_from_arrow(array) -> list[np.ndarray]:
    """The inverse of [`motion_to_arrow`], also for `Array3D` columns: a list of float32 arrays over Arrow's memory.

    Much faster than the formatted access of the datasets library where skeletons are mixed.
    """
    import pyarrow as pa

    motions = []
    for chunk in array.chunks if isinstance(array, pa.ChunkedArray) else [array]:
        if isinstance(chunk, pa.ExtensionArray):
            chunk = chunk.storage
        for index in range(len(chunk)):
            inner, shape = chunk[index : index + 1], []
            while pa.types.is_list(inner.type) or pa.types.is_fixed_size_list(inner.type):
                flattened = inner.flatten()
                shape.append(len(flattened) // max(len(inner), 1))
                inner = flattened
            motions.append(inner.to_numpy(zero_copy_only=False).reshape(shape))
    return motions


class Spool:
    """Rows of several splits -> one file of record batches a split, before the final column types are known.

    Extra columns are kept as JSON until every row has been seen; then [`Spool.features`] decides their types.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.num_rows: dict[str, int] = defaultdict(int)
        self.num_bytes: dict[str, int] = defaultdict(int)
        self.shapes: set[tuple[int, ...]] = set()  # all but the first axis
        self._extras: dict[str, set[type]] = defaultdict(set)
        self._extra_counts: dict[str, int] = defaultdict(int)
        self._pending: dict[str, list[dict]] = defaultdict(list)
        self._pending_bytes: dict[str, int] = defaultdict(int)
        self._writers: dict = {}

    def add(self, split: str, row: dict) -> None:
        """Takes one row; writes when enough have come together."""
        motion = row["motion"]
        if self.shapes and len(next(iter(self.shapes))) != motion.ndim - 1:
            raise MotionDataError(f"Row {row['id']!r} has {motion.ndim} axes, other rows another number of persons.")
        self.shapes.add(motion.shape[1:])
        for key, value in row.items():
            if key not in BASE_COLUMNS:
                self._extras[key].add(type(value))
                self._extra_counts[key] += 1
        self.num_rows[split] += 1
        self.num_bytes[split] += motion.size * 4
        self._pending[split].append(row)
        self._pending_bytes[split] += motion.size * 4
        if self._pending_bytes[split] >= BATCH_BYTES or len(self._pending[split]) >= BATCH_ROWS:
            self._flush(split)

    def close(self) -> None:
        """Writes what is pending and closes the files."""
        for split in self._pending:
            self._flush(split)
        for writer, file in self._writers.values():
            writer.close()
            file.close()
        self._writers.clear()

    def _flush(self, split: str) -> None:
        import pyarrow as pa

        rows = self._pending[split]
        if not rows:
            return
        extras = [{key: value for key, value in row.items() if key not in BASE_COLUMNS} for row in rows]
        batch = pa.record_batch(
            [
                pa.array([str(row["id"]) for row in rows], pa.string()),
                motion_to_arrow([row["motion"] for row in rows]),
                pa.array([list(row["captions"]) for row in rows], pa.list_(pa.string())),
                pa.array([float(row["fps"]) for row in rows], pa.float64()),
                pa.array([row["skeleton"] for row in rows], pa.string()),
                pa.array([json.dumps(extra) for extra in extras], pa.string()),
            ],
            names=[*BASE_COLUMNS, "extras"],
        )
        if split not in self._writers:
            file = pa.OSFile(str(self.folder / f"{split}.spool"), "wb")
            self._writers[split] = (pa.ipc.new_stream(file, batch.schema), file)
        self._writers[split][0].write_batch(batch)
        self._pending[split], self._pending_bytes[split] = [], 0

    def features(self, report: SkipReport):
        """The `datasets.Features` of the rows seen; extra columns that some rows lack are left out and noted."""
        from datasets import Array3D, Array4D, Features, List, Value

        if len(self.shapes) == 1:
            shape = next(iter(self.shapes))
            motion = (Array3D if len(shape) == 2 else Array4D)((None, *shape), "float32")
        else:
            motion = Value("float32")
            for _ in range(len(next(iter(self.shapes))) + 1):
                motion = List(motion)
        columns = {
            "id": Value("string"),
            "motion": motion,
            "captions": List(Value("string")),
            "fps": Value("float64"),
            "skeleton": Value("string"),
        }
        total = sum(self.num_rows.values())
        for name, types in self._extras.items():
            present = types - {type(None)}
            missing = total - self._extra_counts[name]
            if missing and name != "label":
                report.note(f"Column {name!r} is absent in {missing} of {total} rows and was left out.")
            elif present == {bool}:
                columns[name] = Value("bool")
            elif present == {int}:
                columns[name] = Value("int64")
            elif present and present <= {int, float}:
                columns[name] = Value("float64")
            elif present == {list}:
                columns[name] = List(Value("string"))
            elif list not in present:
                columns[name] = Value("string")  # also where numbers and text are mixed
            else:
                report.note(f"Column {name!r} holds lists and single values and was left out.")
        return Features(columns)

    def tables(self, split: str, features, bounds: list[tuple[int, int]]) -> Iterator:
        """The rows of a split as tables with the final types, one for each `(first, last)` of `bounds`."""
        import pyarrow as pa

        with pa.memory_map(str(self.folder / f"{split}.spool")) as file:
            spooled = pa.ipc.open_stream(file).read_all()
            for first, last in bounds:
                yield _typed(spooled.slice(first, last - first), features)
            del spooled


def _typed(table, features):
    """A spooled table -> the same rows with the types of `features`; motions are not copied."""
    import pyarrow as pa

    schema = features.arrow_schema
    batches = []
    for batch in table.to_batches():
        columns = []
        extras = None
        for name in features:
            target = schema.field(name).type
            if name in BASE_COLUMNS:
                column = batch.column(name)
                if isinstance(target, pa.ExtensionType):
                    column = pa.ExtensionArray.from_storage(target, column.cast(target.storage_type))
                elif column.type != target:
                    column = column.cast(target)
            else:
                extras = extras or [json.loads(text) for text in batch.column("extras").to_pylist()]
                values = [extra.get(name) for extra in extras]
                if pa.types.is_string(target):
                    values = [value if value is None else str(value) for value in values]
                column = pa.array(values, target)
            columns.append(column)
        batches.append(pa.record_batch(columns, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)
