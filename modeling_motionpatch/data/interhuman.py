"""InterHuman folder -> rows: two persons (T, 2, 22, 3) [m, Y up, 30 fps] in one world, with their captions.

The folder holds `motions_processed/person1/ID.npy` and `person2/ID.npy` (T, 492: 62 joint positions, then 51 rotations
in 6D; Z up), `annots/ID.txt` with one caption a line, and `split/train|val|test.txt` (or the lists beside them), as
InterGen distributes it. The pickles in `motions/` are never opened: a pickle can run code.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

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


MOTIONS_DIR, PERSONS, TEXTS_DIR = "motions_processed", ("person1", "person2"), "annots"
NUM_JOINTS = 22  # SMPL's body joints come first
POSITIONS = 3 * NUM_JOINTS
FPS = 30.0  # of the processed motions
SKELETON = "smpl22"


def interhuman_source(
    data_dir: str | Path | None,
    *,
    splits: str | Sequence[str] | None = None,
    max_items: int | None = None,
) -> MotionSource:
    """InterHuman as InterGen distributes it.

    Args:
        data_dir (`str` or `Path`): The folder with `motions_processed`, `annots` and the split lists.
        splits (`str` or `Sequence[str]`, *optional*): Only these of `train`, `validation`, `test`.
        max_items (`int`, *optional*): At most this many rows per split.

    Returns:
        `MotionSource`: whose motions have shape `(T, 2, 22, 3)`. Ids in `ignore_list.txt` are left out, as InterGen
        does, and reported.
    """
    needed = f"{MOTIONS_DIR}/person1|person2/ID.npy, {TEXTS_DIR}/ID.txt and split/train|val|test.txt"
    folder = resolve_folder("interhuman", data_dir, needed)
    for part in (*(f"{MOTIONS_DIR}/{person}" for person in PERSONS), TEXTS_DIR):
        if not (folder / part).is_dir():
            hint = ""
            if part.startswith(MOTIONS_DIR) and (folder / "motions").is_dir():
                hint = (
                    " The pickles in motions/ are not read, since a pickle can run code: take motions_processed.zip of the "
                    f"release, or write each person's joint positions as {PERSONS[0]}|{PERSONS[1]}/ID.npy of shape "
                    f"(T, {POSITIONS} or more), {NUM_JOINTS} joints first, metres, Z up, {FPS:g} fps."
                )
            raise MotionDataError(f"{folder} has no {part}/; 'interhuman' needs a folder with {needed}.{hint}")
    check_max_items(max_items)
    lists = {}
    for split, file in SPLIT_FILES.items():
        found = [path for path in (folder / "split" / file, folder / file) if path.is_file()]
        if found:
            lists[split] = found[0]
    if not lists:
        raise MotionDataError(f"{folder} has no split/train.txt, val.txt or test.txt; 'interhuman' needs one.")
    chosen = choose_splits("interhuman", lists, splits)
    ids = {split: read_ids(lists[split]) for split in chosen}
    ignore_lists = [
        path for path in (folder / "ignore_list.txt", folder / "split" / "ignore_list.txt") if path.is_file()
    ]
    ignored = {clip for path in ignore_lists for clip in read_ids(path)}

    def rows(report: SkipReport) -> Iterator[tuple[str, dict]]:
        for split in chosen:
            count = 0
            for clip in distinct_ids(ids[split], split, report):
                if max_items is not None and count >= max_items:
                    break
                if clip in ignored:
                    report.add(split, clip, "in ignore_list.txt")
                    continue
                row = _row(folder, split, clip, report)
                if row is not None:
                    count += 1
                    yield split, row

    stamps = (
        *file_stamps(folder, [*lists.values(), *ignore_lists]),
        *(stamp for person in PERSONS for stamp in folder_stamps(folder, MOTIONS_DIR, person, suffixes=(".npy",))),
        *folder_stamps(folder, TEXTS_DIR, suffixes=(".txt",)),
    )
    options = {"splits": chosen, "max_items": max_items}
    return MotionSource("interhuman", folder, options, stamps, rows, total=sum(map(len, ids.values())))


def _row(folder: Path, split: str, clip: str, report: SkipReport) -> dict | None:
    if not is_plain_name(clip):
        report.add(split, clip, "id that is no file name")
        return None
    persons = []
    for person in PERSONS:
        path = folder / MOTIONS_DIR / person / f"{clip}.npy"
        if not path.is_file():
            report.add(split, clip, "missing motion file", f"{MOTIONS_DIR}/{person}/{clip}.npy")
            return None
        try:
            features = load_array(path)
        except ValueError as error:
            report.add(split, clip, "unreadable motion file", f"{person}: {error}")
            return None
        if features.ndim != 2 or features.shape[1] < POSITIONS:
            report.add(split, clip, "wrong shape", f"{person}: {features.shape}, expected (T, 492)")
            return None
        joints = features[:, :POSITIONS].reshape(len(features), NUM_JOINTS, 3)
        problem = joints_problem(joints, (NUM_JOINTS, 3))
        if problem:
            report.add(split, clip, problem[0], f"{person}: {problem[1]}")
            return None
        persons.append(z_up_to_y_up(joints))
    if len(persons[0]) != len(persons[1]):
        report.add(split, clip, "persons of different lengths", f"{len(persons[0])} and {len(persons[1])} frames")
        return None
    text_path = folder / TEXTS_DIR / f"{clip}.txt"
    if not text_path.is_file():
        report.add(split, clip, "missing text file", f"{TEXTS_DIR}/{clip}.txt")
        return None
    captions = [line.strip() for line in read_lines(text_path) if line.strip()]
    if not captions:
        report.add(split, clip, "no caption")
        return None
    return {
        "id": clip,
        "motion": np.stack(persons, axis=1),  # (T, 2, 22, 3)
        "captions": captions,
        "fps": FPS,
        "skeleton": SKELETON,
    }


def z_up_to_y_up(joints: np.ndarray) -> np.ndarray:
    """`(..., 3)` with Z up -> float32 with Y up: (x, y, z) becomes (x, z, -y), a rotation, so left stays left."""
    x, y, z = np.moveaxis(np.asarray(joints, dtype=np.float32), -1, 0)
    return np.stack([x, z, -y], axis=-1)
