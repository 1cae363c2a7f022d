"""BABEL's annotations and joints (or its action-recognition features) -> rows for classification among 60 actions.

The released `train.json` and `val.json` label spans of AMASS sequences; AMASS holds body-model parameters, so the joint
positions are the user's: `joints/<feat_p>.npz` (or `.npy`). As in BABEL's benchmark a labelled span is cut into chunks of
at most 5 s, and a chunk with several categories is a sample of each. Without the JSON files, the benchmark's own
features `SPLIT_ntu_sk_60.npy` with `SPLIT_label_60.pkl` are read (see `babel_features.py`).
"""

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np

from ..skeletons_motionpatch import Skeleton, get_skeleton
from .babel_features import feature_files, feature_rows
from .babel_labels import babel_classes
from .interhuman import z_up_to_y_up
from .report import MotionDataError, SkipReport
from .sources import (
    MotionSource,
    check_max_items,
    choose_splits,
    file_stamps,
    is_plain_name,
    joints_problem,
    resolve_folder,
)


ANNOTATIONS = {"train": "train.json", "validation": "val.json", "test": "test.json"}
LABEL_INDEX = "action_label_2_idx.json"
CHUNK_SECONDS = 5.0  # of BABEL's benchmark
JOINT_KEYS, FPS_KEYS = ("joints", "joint_pos"), ("fps", "mocap_framerate", "mocap_frame_rate")
SKELETONS = {22: "smpl22", 24: "smpl24", 25: "ntu25", 52: "smplh52", 55: "smplx55"}
SMPLH_WITH_SURFACE = 73  # SMPL-H's 52 joints and 21 points of its surface, as the smplx library returns them
# BABEL writes two of AMASS's parts with their older folder names.
RENAMED_PARTS = {"BioMotionLab_NTroje": "BMLrub", "DFaust_67": "DFaust"}
UP_CLIPS = 32  # sequences looked at to tell the upward axis
UP_MAJORITY = 0.8  # share of them that must agree


def babel_source(
    data_dir: str | Path | None,
    *,
    splits: str | Sequence[str] | None = None,
    max_items: int | None = None,
    num_classes: int = 60,
    chunk_seconds: float | None = CHUNK_SECONDS,
    per_label: bool = True,
    fps: float | None = None,
    up: str | None = None,
    joints_dir: str | Path = "joints",
) -> MotionSource:
    """BABEL-60, or its larger siblings with 120 and 150 classes.

    Args:
        data_dir (`str` or `Path`): The folder with `train.json`, `val.json` and `joints/`, or with the features.
        splits (`str` or `Sequence[str]`, *optional*): Only these of `train`, `validation`, `test`.
        max_items (`int`, *optional*): At most this many rows per split.
        num_classes (`int`, *optional*, defaults to 60): The most frequent categories; the rest is out of scope.
        chunk_seconds (`float`, *optional*, defaults to 5.0): Longest sample [s]; None keeps whole spans.
        per_label (`bool`, *optional*, defaults to `True`):
            A row for each category of a chunk, as BABEL's benchmark counts; otherwise a row a chunk, with its first
            category in scope as `label`.
        fps (`float`, *optional*): Rate of joint files that do not say theirs.
        up (`str`, *optional*): `"y"` or `"z"`: the upward axis of the joint files (AMASS has Z). Told from the spines
            when not given.
        joints_dir (`str` or `Path`, *optional*, defaults to `"joints"`): Where the joint files lie, in `data_dir`.

    Returns:
        `MotionSource`: with the columns `label`, and `labels`, all categories in scope of the span. `captions` holds
        the annotator's wording of the span.
    """
    needed = f"train.json, val.json and {joints_dir}/<feat_p>.npz, or val_ntu_sk_60.npy with val_label_60.pkl"
    folder = resolve_folder("babel", data_dir, needed)
    check_max_items(max_items)
    if up not in (None, "y", "z"):
        raise MotionDataError(f"up={up!r}; give 'y' or 'z', or None to have it told from the data.")
    for name, value in (("chunk_seconds", chunk_seconds), ("fps", fps)):
        if value is not None and not (value > 0 and math.isfinite(value)):
            raise MotionDataError(f"{name}={value!r}; give a positive number, or None.")
    classes = babel_classes(num_classes, folder / LABEL_INDEX)
    options = {
        "max_items": max_items,
        "num_classes": num_classes,
        "chunk_seconds": chunk_seconds,
        "per_label": per_label,
        "fps": fps,
        "up": up,
        "joints_dir": str(joints_dir),
    }
    annotations = {split: folder / file for split, file in ANNOTATIONS.items() if (folder / file).is_file()}
    if not annotations:
        features = feature_files(folder, num_classes)
        if not features:
            raise MotionDataError(f"{folder} is not BABEL; it needs {needed}.")
        chosen = choose_splits("babel", features, splits)

        def rows_of_features(report: SkipReport) -> Iterator[tuple[str, dict]]:
            for split in chosen:
                for count, row in enumerate(feature_rows(split, *features[split], classes, report), start=1):
                    yield split, row
                    if count == max_items:
                        break

        stamps = file_stamps(folder, [folder / LABEL_INDEX, *(path for pair in features.values() for path in pair)])
        return MotionSource("babel", folder, {**options, "splits": chosen}, tuple(stamps), rows_of_features)

    chosen = choose_splits("babel", annotations, splits)
    sequences = {split: _read_annotations(annotations[split]) for split in chosen}
    joints_folder = folder / joints_dir
    if not joints_folder.is_dir():
        raise MotionDataError(
            f"{folder} has no {joints_dir}/. BABEL's motions are AMASS's body-model parameters: compute joint positions "
            f"from them and save them as {joints_dir}/<feat_p>.npz with `joints` (T, J, 3) in metres and `fps`."
        )
    files = {
        (split, sid): _joint_file(joints_folder, sid, sequence)
        for split in chosen
        for sid, sequence in sequences[split].items()
    }

    def rows(report: SkipReport) -> Iterator[tuple[str, dict]]:
        axis = up or _up_axis(list(filter(None, files.values())), fps, report)
        for split in chosen:
            count = 0
            for sid, sequence in sequences[split].items():
                if max_items is not None and count >= max_items:
                    break
                file = files[split, sid]
                for row in _sequence_rows(
                    split, sid, sequence, file, axis, fps, set(classes), chunk_seconds, per_label, report
                ):
                    if max_items is not None and count >= max_items:
                        break
                    count += 1
                    yield split, row

    stamps = (
        *file_stamps(folder, [folder / LABEL_INDEX, *annotations.values()]),
        *file_stamps(folder, filter(None, files.values())),
    )
    total = sum(map(len, sequences.values()))
    return MotionSource("babel", folder, {**options, "splits": chosen}, stamps, rows, total)


def _read_annotations(path: Path) -> dict[str, dict]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise MotionDataError(f"{path}: no valid JSON ({error}).") from None
    if not isinstance(content, dict) or not all(isinstance(value, dict) for value in content.values()):
        raise MotionDataError(f"{path}: not BABEL's format, an object of sequences by their id.")
    return content


def _joint_file(folder: Path, sid: str, sequence: dict) -> Path | None:
    """The joint file of a sequence: under its AMASS path, without the repeated first folder, or under its id."""
    parts = [part for part in PurePosixPath(str(sequence.get("feat_p", ""))).parts if part not in ("..", "/", ".")]
    names = []
    if parts:
        for kept in (parts, parts[1:]):
            renamed = [RENAMED_PARTS.get(part, part) for part in kept[:-1]] + kept[-1:]
            names += ["/".join(kept), "/".join(renamed)]
    names.append(str(sid) if is_plain_name(str(sid)) else "")
    for name in dict.fromkeys(filter(None, names)):
        stem = name.removesuffix(".npz").removesuffix(".npy")
        for suffix in (".npz", ".npy"):
            path = folder / f"{stem}{suffix}"
            if path.is_file():
                return path
    return None


def _load_joints(path: Path, fps: float | None) -> tuple[np.ndarray, float, Skeleton]:
    """Joints `(T, J, 3)`, their rate and their skeleton.

    Raises:
        ValueError: The file cannot be read, has no joints or no rate, or a number of joints nobody registered.
    """
    try:
        with path.open("rb") as file:  # opened here, so that it is closed when it turns out to be damaged
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                joints = content
            else:
                keys = [key for key in JOINT_KEYS if key in content]
                if not keys:
                    raise ValueError(f"has none of the keys {', '.join(JOINT_KEYS)}, but {', '.join(content)}")
                joints = content[keys[0]]
                rates = [float(content[key]) for key in FPS_KEYS if key in content]
                fps = rates[0] if rates else fps
    except (EOFError, OSError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    except Exception as error:  # a damaged archive raises what zipfile and zlib please
        raise ValueError(str(error)) from None
    if joints.dtype.kind not in "fiu":
        raise ValueError(f"holds {joints.dtype}, not numbers")
    if joints.ndim == 2 and joints.shape[1] % 3 == 0:
        joints = joints.reshape(len(joints), -1, 3)
    if joints.ndim == 3 and joints.shape[1] == SMPLH_WITH_SURFACE:
        joints = joints[:, :52]
    if joints.ndim != 3 or joints.shape[-1] != 3 or joints.shape[1] not in SKELETONS:
        raise ValueError(
            f"has shape {joints.shape}; (T, J, 3) with J one of {', '.join(map(str, SKELETONS))} is known"
        )
    if fps is None or not (fps > 0 and math.isfinite(fps)):
        raise ValueError(f"has no frame rate ({fps}); store `fps` in the file or pass fps=")
    return joints.astype(np.float32, copy=False), float(fps), get_skeleton(SKELETONS[joints.shape[1]])


def _up_axis(files: list[Path], fps: float | None, report: SkipReport) -> str:
    """The axis along which most spines point in the first sequences.

    Raises:
        MotionDataError: They do not agree; then it must be given.
    """
    votes = {"y": 0, "z": 0, "x": 0}
    for path in files:
        try:
            joints, _, skeleton = _load_joints(path, fps or 1.0)
        except ValueError:
            continue
        torso = skeleton.chains["torso"]
        spine = np.nanmean(joints[:, torso[-1]] - joints[:, torso[0]], axis=0)
        if np.isfinite(spine).all():
            votes["xyz"[int(np.argmax(spine))]] += 1
        if sum(votes.values()) == UP_CLIPS:
            break
    total = sum(votes.values())
    if not total:
        return "y"  # nothing readable: every sequence will be reported
    axis = max(votes, key=votes.get)
    if axis == "x" or votes[axis] < UP_MAJORITY * total:
        counts = ", ".join(f"{count} along {name.upper()}" for name, count in votes.items())
        raise MotionDataError(f"The upward axis of BABEL's joint files is not clear: spines point {counts}. Pass up=.")
    report.note(
        f"The joint files were taken as {axis.upper()} up ({votes[axis]} of {total} spines); up= overrides it."
    )
    return axis


def _spans(sequence: dict) -> Iterator[tuple[dict, float | None, float | None]]:
    """Labelled spans: those of the frame annotation where there is one, else the whole sequence."""
    annotation = sequence.get("frame_ann")
    dense = annotation is not None
    annotation = annotation if dense else sequence.get("seq_ann")
    for span in (annotation or {}).get("labels") or []:
        yield span, *((float(span["start_t"]), float(span["end_t"])) if dense else (None, None))


def _sequence_rows(
    split: str,
    sid: str,
    sequence: dict,
    path: Path | None,
    up: str,
    fps: float | None,
    classes: set[str],
    chunk_seconds: float | None,
    per_label: bool,
    report: SkipReport,
) -> Iterator[dict]:
    try:
        spans = list(_spans(sequence))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        report.add(split, sid, "broken annotation", f"{type(error).__name__}: {error}")
        return
    in_scope = []
    for number, (span, start, end) in enumerate(spans):
        span_id = f"{sid}/{number}"
        categories = span.get("act_cat") or []
        labels = [category for category in dict.fromkeys(categories) if category in classes]
        if not labels:
            kind = "span without a category" if not categories else "span out of scope of the classes"
            report.add(split, span_id, kind, ", ".join(map(str, categories)))
            continue
        in_scope.append((span_id, span, start, end, labels))
    if not in_scope:
        if not spans:
            report.add(split, sid, "sequence without labels")
        return
    if path is None:
        report.add(split, sid, "missing joint file", sequence.get("feat_p"))
        return
    try:
        joints, rate, skeleton = _load_joints(path, fps)
    except ValueError as error:
        report.add(split, sid, "unreadable joint file", f"{path.name}: {error}")
        return
    joints = z_up_to_y_up(joints) if up == "z" else joints

    longest = None if chunk_seconds is None else max(1, round(chunk_seconds * rate))
    for span_id, span, start, end, labels in in_scope:
        first = 0 if start is None else int(start * rate)
        last = len(joints) if end is None else min(int(end * rate), len(joints))
        if first < 0 or last <= first:
            report.add(split, span_id, "empty span", f"{start} s to {end} s of {len(joints) / rate:.2f} s")
            continue
        caption = (span.get("raw_label") or span.get("proc_label") or "").strip()
        for index, begin in enumerate(range(first, last, longest or last - first)):
            motion = joints[begin : min(begin + (longest or last), last)]
            chunk_id = f"{span_id}/{index}"
            problem = joints_problem(motion, (skeleton.num_joints, 3))
            if problem:
                report.add(split, chunk_id, *problem)
                continue
            for label in labels if per_label else labels[:1]:
                yield {
                    "id": f"{chunk_id}/{label}" if per_label else chunk_id,
                    "motion": motion,
                    "captions": [caption] if caption else [],
                    "fps": rate,
                    "skeleton": skeleton.to_string(),
                    "label": label,
                    "labels": labels,
                }
