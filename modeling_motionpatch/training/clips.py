"""A data set -> every clip's normalised points, computed once and cut into padded batches by indexing.

Preprocessing a clip costs as much as reading it, but every epoch reads every clip: the points (T, 5 * N, 3) of all clips
lie end to end in one tensor, in memory, on the accelerator or in a memory-mapped file, and a batch is one gather.
T frames, N patch size, W points (5 * N, or J joints), C coordinates (3, times the number of persons).
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from ..feature_extraction_motionpatch import MotionPatchFeatureExtractor
from ..skeletons_motionpatch import Skeleton, get_skeleton
from .arguments import TrainArguments, TrainingError


@dataclass
class ClipTable:
    """What is known of the clips of one split beside their motions, all lists of the same length n.

    `source` is the position of the clip's data set in `names`; several sets make one table (joint training).
    """

    names: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    captions: list[list[str]] = field(default_factory=list)
    skeletons: list[Skeleton] = field(default_factory=list)
    fps: list[float] = field(default_factory=list)
    source: list[int] = field(default_factory=list)
    labels: list = field(default_factory=list)
    parts: list = field(default_factory=list)  # of datasets.Dataset, in the order of the clips
    left_out: dict = field(default_factory=dict)  # data set -> reason -> items of it, of all splits, that are no clips

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, name: str, dataset, rows: np.ndarray | None = None) -> None:
        """Appends the rows of a `datasets.Dataset`; clips without a caption are an error, with their id."""
        if name not in self.names:
            self.names.append(name)
        if rows is not None:
            dataset = dataset.select(rows)
        columns = [c for c in ("id", "captions", "skeleton", "fps", "label") if c in dataset.column_names]
        plain = dataset.with_format(None).select_columns(columns)[:]
        for identifier, captions in zip(plain["id"], plain["captions"]):
            if not captions or not all(isinstance(caption, str) and caption.strip() for caption in captions):
                raise TrainingError(f"Clip {identifier!r} of {name} has captions {captions!r}; a text is needed.")
        self.ids += plain["id"]
        self.captions += [[caption.strip() for caption in captions] for captions in plain["captions"]]
        known: dict[str, Skeleton] = {}
        for text in plain["skeleton"]:
            if text not in known:
                known[text] = get_skeleton(text)
            self.skeletons.append(known[text])
        self.fps += [float(fps) for fps in plain["fps"]]
        self.source += [self.names.index(name)] * len(plain["id"])
        self.labels += plain.get("label", [None] * len(plain["id"]))
        self.parts.append(dataset)

    def motions(self) -> Iterator[np.ndarray]:
        """The motions (T, J, 3) in order, at the speed of the disk."""
        from ..data import iter_motions

        for dataset in self.parts:
            yield from iter_motions(dataset)


def load_tables(args: TrainArguments, progress: bool = False, test_only: bool = False) -> dict[str, ClipTable]:
    """The splits of all training sets: `{"train": ..., "validation": ..., "test": ...}` (`test` may be empty).

    Args:
        args (`TrainArguments`): Names of data sets and splits.
        progress (`bool`): Whether converting a data set shows a bar.
        test_only (`bool`): Read the test split alone, for a run that only evaluates.
    """
    from ..data import load_motion_dataset

    tables = {"train": ClipTable(), "validation": ClipTable(), "test": ClipTable()}
    for index, item in enumerate(args.datasets):
        options = dict(item)
        name, data_dir = options.pop("name"), options.pop("data_dir", None)
        label = options.pop("label", None) or (
            name if sum(d["name"] == name for d in args.datasets) == 1 else f"{name}{index}"
        )
        data = load_motion_dataset(name, data_dir, progress=progress, **options)
        if not test_only and args.train_split not in data:
            raise TrainingError(
                f"Data set {name!r} has no split {args.train_split!r} but {', '.join(data)}; set `train_split`."
            )
        for table in tables.values():
            table.left_out[label] = dict(data.skip_report.counts)
        train, validation = data.get(args.train_split), data.get(args.validation_split)
        if test_only:
            pass
        elif validation is not None and len(validation):
            tables["train"].add(label, train)
            tables["validation"].add(label, validation)
        else:
            held_out = _held_out(train.with_format(None)["id"], args.validation_fraction)
            tables["train"].add(label, train, np.flatnonzero(~held_out))
            if held_out.any():
                tables["validation"].add(label, train, np.flatnonzero(held_out))
        test = data.get(args.test_split)
        if test is not None and len(test) and args.test_split not in (args.train_split, args.validation_split):
            tables["test"].add(label, test)
    if not test_only and not len(tables["train"]):
        raise TrainingError("There is no training clip.")
    return tables


def _held_out(ids: list[str], fraction: float) -> np.ndarray:
    """Which clips are for validation: by a hash of the id, so that adding clips moves no other one."""
    scores = [int.from_bytes(hashlib.sha256(str(i).removeprefix("M").encode()).digest()[:4]) / 2**32 for i in ids]
    return np.array(scores) < fraction


class MotionStore:
    """The normalised points of many clips end to end, and padded batches of windows of them.

    Args:
        extractor (`MotionPatchFeatureExtractor`): With statistics; decides padding and patch size.
        points (`torch.Tensor` of shape `(frames of all clips, C, W)`): float32 or float16.
        lengths (`np.ndarray` of shape `(n,)`): Frames of each clip.
        skeletons (`list[Skeleton]`): Of each clip; parts that one lacks are masked.
    """

    def __init__(self, extractor: MotionPatchFeatureExtractor, points: torch.Tensor, lengths, skeletons):
        self.extractor = extractor
        self.points = points
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.offsets = np.concatenate([[0], np.cumsum(self.lengths)])
        self.token_frames = extractor.token_frames
        present = {s: [bool(s.chains[part]) for part in extractor.part_order] for s in set(skeletons)}
        present = np.array([present[skeleton] for skeleton in skeletons]).reshape(len(skeletons), -1)
        if extractor.input_kind == "frames":
            present = np.ones((len(skeletons), 1), dtype=bool)
        self.present = torch.from_numpy(present)
        self.incomplete = not present.all()

    def __len__(self) -> int:
        return len(self.lengths)

    @classmethod
    def build(cls, extractor, table: ClipTable, args: TrainArguments, mirror: bool = False, bar=None) -> "MotionStore":
        """Computes the points of every clip; with `mirror=True` those of the mirrored clips follow as clips n..2n-1.

        With `args.points_dir` they are written to a file there, or mapped from it when an equal one exists.
        """
        dtype = np.dtype(args.points_dtype)
        skeletons = table.skeletons * (2 if mirror else 1)
        if args.points_dir is None:
            clips = [_flat(points, dtype) for points in _all_points(extractor, table, mirror, bar)]
            return cls(extractor, torch.from_numpy(np.concatenate(clips)), [len(clip) for clip in clips], skeletons)
        path = Path(args.points_dir).expanduser() / f"points-{_fingerprint(extractor, table, mirror, dtype)}.npy"
        if not path.is_file():
            _write(path, (_flat(points, dtype) for points in _all_points(extractor, table, mirror, bar)))
        lengths = np.load(path.with_suffix(".lengths.npy"), allow_pickle=False)
        # "c": copy on write; a read-only array would make torch warn
        points = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        return cls(extractor, points, lengths, skeletons)

    def to(self, device) -> "MotionStore":
        """Moves the points to the accelerator."""
        self.points, self.present = self.points.to(device), self.present.to(device)
        return self

    def rows(self, frames: np.ndarray) -> np.ndarray:
        """Patch rows that windows of so many frames fill."""
        return -(-np.minimum(frames, self.extractor.max_frames) // self.token_frames)

    def batch(self, clips: np.ndarray, starts: np.ndarray, frames: np.ndarray, device=None):
        """Windows of clips -> `motion_values` float32 `(B, [persons,] 3, T, W)`, and their mask or `None` for all ones.

        Args:
            clips (`np.ndarray` of shape `(B,)`): Which clips.
            starts (`np.ndarray` of shape `(B,)`): First frame of each window.
            frames (`np.ndarray` of shape `(B,)`): Length of each window; cut to `max_frames`.
        """
        source = self.points.device
        masked = self.extractor.padding == "mask"
        frames = np.minimum(frames, self.extractor.max_frames)
        rows = self.rows(frames)
        height = self.extractor.height(int(frames.max()))
        length = torch.from_numpy(frames).to(source)
        first = torch.from_numpy(self.offsets[clips] + starts).to(source)
        position = torch.arange(height, device=source)
        inside = position < length[:, None]  # (B, T)
        where = torch.where(inside, first[:, None] + position, first[:, None])
        values = self.points[where.flatten()].unflatten(0, where.shape)  # (B, T, C, W)
        values = values.float() * inside[..., None, None]
        values = values.transpose(1, 2)  # (B, C, T, W)
        persons = self.extractor.num_persons
        if persons > 1:
            values = values.unflatten(1, (persons, 3))
        mask = None
        if self.incomplete or (masked and rows.min() < rows.max()):  # attention is faster where nothing is masked
            present = self.present[torch.from_numpy(clips).to(source)]  # (B, columns)
            seen = inside[:, :: self.token_frames] if masked else torch.ones_like(inside[:, :: self.token_frames])
            mask = (seen[:, :, None] & present[:, None]).long()
            if persons > 1:
                mask = mask[:, None].expand(-1, persons, -1, -1)
            mask = mask.to(device, non_blocking=True)
        return values.to(device, non_blocking=True), mask


def fit_extractor(extractor: MotionPatchFeatureExtractor, tables: list[ClipTable]) -> None:
    """Statistics over all frames of the given tables."""
    motions, skeletons, fps = [], [], []
    for table in tables:
        motions += list(table.motions())
        skeletons += table.skeletons
        fps += table.fps
    extractor.fit(motions, skeleton=skeletons, fps=fps)


def mirror_motion(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The left/right twin of a motion (T, [P,] J, 3): x negated, twin joints exchanged."""
    return joints[..., list(skeleton.mirror), :] * np.array([-1, 1, 1], dtype=joints.dtype)


def _all_points(extractor, table: ClipTable, mirror: bool, bar) -> Iterator[np.ndarray]:
    for mirrored in (False, True) if mirror else (False,):
        for index, motion in enumerate(table.motions()):
            skeleton = table.skeletons[index]
            try:
                joints = mirror_motion(motion, skeleton) if mirrored else motion
                yield extractor.joints_to_points(joints, skeleton, table.fps[index])
            except ValueError as error:
                raise TrainingError(f"Clip {table.ids[index]!r}: {error}") from error
            if bar is not None:
                bar.update()


def _flat(points: np.ndarray, dtype) -> np.ndarray:
    """(T, W, 3) or (T, P, W, 3) -> (T, C, W)."""
    return np.ascontiguousarray(np.moveaxis(points, -1, -2), dtype=dtype).reshape(len(points), -1, points.shape[-2])


def _write(path: Path, clips: Iterator[np.ndarray]) -> None:
    """Streams clips into an `.npy` file, which appears under its name when it is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    work = path.with_suffix(f".{os.getpid()}.partial")
    lengths: list[int] = []
    try:
        with open(work, "wb") as file:
            head = 128  # bytes of an .npy header of a shape with any number of frames
            file.write(b" " * head)
            shape = dtype = None
            for clip in clips:
                shape, dtype = clip.shape[1:], clip.dtype
                file.write(clip.tobytes())
                lengths.append(len(clip))
            descr = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
            text = str({**descr, "shape": (sum(lengths), *shape)}).encode()
            file.seek(0)
            file.write(b"\x93NUMPY\x01\x00" + (head - 10).to_bytes(2, "little") + text.ljust(head - 11) + b"\n")
        np.save(path.with_suffix(".lengths.npy"), np.array(lengths, dtype=np.int64), allow_pickle=False)
        os.replace(work, path)
    finally:
        work.unlink(missing_ok=True)


def _fingerprint(extractor, table: ClipTable, mirror: bool, dtype) -> str:
    """Changes with the preprocessing and with the clips, by their ids, lengths and first frames."""
    digest = hashlib.sha256(json.dumps(extractor.to_dict(), sort_keys=True).encode())
    digest.update(json.dumps([mirror, str(dtype), table.ids, table.fps, table.source]).encode())
    for motion, skeleton in zip(table.motions(), table.skeletons):
        digest.update(f"{motion.shape} {skeleton.to_string()}".encode())
        digest.update(np.ascontiguousarray(motion[0]).tobytes())
    return digest.hexdigest()[:20]


__all__ = ["ClipTable", "MotionStore", "fit_extractor", "load_tables", "mirror_motion"]
