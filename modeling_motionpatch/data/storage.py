"""`MotionSource` -> a folder of Arrow or Parquet shards, written once, memory-mapped or streamed afterwards.

A converted folder holds `data/SPLIT-00000-of-00002.arrow` (or `.parquet`), `skip_report.json` and
`motionpatch_dataset.json`. The Parquet form also opens with `datasets.load_dataset(folder)` and needs nothing else.
"""

import hashlib
import json
import logging
import math
import os
import re
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .arrow import Spool, motion_from_arrow
from .report import MotionDataError, SkipReport
from .sources import SPLIT_FILES, MotionSource


logger = logging.getLogger(__name__)

MANIFEST, SKIP_REPORT, DATA_DIR = "motionpatch_dataset.json", "skip_report.json", "data"
FORMAT_VERSION = 1  # raise it when rows come out differently: older conversions in the cache are then not used
MAX_SHARD_BYTES = 500 * 10**6  # as the datasets library cuts its shards
ROW_GROUP_ROWS = 100  # Parquet: what a streaming reader holds at once
FILE_FORMATS = ("arrow", "parquet")


def fingerprint(source: MotionSource) -> str:
    """A name for one conversion: it changes with the folder, the options, and any file's name, size or time."""
    content = [FORMAT_VERSION, source.name, str(source.folder.resolve()), source.options, source.stamps]
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()[:24]


def convert(
    source: MotionSource,
    output_dir: Path,
    *,
    file_format: str = "arrow",
    num_shards: int | None = None,
    progress: bool = True,
) -> None:
    """Writes the rows of a source as shards; the folder appears when it is complete, or not at all.

    Args:
        source (`MotionSource`): What to convert.
        output_dir (`Path`): A folder that does not exist yet.
        file_format (`str`, *optional*, defaults to `"arrow"`): `"arrow"` or `"parquet"`.
        num_shards (`int`, *optional*): Shards per split; as many as 500 MB each need when not given.
        progress (`bool`, *optional*, defaults to `True`): Whether a progress bar is shown.

    Raises:
        MotionDataError: No row came out; the message says what was left out and why.
    """
    from tqdm import tqdm

    if file_format not in FILE_FORMATS:
        raise MotionDataError(f"file_format={file_format!r}; give one of {', '.join(map(repr, FILE_FORMATS))}.")
    if num_shards is not None and num_shards < 1:
        raise MotionDataError(f"num_shards={num_shards!r}; give a positive number of shards per split, or None.")
    report = SkipReport(source.name)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    work = output_dir.with_name(f".{output_dir.name}.{uuid.uuid4().hex[:8]}.partial")
    (work / DATA_DIR).mkdir(parents=True)
    spool = Spool(work)
    try:
        description = f"Converting {source.name}"
        with tqdm(total=source.total, desc=description, unit="clip", disable=None if progress else True) as bar:
            for split, row in source.rows(report):
                spool.add(split, row)
                bar.update()
        spool.close()
        if not spool.num_rows:
            raise MotionDataError(f"No usable row in {source.folder}. {report.summary()}")
        features = spool.features(report)
        splits = {}
        for split in sorted(spool.num_rows, key=_split_order):
            splits[split] = {
                "num_rows": spool.num_rows[split],
                "files": _write_split(spool, split, features, work / DATA_DIR, file_format, num_shards),
            }
            (work / f"{split}.spool").unlink()
        report.save(work / SKIP_REPORT)
        manifest = {
            "format_version": FORMAT_VERSION,
            "name": source.name,
            "options": source.options,
            "file_format": file_format,
            "splits": splits,
        }
        (work / MANIFEST).write_text(json.dumps(manifest, indent=1, default=str) + "\n", encoding="utf-8")
        os.replace(work, output_dir)
    finally:
        spool.close()
        shutil.rmtree(work, ignore_errors=True)


def _split_order(split: str) -> tuple[int, str]:
    """train, validation, test, then others by name."""
    usual = list(SPLIT_FILES)
    return (usual.index(split) if split in usual else len(usual), split)


def _write_split(
    spool: Spool, split: str, features, folder: Path, file_format: str, num_shards: int | None
) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    num_rows = spool.num_rows[split]
    shards = num_shards or math.ceil(spool.num_bytes[split] / MAX_SHARD_BYTES)
    shards = max(1, min(shards, num_rows))
    bounds = [(index * num_rows // shards, (index + 1) * num_rows // shards) for index in range(shards)]
    files = []
    for index, table in enumerate(spool.tables(split, features, bounds)):
        name = f"{split}-{index:05d}-of-{shards:05d}.{file_format}"
        if file_format == "parquet":
            pq.write_table(table, folder / name, row_group_size=ROW_GROUP_ROWS)
        else:
            with pa.OSFile(str(folder / name), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
        files.append(name)
    return files


def is_converted(folder: Path) -> bool:
    """Whether a folder was written by [`convert`]."""
    return (folder / MANIFEST).is_file()


def load_converted(
    folder: Path,
    *,
    splits: list[str] | None = None,
    streaming: bool = False,
    cache_dir: str | Path | None = None,
):
    """A converted folder -> `datasets.DatasetDict` over memory-mapped files, or an `IterableDatasetDict`.

    Args:
        folder (`Path`): What [`convert`] wrote.
        splits (`list[str]`, *optional*): Only these splits.
        streaming (`bool`, *optional*, defaults to `False`): Read the shards as they are needed, one after the other.
        cache_dir (`str` or `Path`, *optional*): Where the datasets library turns Parquet into Arrow.

    Returns:
        `datasets.DatasetDict` or `datasets.IterableDatasetDict`: with the attribute `skip_report`. `motion` comes as
        a float32 numpy array, everything else as Python objects.
    """
    import datasets

    manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    if manifest.get("format_version") != FORMAT_VERSION:
        raise MotionDataError(
            f"{folder} was converted with format {manifest.get('format_version')}, this version reads "
            f"{FORMAT_VERSION}; convert it again."
        )
    files = {}
    for split, entry in manifest["splits"].items():
        names = [str(name) for name in entry["files"]]
        if not all(re.fullmatch(r"[\w.-]+", name) for name in names):
            raise MotionDataError(f"{folder / MANIFEST} names files outside {DATA_DIR}/; convert the data again.")
        files[split] = [folder / DATA_DIR / name for name in names]
        absent = [path.name for path in files[split] if not path.is_file()]
        if absent:
            raise MotionDataError(f"{folder} lacks {', '.join(absent)}; convert the data again.")
    if splits is not None:
        unknown = [split for split in splits if split not in files]
        if unknown:
            raise MotionDataError(f"splits={splits!r}: {folder} holds {', '.join(files)}.")
        files = {split: files[split] for split in files if split in splits}

    if streaming:
        result = datasets.IterableDatasetDict({split: _stream(paths) for split, paths in files.items()})
    elif manifest["file_format"] == "parquet":
        paths = {split: [str(path) for path in shards] for split, shards in files.items()}
        options = {"cache_dir": str(cache_dir)} if cache_dir else {}
        result = datasets.load_dataset("parquet", data_files=paths, **options)
    else:
        result = datasets.DatasetDict(
            {
                split: datasets.concatenate_datasets(
                    [datasets.Dataset.from_file(str(path), split=split) for path in shards]
                )
                for split, shards in files.items()
            }
        )
    if not streaming:
        result = format_motions(result)
    result.skip_report = SkipReport.load(folder / SKIP_REPORT)
    return result


def format_motions(dataset):
    """The same `DatasetDict`, where `motion` reads as a numpy array and everything else as Python objects."""
    from datasets import List

    if any(isinstance(split.features["motion"], List) for split in dataset.values()):
        # Mixed skeletons: the numpy format stacks nested lists one innermost list at a time, a hundred times slower.
        return dataset.with_transform(_lists_to_arrays)
    return dataset.with_format("numpy", columns=["motion"], output_all_columns=True)


def _lists_to_arrays(batch: dict) -> dict:
    if "motion" not in batch:
        return batch
    return {**batch, "motion": [np.asarray(motion, dtype=np.float32) for motion in batch["motion"]]}


def _stream(paths: list[Path]):
    import datasets

    # The shards as a list among the arguments is what lets several processes and workers take some each.
    return datasets.IterableDataset.from_generator(_read_shards, gen_kwargs={"shards": [str(path) for path in paths]})


def _read_shards(shards: list[str]) -> Iterator[dict]:
    """The rows of some shards, in order, `motion` as a float32 array; a batch is in memory at a time."""
    import datasets  # noqa: F401  (registers the Array3D types with Arrow)
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in shards:
        if path.endswith(".parquet"):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=ROW_GROUP_ROWS):
                    yield from _rows(batch)
        else:
            with pa.memory_map(path) as file:
                for batch in pa.ipc.open_stream(file):
                    yield from _rows(batch)


def _rows(batch) -> Iterator[dict]:
    motions = motion_from_arrow(batch.column("motion"))
    for motion, row in zip(motions, batch.drop_columns(["motion"]).to_pylist()):
        yield {"id": row.pop("id"), "motion": motion.copy(), **row}


def iter_motions(dataset, batch_size: int = 64) -> Iterator:
    """The motions of a `datasets.Dataset` in order, as float32 arrays, at the speed of the disk.

    The datasets library needs about a millisecond to format a single row and far more where skeletons are mixed; this
    reads Arrow's memory. The arrays may be read-only.
    """
    for batch in dataset.with_format("arrow").select_columns(["motion"]).iter(batch_size=batch_size):
        yield from motion_from_arrow(batch.column("motion"))
