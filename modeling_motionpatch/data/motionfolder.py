"""Folder of motion files with `metadata.jsonl` or `metadata.csv` -> rows: joints (T, J, 3) [m, Y up], any skeleton.

What imagefolder is to images: every format that `load_motion` reads, in one folder, with a line of metadata a file
(see `metadata.py`). Without metadata all motion files are rows of `train` without captions, which is what indexing
needs. Joints are world positions as `load_motion` gives them; nothing is centred, turned or resampled.
"""

import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from .metadata import METADATA_FILES, MotionEntry, read_metadata
from .report import MotionDataError, SkipReport
from .sources import (
    MotionSource,
    check_max_items,
    choose_splits,
    file_stamps,
    joints_problem,
    resolve_folder,
    split_name,
)


CHUNK_FILES = 8  # handed to a worker process at a time


def motionfolder_source(
    data_dir: str | Path | None,
    *,
    splits: str | Sequence[str] | None = None,
    max_items: int | None = None,
    fps: float | None = None,
    skeleton: str | None = None,
    up: str | None = None,
    units: str | float | None = None,
    drop_t_pose: bool = True,
    num_proc: int | None = None,
) -> MotionSource:
    """A folder of motion files.

    Args:
        data_dir (`str` or `Path`): The folder.
        splits (`str` or `Sequence[str]`, *optional*): Only these of the splits the metadata names.
        max_items (`int`, *optional*): At most this many rows per split.
        fps (`float`, *optional*): Frames a second, for files that do not say; a line's own `fps` goes first.
        skeleton (`str`, *optional*): Skeleton, for files that do not say; a line's own `skeleton` goes first.
        up, units (*optional*): As for `load_motion`: up axis and unit of all files, where they are not to be found out.
        drop_t_pose (`bool`, *optional*, defaults to `True`): Whether a T pose that stands before a take (frame 0,
            followed by a jump) is left out; the report's notes say of which files.
        num_proc (`int`, *optional*): Processes that read files; one when not given.

    Returns:
        `MotionSource`: with `file_name`, and every single-valued field that all lines have, as further columns.
        Files that cannot be read are left out and reported, and so are files that no line of the metadata names.

    Raises:
        MotionDataError: A line of the metadata is broken or leads out of the folder, or there is no motion file.
    """
    folder = resolve_folder("motionfolder", data_dir, "motion files and, for captions, metadata.jsonl")
    check_max_items(max_items)
    if num_proc is not None and (not isinstance(num_proc, int) or num_proc < 1):
        raise MotionDataError(f"num_proc={num_proc!r}; give a positive number of processes, or None.")
    metadata = [folder / name for name in METADATA_FILES if (folder / name).is_file()]
    if len(metadata) > 1:
        raise MotionDataError(f"{folder} has both {' and '.join(METADATA_FILES)}; keep one.")
    from ..io import find_motion_files

    names = [path.relative_to(folder).as_posix() for path in find_motion_files(folder)]
    found = [name for name in names if _is_utf8(name)]
    unnamed = [name.encode("utf-8", "backslashreplace").decode() for name in names if not _is_utf8(name)]
    entries = read_metadata(metadata[0]) if metadata else [MotionEntry(name) for name in found]
    if not entries:
        raise MotionDataError(f"{folder} holds no motion file that can be read, and no metadata.jsonl naming any.")
    _fill_ids(entries)
    listed = {entry.file_name for entry in entries}
    unlisted = [name for name in found if name not in listed]
    available = list(dict.fromkeys(entry.split for entry in entries))
    if splits is not None and not metadata:
        splits = [split_name(split) for split in ([splits] if isinstance(splits, str) else splits)]
    chosen = choose_splits("motionfolder", available, splits)
    entries = [entry for entry in entries if entry.split in chosen]

    def rows(report: SkipReport) -> Iterator[tuple[str, dict]]:
        for name in unlisted:
            report.add("", name, "file without a metadata line")
        for name in unnamed:
            report.add("", name, "file name that is no UTF-8", "rename the file")
        counts: dict[str, int] = defaultdict(int)
        noted: dict[str, list[str]] = defaultdict(list)
        wanted = _limited(entries, max_items)
        jobs = [
            (folder / entry.file_name, entry.fps or fps, entry.skeleton or skeleton, up, units, drop_t_pose)
            for entry in wanted
        ]
        for entry, (motion, kind, detail) in zip(wanted, _read_all(jobs, num_proc)):
            if motion is None:
                report.add(entry.split, entry.file_name, kind, detail)
                continue
            joints, rate, skeleton_string, notes = motion
            for text in notes:
                noted[text].append(entry.file_name)
            if max_items is not None and counts[entry.split] >= max_items:
                continue
            counts[entry.split] += 1
            row = {
                "id": entry.row_id,
                "motion": joints,
                "captions": entry.captions,
                "fps": rate,
                "skeleton": skeleton_string,
                "file_name": entry.file_name,
            }
            yield entry.split, {**row, **entry.extras}
        for text, names in noted.items():
            report.note(f"{text} ({len(names)} files: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''})")

    stamps = (
        *file_stamps(folder, metadata),
        *file_stamps(folder, [folder / entry.file_name for entry in entries]),
        *[(name, 0, 0) for name in unlisted],
    )
    options = {
        "splits": chosen,
        "max_items": max_items,
        "fps": fps,
        "skeleton": skeleton if isinstance(skeleton, (str, type(None))) else skeleton.to_string(),
        "up": up,
        "units": units,
        "drop_t_pose": drop_t_pose,
    }
    return MotionSource("motionfolder", folder, options, stamps, rows, total=len(entries))


def _fill_ids(entries: list[MotionEntry]) -> None:
    """Rows without an id get their file name, without suffix where that names one file only."""
    stems = defaultdict(int)
    taken = {entry.row_id for entry in entries if entry.row_id is not None}
    for entry in entries:
        stems[_stem(entry.file_name)] += 1
    for entry in entries:
        if entry.row_id is None:
            stem = _stem(entry.file_name)
            entry.row_id = stem if stems[stem] == 1 and stem not in taken else entry.file_name


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _stem(file_name: str) -> str:
    return file_name[: -len(suffix)] if (suffix := Path(file_name).suffix) else file_name


def _limited(entries: list[MotionEntry], max_items: int | None) -> list[MotionEntry]:
    """The entries worth reading: all, or with `max_items` as many of each split and no more."""
    if max_items is None:
        return entries
    counts: dict[str, int] = defaultdict(int)
    limited = []
    for entry in entries:
        counts[entry.split] += 1
        if counts[entry.split] <= max_items:
            limited.append(entry)
    return limited


def _read_all(jobs: list[tuple], num_proc: int | None) -> Iterator[tuple]:
    if not num_proc or num_proc == 1 or len(jobs) <= CHUNK_FILES:
        yield from map(_read, jobs)
        return
    from multiprocessing import get_context

    with get_context("spawn").Pool(num_proc) as pool:  # forking a process that has started threads can hang
        yield from pool.imap(_read, jobs, chunksize=CHUNK_FILES)


def _read(job: tuple) -> tuple:
    """One file -> ((joints, fps, skeleton, notes), "", "") or (None, kind of problem, detail)."""
    from ..io import load_motion

    path, fps, skeleton, up, units, drop_t_pose = job
    if not path.is_file():
        return None, "missing motion file", str(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the reader's warnings are in the motion's notes
            motion = load_motion(path, fps=fps, skeleton=skeleton, up=up, units=units, drop_t_pose=drop_t_pose)
    except (ValueError, OSError) as error:
        return None, "unreadable motion file", str(error)
    except Exception as error:  # a reader's own fault must not lose the other files of the folder
        return None, "unreadable motion file", f"{type(error).__name__}: {error}"
    problem = joints_problem(motion.joints, (motion.skeleton.num_joints, 3))
    if problem:
        return None, *problem
    return (motion.joints, float(motion.fps), motion.skeleton.to_string(), motion.notes), "", ""
