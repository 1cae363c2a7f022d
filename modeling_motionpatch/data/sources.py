"""A data set's folder -> `MotionSource`: its options, the stamps of its files, and its rows one after the other.

A row is a dict with `id`, `motion` (float32, `(T, J, 3)` or `(T, P, J, 3)`, metres, Y up), `captions` (list of str),
`fps`, `skeleton` (what `get_skeleton` reads) and any extra columns. T frames, J joints, P persons.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..geometry_motionpatch import MIN_FRAMES
from .report import MotionDataError, SkipReport


# File names and metadata say `val`, the datasets library says `validation`.
SPLIT_NAMES = {"val": "validation", "valid": "validation", "dev": "validation", "eval": "validation"}
SPLIT_FILES = {"train": "train.txt", "validation": "val.txt", "test": "test.txt"}

FileStamp = tuple[str, int, int]  # name inside the folder, size [bytes], time of last change [ns]


@dataclass(frozen=True)
class MotionSource:
    """Everything that is needed to convert one data set, before anything large has been read.

    Args:
        name (`str`): Name of the data set.
        folder (`Path`): Where it lies.
        options (`dict`): What else decides the rows; JSON-serialisable.
        stamps (`tuple[FileStamp, ...]`): Names, sizes and times of the files the rows are read from. A conversion in
            the cache is used again only while they and `options` are the same.
        rows (`Callable`): `rows(report)` yields `(split, row)` and adds what it leaves out to the report.
        total (`int`, *optional*): How many items `rows` looks at, for the progress bar.
    """

    name: str
    folder: Path
    options: dict
    stamps: tuple[FileStamp, ...]
    rows: Callable[[SkipReport], Iterator[tuple[str, dict]]]
    total: int | None = None


def resolve_folder(name: str, data_dir: str | Path | None, needed: str) -> Path:
    """The folder of a data set.

    Raises:
        MotionDataError: No folder was given or it does not exist; the message says what it should hold.
    """
    if data_dir is None:
        raise MotionDataError(f"Data set {name!r} is read from a folder: pass data_dir=..., which holds {needed}.")
    folder = Path(data_dir).expanduser()
    if not folder.is_dir():
        raise MotionDataError(f"data_dir={str(data_dir)!r} is no folder; {name!r} needs one that holds {needed}.")
    return folder


def split_name(split: str) -> str:
    """`val`, `valid`, `dev` -> `validation`; any other name as it is."""
    return SPLIT_NAMES.get(split.strip().lower(), split.strip())


def choose_splits(name: str, available: Iterable[str], splits: str | Sequence[str] | None) -> list[str]:
    """The splits that were asked for, or all of them.

    Raises:
        MotionDataError: One of them is not there.
    """
    available = list(available)
    if splits is None:
        return available
    wanted = [split_name(split) for split in ([splits] if isinstance(splits, str) else splits)]
    unknown = [split for split in wanted if split not in available]
    if unknown or not wanted:
        raise MotionDataError(f"splits={splits!r} was asked of {name!r}, which has {', '.join(available) or 'none'}.")
    return [split for split in available if split in wanted]


def check_max_items(max_items: int | None) -> int | None:
    """`max_items` itself, or an error when it is no positive number."""
    if max_items is not None and (not isinstance(max_items, int) or isinstance(max_items, bool) or max_items < 1):
        raise MotionDataError(f"max_items={max_items!r}; give a positive number of rows per split, or None for all.")
    return max_items


def folder_stamps(folder: Path, *parts: str, suffixes: tuple[str, ...]) -> list[FileStamp]:
    """The stamps of the files of one suffix directly in `folder/parts`, sorted by name; empty when it is absent."""
    inside = folder.joinpath(*parts)
    if not inside.is_dir():
        return []
    prefix = "".join(f"{part}/" for part in parts)
    stamps = []
    with os.scandir(inside) as entries:  # one system call a file; `Path.stat` costs three times as much
        for entry in entries:
            if entry.name.endswith(suffixes) and entry.is_file():
                status = entry.stat()
                stamps.append((prefix + entry.name, status.st_size, status.st_mtime_ns))
    return sorted(stamps)


def file_stamps(folder: Path, paths: Iterable[Path]) -> list[FileStamp]:
    """The stamps of single files; a file that is absent has size -1."""
    stamps = []
    for path in paths:
        name = os.path.relpath(path, folder)
        try:
            status = os.stat(path)
            stamps.append((name, status.st_size, status.st_mtime_ns))
        except OSError:
            stamps.append((name, -1, -1))
    return stamps


def read_text(path: Path) -> str:
    """A text file as UTF-8, or as Windows' or ISO's Latin-1 where it is not UTF-8 (some copies of KIT-ML)."""
    content = path.read_bytes()
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    return content.decode("latin-1")


def read_lines(path: Path) -> list[str]:
    """The lines of a text file.

    They end at line feeds and carriage returns alone: `str.splitlines` would also cut a caption at an ellipsis of
    Latin-1 (0x85) or a Unicode separator.
    """
    return read_text(path).replace("\r\n", "\n").replace("\r", "\n").split("\n")


def read_ids(path: Path) -> list[str]:
    """One id a line, without blank lines."""
    return [line.strip() for line in read_lines(path) if line.strip()]


def distinct_ids(ids: list[str], split: str, report: SkipReport) -> Iterator[str]:
    """The ids of a split's list in order, each once; repetitions are reported."""
    seen = set()
    for item in ids:
        if item in seen:
            report.add(split, item, "listed twice")
            continue
        seen.add(item)
        yield item


def is_plain_name(name: str) -> bool:
    """Whether an id from a list can be used as a file name without leaving the folder."""
    return bool(name) and name not in (".", "..") and not any(character in name for character in "/\\\0:")


def load_array(path: Path) -> np.ndarray:
    """The array of a `.npy` file; pickled objects are refused.

    Raises:
        ValueError: The file is no `.npy` file, is cut off, or holds objects.
    """
    try:
        with path.open("rb") as file:
            array = np.load(file, allow_pickle=False)
    except (EOFError, OSError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    if not isinstance(array, np.ndarray):
        raise ValueError("not a .npy file")
    if array.dtype.kind not in "fiu":
        raise ValueError(f"holds {array.dtype}, not numbers")
    return array


def joints_problem(joints: np.ndarray, tail: tuple[int, ...]) -> tuple[str, str] | None:
    """What keeps an array of shape `(T, *tail)` from being a motion, as (kind, detail); None when it is one."""
    if joints.ndim != len(tail) + 1 or joints.shape[1:] != tail:
        expected = ", ".join(map(str, tail))
        return "wrong shape", f"shape {joints.shape}, expected (T, {expected})"
    if len(joints) < MIN_FRAMES:
        return "too short", f"{len(joints)} frames; at least {MIN_FRAMES} are needed"
    finite = np.isfinite(joints).reshape(len(joints), -1).all(axis=1)
    if not finite.all():
        return "NaN or infinite joints", f"in {int((~finite).sum())} of {len(joints)} frames"
    return None
