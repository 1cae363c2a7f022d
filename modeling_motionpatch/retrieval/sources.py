"""Lists of motions, `datasets.Dataset`s and folders of motion files -> takes that are read one at a time.

A take knows its id, captions and source before it is read, so that the work can be planned, shared among processes and
resumed.
"""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from pathlib import Path

import numpy as np

from ..skeletons_motionpatch import Skeleton


@dataclass
class Take:
    """One motion of any length, not yet read.

    Args:
        id (`str` or `int`): Unique in a gallery.
        read (`Callable`): Returns `(joints (T, J, 3) [m], skeleton, fps)`; the last two `None` where unknown.
        captions (`list[str]`): May be empty.
        source (`str`, *optional*): The file it comes from; relative to the folder where a folder was given.
        where (`str`): What messages and `.skipped` call it.
        stamp (`Callable`): Returns a text that changes when the motion does, so that a build is not resumed with
            other motions.
        optional (`bool`): Whether it may be left out when it cannot be read (files and rows of data sets), or has to
            raise (arrays, which the caller made).
        numbered (`bool`): Whether the id is only its place in a list.
        note (`str`): After reading: what was left out of the motion, a T pose in front.
    """

    id: str | int
    read: Callable[[], tuple[np.ndarray, "str | Skeleton | None", float | None]]
    captions: list[str] = field(default_factory=list)
    source: str | None = None
    where: str = ""
    stamp: Callable[[], str] = str
    optional: bool = True
    numbered: bool = False
    note: str = ""


def takes_of(motions, ids=None, captions=None, keep_t_pose: bool = False) -> list[Take]:
    """Whatever holds motions -> its takes.

    Args:
        motions: A folder or a motion file (`str` or `os.PathLike`); a `datasets.Dataset` with a column `motion` and,
            optionally, `id`, `captions` (or `caption`, `text`), `fps`, `skeleton`, `file_name`; or a list of arrays
            `(T, J, 3)`, objects with `joints`, `fps` and `skeleton`, dicts of these, and paths.
        ids (`Sequence`, *optional*): One a motion; default: file names, the column `id`, or 0, 1, 2, ... as text.
        captions (`Sequence`, *optional*): A text, a list of texts or `None` for each motion; default: what
            `metadata.jsonl` or the data set says.
        keep_t_pose (`bool`, *optional*, defaults to `False`): Whether a T pose that stands before the take in a file
            belongs to the motion.

    Returns:
        `list[Take]`.

    Raises:
        ValueError: Nothing to index, a count that does not agree, or an id that is used twice.
    """
    if isinstance(motions, (str, os.PathLike)):
        takes = _takes_of_path(Path(motions), keep_t_pose)
    elif isinstance(motions, dict):
        if not {"joints", "motion"} & set(motions):
            raise ValueError(
                f"`motions` is a dict of {', '.join(map(str, motions))}; choose a split: motions['train']."
            )
        takes = _takes_of_list([motions])
    elif hasattr(motions, "column_names") and hasattr(motions, "features"):
        takes = _takes_of_dataset(motions)
    elif hasattr(motions, "joints") or (hasattr(motions, "ndim") and motions.ndim < 4):
        takes = _takes_of_list([motions])
    elif isinstance(motions, Iterable):
        takes = _takes_of_list(list(motions), keep_t_pose)
    else:
        raise ValueError(
            f"`motions` is a {type(motions).__name__}; give a list of arrays (T, J, 3), a datasets.Dataset, or a folder "
            "of motion files."
        )
    for name, values in (("ids", ids), ("captions", captions)):
        if values is None:
            continue
        values = values.tolist() if isinstance(values, np.ndarray) else list(values)
        if len(values) != len(takes):
            raise ValueError(f"{len(takes)} motions but {len(values)} `{name}`; give one each.")
        for take, value in zip(takes, values):
            if name == "ids":
                take.id = check_id(value)
            else:
                take.captions = as_captions(value)
    if not takes:
        raise ValueError("There is nothing to index: `motions` is empty.")
    check_unique([take.id for take in takes])
    return takes


def check_id(value) -> str | int:
    """Text or a whole number, as Python has it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"An id is {value!r} ({type(value).__name__}); ids are texts or whole numbers.")
    return printable(value) if isinstance(value, str) else value


def printable(text: str) -> str:
    """A text that can be stored as UTF-8: bytes of a file's name that are no UTF-8 become `\\udcff`, letter by letter."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_unique(ids: Sequence) -> None:
    """Raises a `ValueError` that names the ids which occur twice."""
    if len(set(map(str, ids))) < len(ids):
        seen, twice = set(), []
        for value in map(str, ids):
            if value in seen:
                twice.append(value)
            seen.add(value)
        raise ValueError(f"These ids occur twice: {', '.join(sorted(set(twice))[:10])}. Give each motion its own.")


def number_on(takes: list[Take], present: set[str]) -> None:
    """Gives arrays of a list, which are numbered, the numbers that are free beside the ids already `present`."""
    taken = present | {str(take.id) for take in takes if not take.numbered}
    free = (str(number) for number in count() if str(number) not in taken)
    for take in takes:
        if take.numbered:
            take.id = next(free)


def as_captions(value) -> list[str]:
    """`None`, a text or texts -> a list of texts."""
    if value is None:
        return []
    if isinstance(value, str):
        return [printable(value)]
    texts = list(value)
    if any(not isinstance(text, str) for text in texts):
        raise ValueError(f"Captions must be texts, got {texts!r:.80}.")
    return [printable(text) for text in texts]


def _takes_of_list(motions: list, keep_t_pose: bool = False) -> list[Take]:
    takes = []
    for index, motion in enumerate(motions):
        where = f"motion {index}"
        if isinstance(motion, (str, os.PathLike)):
            path = Path(motion)
            takes.append(_file_take(path, path.stem, str(motion), keep_t_pose=keep_t_pose))
        elif isinstance(motion, dict):
            joints = motion.get("joints", motion.get("motion"))
            if joints is None:
                raise ValueError(f"{where} is a dict without 'joints' or 'motion'; it has {sorted(motion)}.")
            captions = as_captions(
                next((motion[key] for key in ("captions", "caption", "text") if key in motion), None)
            )
            values = (joints, motion.get("skeleton"), motion.get("fps"))
            take_id = check_id(motion.get("id", str(index)))
            takes.append(_array_take(take_id, values, captions, None, where, "id" not in motion))
        else:
            path = getattr(motion, "path", None)
            values = (
                getattr(motion, "joints", motion),
                getattr(motion, "skeleton", None),
                getattr(motion, "fps", None),
            )
            source = None if path is None else str(path)
            takes.append(_array_take(str(index), values, [], source, where, True))
    stems = [take.id for take in takes]
    for take in takes:  # files of the same name in different folders
        if take.source is not None and stems.count(take.id) > 1:
            take.id = take.source
    return takes


def _array_take(take_id, values: tuple, captions: list[str], source: str | None, where: str, numbered: bool) -> Take:
    return Take(take_id, lambda: values, captions, source, where, lambda: _digest([values[0]]), False, numbered)


def _digest(arrays) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array.detach().cpu() if hasattr(array, "detach") else array)
        digest.update(f"{array.shape} {array.dtype}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


def _takes_of_dataset(dataset) -> list[Take]:
    columns = dataset.column_names
    if columns is None or "motion" not in columns:
        raise ValueError(f"The data set has columns {columns}; a column `motion` (T, J, 3) is needed.")
    if not hasattr(dataset, "__len__"):
        raise ValueError(
            "`motions` is a streaming data set; load it without `streaming=True`, so that it has a length."
        )
    reader = _DatasetReader(dataset)
    caption_column = next((name for name in ("captions", "caption", "text") if name in columns), None)
    takes = []
    for index in range(len(dataset)):
        captions = as_captions(reader.value(caption_column, index)) if caption_column else []
        take_id = check_id(reader.value("id", index)) if "id" in columns else str(index)
        source = reader.value("file_name", index) if "file_name" in columns else None
        where = f"row {index} ({take_id})"
        takes.append(Take(take_id, lambda i=index: reader.motion(i), captions, source, where, lambda: reader.stamp))
    return takes


class _DatasetReader:
    """Rows of a data set: small columns at once, motions from Arrow's memory as they are needed."""

    def __init__(self, dataset):
        self.dataset = dataset
        small = [
            n
            for n in ("id", "captions", "caption", "text", "fps", "skeleton", "file_name")
            if n in dataset.column_names
        ]
        table = dataset.with_format(None).select_columns(small) if small else None
        self.columns = {name: list(table[name]) for name in small}

    def value(self, name: str, index: int):
        return self.columns[name][index] if name in self.columns else None

    @cached_property
    def stamp(self) -> str:
        """Of the whole data set: its length, and the first, middle and last motion."""
        rows = sorted({0, len(self.dataset) // 2, len(self.dataset) - 1})
        return f"{len(self.dataset)}-{_digest(_iter_motions(self.dataset.select(rows)))}"

    def motion(self, index: int):
        joints = next(iter(_iter_motions(self.dataset.select([index]))))
        return joints, self.value("skeleton", index), self.value("fps", index)


def _iter_motions(dataset):
    from ..data import iter_motions

    return iter_motions(dataset)


def _takes_of_path(path: Path, keep_t_pose: bool) -> list[Take]:
    if path.is_file():
        return [_file_take(path, path.stem, str(path), keep_t_pose=keep_t_pose)]
    from ..io import find_motion_files

    found = {file.relative_to(path).as_posix(): file for file in find_motion_files(path)}
    if not found:
        raise ValueError(f"{path}: no motion file was found in this folder or below it.")
    metadata = _read_metadata(path)
    stems = [_stem(name) for name in found]
    takes = []
    for name, file in found.items():
        entry = metadata.get(name)
        take_id = _stem(name) if stems.count(_stem(name)) == 1 else name
        if entry is None:
            takes.append(_file_take(file, take_id, name, keep_t_pose=keep_t_pose))
        else:
            take = _file_take(file, entry.row_id or take_id, name, entry.fps, entry.skeleton, keep_t_pose)
            take.captions = list(entry.captions)
            takes.append(take)
    listed = [name for name in metadata if name not in found]
    for name in listed:  # named but absent: reported as left out, not passed over
        takes.append(_file_take(path / name, name, name))
    return takes


def _read_metadata(folder: Path) -> dict:
    if not any((folder / name).is_file() for name in ("metadata.jsonl", "metadata.csv")):
        return {}
    from ..data.metadata import METADATA_FILES, read_metadata

    present = [folder / name for name in METADATA_FILES if (folder / name).is_file()]
    if len(present) > 1:
        raise ValueError(f"{folder} has both {' and '.join(METADATA_FILES)}; keep one.")
    return {entry.file_name: entry for entry in read_metadata(present[0])}


def _stem(name: str) -> str:
    return name[: -len(Path(name).suffix)] if Path(name).suffix else name


def _file_take(path: Path, take_id: str, source: str, fps=None, skeleton=None, keep_t_pose: bool = False) -> Take:
    def read():
        from ..io import load_motion
        from ..io.motion import T_POSE_NOTE

        motion = load_motion(path, fps=fps, skeleton=skeleton, drop_t_pose=not keep_t_pose)
        take.note = next((note for note in motion.notes if note.startswith(T_POSE_NOTE) and not keep_t_pose), "")
        return motion.joints, motion.skeleton, motion.fps

    def stamp():
        try:
            status = path.stat()
        except OSError:
            return "missing"
        return f"{status.st_size}-{status.st_mtime_ns}" + ("-t" if keep_t_pose else "")

    source = printable(source)
    take = Take(printable(take_id), read, source=source, where=source, stamp=stamp)
    return take
