"""HumanML3D folder -> rows: joints (T, 22, 3) [m, Y up, 20 fps] with their captions; sub-clips are rows of their own.

The folder holds `new_joints/ID.npy`, `texts/ID.txt` with lines `caption#token/POS ...#start#end` (seconds; 0.0#0.0 is
the whole clip and nan counts as 0), and `train|val|test.txt`. KIT-ML has the same format (see `kitml.py`).
"""

import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from ..skeletons_motionpatch import Skeleton, get_skeleton
from .report import MotionDataError, SkipReport
from .sources import (
    SPLIT_FILES,
    MotionSource,
    check_max_items,
    choose_splits,
    distinct_ids,
    file_stamps,
    folder_stamps,
    is_plain_name,
    joints_problem,
    load_array,
    read_ids,
    read_lines,
    resolve_folder,
)


JOINTS_DIR, TEXTS_DIR = "new_joints", "texts"
MIRRORED_PREFIX = "M"  # ids of left-right mirrored clips
EVALUATION_SPLITS = ("validation", "test")
# Leg plus torso, hip to toe and pelvis to head, measures about 1.5 m in an adult, so a range of 0.5 to 3 tells the
# units apart without overlap.
BODY_RANGE = (0.5, 3.0)  # [m]
UNITS = {"m": 1.0, "cm": 0.01, "mm": 0.001}  # [m per unit]
UNIT_CLIPS = 16  # clips looked at to tell the units


def humanml3d_source(
    data_dir: str | Path | None,
    *,
    splits: str | Sequence[str] | None = None,
    max_items: int | None = None,
    include_mirrored: bool = True,
    evaluation_rows: str = "all",
    units: str | None = None,
) -> MotionSource:
    """HumanML3D as its scripts write it.

    Args:
        data_dir (`str` or `Path`): The folder with `new_joints`, `texts`, `train.txt`, `val.txt` and `test.txt`.
        splits (`str` or `Sequence[str]`, *optional*): Only these of `train`, `validation`, `test`.
        max_items (`int`, *optional*): At most this many rows per split.
        include_mirrored (`bool`, *optional*, defaults to `True`):
            Whether ids that begin with `M` (the left-right mirrored twins) are used.
        evaluation_rows (`str`, *optional*, defaults to `"all"`):
            `"all"`: every clip and sub-clip of validation and test is a row. `"first"`: one row an id there, the one
            that its first caption speaks about, as the official evaluation ranks them. With `"all"` the column
            `evaluation` is true for these rows.
        units (`str`, *optional*):
            `"m"`, `"cm"` or `"mm"`: the unit of the files, converted to metres; `"keep"` leaves the numbers as they
            are, for statistics that were computed in the files' unit. Measured from the bones when not given.

    Returns:
        `MotionSource`: with the columns `evaluation` and `mirrored` besides the usual ones. The id of a sub-clip is
        `ID#start-end` in seconds; captions of one span share a row, in their order in the file.
    """
    return _text_motion_source(
        "humanml3d", data_dir, "smpl22", 20.0, splits, max_items, include_mirrored, evaluation_rows, units
    )


def _text_motion_source(
    name: str,
    data_dir: str | Path | None,
    skeleton_name: str,
    fps: float,
    splits: str | Sequence[str] | None,
    max_items: int | None,
    include_mirrored: bool,
    evaluation_rows: str,
    units: str | None,
) -> MotionSource:
    skeleton = get_skeleton(skeleton_name)
    needed = f"{JOINTS_DIR}/ID.npy (T, {skeleton.num_joints}, 3), {TEXTS_DIR}/ID.txt, train.txt, val.txt and test.txt"
    folder = resolve_folder(name, data_dir, needed)
    for part in (JOINTS_DIR, TEXTS_DIR):
        if not (folder / part).is_dir():
            raise MotionDataError(f"{folder} has no {part}/; {name!r} needs a folder with {needed}.")
    if evaluation_rows not in ("all", "first"):
        raise MotionDataError(f"evaluation_rows={evaluation_rows!r}; give 'all' or 'first'.")
    if units is not None and units not in (*UNITS, "keep"):
        raise MotionDataError(f"units={units!r}; give one of {', '.join(map(repr, UNITS))} or 'keep'.")
    check_max_items(max_items)

    lists = {split: folder / file for split, file in SPLIT_FILES.items() if (folder / file).is_file()}
    if not lists and (folder / "all.txt").is_file():
        lists = {"train": folder / "all.txt"}
    if not lists:
        raise MotionDataError(f"{folder} has none of train.txt, val.txt, test.txt and all.txt; {name!r} needs one.")
    chosen = choose_splits(name, lists, splits)
    ids = {split: read_ids(lists[split]) for split in chosen}

    def rows(report: SkipReport) -> Iterator[tuple[str, dict]]:
        scale = _metres_per_unit(folder, [clip for split in chosen for clip in ids[split]], skeleton, units, report)
        for split in chosen:
            count = 0
            for clip in distinct_ids(ids[split], split, report):
                if max_items is not None and count >= max_items:
                    break
                if not include_mirrored and clip.startswith(MIRRORED_PREFIX):
                    report.add(split, clip, "mirrored (include_mirrored=False)")
                    continue
                for row in _clip_rows(folder, split, clip, skeleton, fps, scale, report):
                    if max_items is not None and count >= max_items:
                        break
                    if evaluation_rows == "first" and split in EVALUATION_SPLITS and not row["evaluation"]:
                        report.add(split, row["id"], "not the first caption's clip (evaluation_rows='first')")
                        continue
                    count += 1
                    yield split, row

    stamps = (
        *file_stamps(folder, lists.values()),
        *folder_stamps(folder, JOINTS_DIR, suffixes=(".npy",)),
        *folder_stamps(folder, TEXTS_DIR, suffixes=(".txt",)),
    )
    options = {
        "splits": chosen,
        "max_items": max_items,
        "include_mirrored": include_mirrored,
        "evaluation_rows": evaluation_rows,
        "units": units,
    }
    return MotionSource(name, folder, options, stamps, rows, total=sum(map(len, ids.values())))


def parse_caption_line(line: str) -> tuple[str, float, float]:
    """One line of `texts/ID.txt` -> caption, start [s], end [s]; nan counts as 0.

    Raises:
        ValueError: The line has fewer than four fields, times that are no numbers, or an empty caption.
    """
    *texts, start_field, end_field = line.rstrip("\r\n").split("#") if line.count("#") >= 3 else [""] * 2
    if not texts:
        raise ValueError("not of the form caption#tokens#start#end")
    try:
        start, end = (0.0 if math.isnan(value) else value for value in (float(start_field), float(end_field)))
    except ValueError:
        raise ValueError(f"start {start_field!r} and end {end_field!r} are no numbers") from None
    # A caption may hold a # itself; the tokens begin where everything that follows is word/TAG.
    ends = [index for index in range(1, len(texts)) if _is_tokens("#".join(texts[index:]))]
    caption = "#".join(texts[: ends[0] if ends else -1]).strip()
    if not (math.isfinite(start) and math.isfinite(end)) or start < 0 or end < 0:
        raise ValueError(f"start {start} and end {end} are no times in seconds")
    if not caption:
        raise ValueError("empty caption")
    return caption, start, end


def _is_tokens(text: str) -> bool:
    """Whether a text is a list of word/TAG; a word may be `#1`."""
    return all(re.fullmatch(r"#?[^#]*/[A-Z_]+", token) for token in text.split())


def _clip_rows(
    folder: Path, split: str, clip: str, skeleton: Skeleton, fps: float, scale: float, report: SkipReport
) -> list[dict]:
    """The rows of one listed id: the whole clip and its sub-clips, in the order of the captions."""
    joints = _load_joints(folder, split, clip, skeleton, report)
    if joints is None:
        return []
    text_path = folder / TEXTS_DIR / f"{clip}.txt"
    if not text_path.is_file():
        report.add(split, clip, "missing text file", f"{TEXTS_DIR}/{clip}.txt")
        return []

    spans: dict[tuple[float, float], list[str]] = {}
    for number, line in enumerate(read_lines(text_path), start=1):
        if not line.strip():
            continue
        try:
            caption, start, end = parse_caption_line(line)
        except ValueError as error:
            kind = "empty caption" if str(error) == "empty caption" else "broken caption line"
            report.add(split, f"{clip}.txt:{number}", kind, error)
            continue
        spans.setdefault((start, end), []).append(caption)
    if not spans:
        report.add(split, clip, "no caption")
        return []

    joints = np.ascontiguousarray(joints, dtype=np.float32)
    if scale != 1.0:
        joints = joints * np.float32(scale)
    rows = []
    for (start, end), captions in spans.items():
        whole = start == 0.0 and end == 0.0
        row_id = clip if whole else f"{clip}#{start:.10g}-{end:.10g}"
        motion = joints if whole else joints[int(start * fps) : int(end * fps)]  # the official frames
        problem = joints_problem(motion, (skeleton.num_joints, 3))
        if problem:
            kind = "empty sub-clip" if not len(motion) else "sub-clip too short"
            report.add(split, row_id, kind, f"{start} s to {end} s of {len(joints) / fps:.2f} s")
            continue
        rows.append(
            {
                "id": row_id,
                "motion": motion,
                "captions": captions,
                "fps": fps,
                "skeleton": skeleton.to_string(),
                "evaluation": not rows,
                "mirrored": clip.startswith(MIRRORED_PREFIX),
            }
        )
    return rows


def _load_joints(folder: Path, split: str, clip: str, skeleton: Skeleton, report: SkipReport) -> np.ndarray | None:
    if not is_plain_name(clip):
        report.add(split, clip, "id that is no file name")
        return None
    path = folder / JOINTS_DIR / f"{clip}.npy"
    if not path.is_file():
        report.add(split, clip, "missing motion file", f"{JOINTS_DIR}/{clip}.npy")
        return None
    try:
        joints = load_array(path)
    except ValueError as error:
        report.add(split, clip, "unreadable motion file", error)
        return None
    problem = joints_problem(joints, (skeleton.num_joints, 3))
    if problem:
        report.add(split, clip, *problem)
        return None
    return joints


def _metres_per_unit(
    folder: Path, clips: list[str], skeleton: Skeleton, units: str | None, report: SkipReport
) -> float:
    """Metres per unit of the files: as given, or from the bone lengths of the first clips. A guess is noted."""
    if units is not None:
        return UNITS.get(units, 1.0)
    sizes = []
    silent = SkipReport("units")  # the same files are reported when their rows are made
    for clip in clips:
        joints = _load_joints(folder, "", clip, skeleton, silent)
        if joints is not None:
            sizes.append(body_size(joints, skeleton))
            if len(sizes) == UNIT_CLIPS:
                break
    if not sizes:
        return 1.0
    size = float(np.median(sizes))
    for unit, scale in UNITS.items():
        if BODY_RANGE[0] <= size * scale <= BODY_RANGE[1]:
            if unit != "m":
                report.note(
                    f"The joints are in {unit} (leg and torso measure {size:.0f}); they were turned into metres."
                )
            return scale
    report.note(
        f"Leg and torso measure {size:.3g}, which is no human size in m, cm or mm; the numbers were kept. Pass units=."
    )
    return 1.0


def body_size(joints: np.ndarray, skeleton: Skeleton) -> float:
    """The length of the bones of torso and left leg in the first frame, in the unit of `joints`."""
    total = 0.0
    for part in ("torso", "left_leg"):
        chain = joints[0, list(skeleton.chains[part])].astype(np.float64)
        total += float(np.linalg.norm(np.diff(chain, axis=0), axis=-1).sum())
    return total
