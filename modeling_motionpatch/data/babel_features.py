"""The features of BABEL's action-recognition benchmark -> rows: joints (150, 25, 3) [m, Y up, 30 fps] with a label.

`SPLIT_ntu_sk_60.npy` is float `(N, 3, 150, 25, 1)`: 5 s chunks at 30 fps in the joint order of NTU RGB+D, Z up, relative
to the spine in every frame and turned so that the right shoulder lies along +X; shorter chunks are repeated to 150 frames.
`SPLIT_label_60.pkl` is `(segment ids, (label indices, sequence ids, chunk numbers, annotator ids))`. A pickle can run
code when it is loaded in the usual way, so this one is read by a reader that can build lists, numbers and texts only;
`SPLIT_label_60.json` with the same content is read as well.
"""

import io
import json
import pickle
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from .report import MotionDataError, SkipReport
from .sources import joints_problem


FILE_SPLITS = {"train": "train", "validation": "val", "test": "test"}
FPS = 30.0
NUM_JOINTS, SKELETON = 25, "ntu25"
# Z up and the right hand along +X face +Y; Y up and facing +Z is the rotation (x, y, z) -> (-x, z, y).
TO_Y_UP = ((0, -1.0), (2, 1.0), (1, 1.0))


def feature_files(folder: Path, num_classes: int) -> dict[str, tuple[Path, Path]]:
    """Split -> its feature file and its label file, for the splits that have both."""
    files = {}
    for split, prefix in FILE_SPLITS.items():
        features = folder / f"{prefix}_ntu_sk_{num_classes}.npy"
        labels = [folder / f"{prefix}_label_{num_classes}.{suffix}" for suffix in ("json", "pkl")]
        found = [path for path in labels if path.is_file()]
        if features.is_file() and found:
            files[split] = (features, found[0])
    return files


def feature_rows(
    split: str, features_path: Path, labels_path: Path, classes: tuple[str, ...], report: SkipReport
) -> Iterator[dict]:
    """The samples of one split, in the order of the file, one read from the disk at a time.

    Raises:
        MotionDataError: The files are not in the benchmark's format or do not belong together.
    """
    try:
        features = np.load(features_path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise MotionDataError(f"{features_path}: no readable .npy file ({error}).") from None
    if features.ndim != 5 or features.shape[1] != 3 or features.shape[3:] != (NUM_JOINTS, 1):
        raise MotionDataError(f"{features_path}: shape {features.shape}; (N, 3, T, {NUM_JOINTS}, 1) is expected.")
    segments, indices, sequences, chunks = read_labels(labels_path)
    if len(indices) != len(features):
        raise MotionDataError(
            f"{labels_path} has {len(indices)} labels, {features_path.name} {len(features)} samples."
        )
    report.note("The features are relative to the spine and repeated to 5 s, as BABEL's benchmark made them.")

    seen: dict[str, int] = {}
    for number, index in enumerate(indices):
        row_id = f"{sequences[number]}/{segments[number]}/{chunks[number]}"
        if not 0 <= index < len(classes):
            report.add(split, row_id, "label out of scope of the classes", index)
            continue
        row_id = f"{row_id}/{classes[index]}"
        seen[row_id] = seen.get(row_id, 0) + 1
        if seen[row_id] > 1:
            row_id = f"{row_id}/{seen[row_id]}"
        sample = np.asarray(features[number, :, :, :, 0], dtype=np.float32).transpose(1, 2, 0)  # (T, 25, 3)
        joints = np.stack([sign * sample[..., axis] for axis, sign in TO_Y_UP], axis=-1)
        problem = joints_problem(joints, (NUM_JOINTS, 3))
        if problem:
            report.add(split, row_id, *problem)
            continue
        label = classes[index]
        yield {
            "id": row_id,
            "motion": joints,
            "captions": [],
            "fps": FPS,
            "skeleton": SKELETON,
            "label": label,
            "labels": [label],
        }


def read_labels(path: Path) -> tuple[list[str], list[int], list[str], list[int]]:
    """Segment ids, label indices, sequence ids and chunk numbers of one label file.

    Raises:
        MotionDataError: The file is not in the benchmark's format, or holds anything but lists, numbers and texts.
    """
    try:
        if path.suffix == ".json":
            content = json.loads(path.read_text(encoding="utf-8"))
        else:
            content = _PlainUnpickler(io.BytesIO(path.read_bytes())).load()
        segments, (indices, sequences, chunks, *_) = content
        columns = (
            [str(segment) for segment in segments],
            [int(index) for index in indices],
            [str(sequence) for sequence in sequences],
            [int(chunk) for chunk in chunks],
        )
    except Exception as error:  # a damaged pickle raises nearly anything
        raise MotionDataError(
            f"{path}: not BABEL's label format, (segments, (labels, sequences, chunks, annotators)): {error}."
        ) from None
    if len({len(column) for column in columns}) != 1:
        raise MotionDataError(f"{path}: its lists have different lengths, {[len(column) for column in columns]}.")
    return columns


class _PlainType:
    """Stands for a numpy dtype in a pickle: keeps its code, builds nothing."""

    def __init__(self, code="", *_):
        self.code = str(code)
        self.order = "<"

    def __setstate__(self, state):
        if isinstance(state, tuple) and len(state) > 1 and state[1] in ("<", ">", "|", "="):
            self.order = state[1]


def _plain_scalar(kind, content=b""):
    """A numpy number or text of a pickle -> the Python one."""
    if not isinstance(kind, _PlainType) or not re.fullmatch(r"[biufU]\d{1,5}", kind.code):
        raise pickle.UnpicklingError(f"a numpy value of type {getattr(kind, 'code', kind)!r}")
    content = content.encode("latin-1") if isinstance(content, str) else bytes(content)
    return np.frombuffer(content, dtype=kind.order + kind.code, count=1)[0].item()


def _plain_bytes(text, encoding="latin-1"):
    """How pickles before protocol 3 write bytes."""
    return str(text).encode("latin-1")


class _PlainUnpickler(pickle.Unpickler):
    """Reads lists, tuples, dicts, numbers and texts; a pickle that names any function or class is refused.

    Numpy's scalars are rebuilt by the functions above, so that no imported object is ever called.
    """

    _allowed = {
        ("_codecs", "encode"): _plain_bytes,
        ("numpy", "dtype"): _PlainType,
        ("numpy.core.multiarray", "scalar"): _plain_scalar,
        ("numpy._core.multiarray", "scalar"): _plain_scalar,
    }

    def find_class(self, module, name):
        if (module, name) not in self._allowed:
            raise pickle.UnpicklingError(f"it wants to import {module}.{name}, which is refused")
        return self._allowed[module, name]

    def persistent_load(self, pid):
        raise pickle.UnpicklingError("it refers to objects outside, which is refused")
