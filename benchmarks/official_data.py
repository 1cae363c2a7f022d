"""Real clips -> a folder in the official format: `new_joints/ID.npy`, `texts/ID.txt`, `train|val|test.txt`, statistics."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np


SPLITS = ("train", "val", "test")
# The official order of joints: SMPL's body without hands.
SMPL22 = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
).split()
# SMPL joint -> the joints of `bandai` whose mean it is. Two spine joints stand for SMPL's three.
BANDAI_TO_SMPL22 = {
    "pelvis": ("Hips",),
    "spine1": ("Spine",),
    "spine2": ("Spine", "Chest"),
    "spine3": ("Chest",),
    "neck": ("Neck",),
    "head": ("Head",),
    **{
        f"{side}_{smpl}": (f"{bandai}_{side[0].upper()}",)
        for side in ("left", "right")
        for smpl, bandai in (
            ("hip", "UpperLeg"), ("knee", "LowerLeg"), ("ankle", "Foot"), ("foot", "Toes"),
            ("collar", "Shoulder"), ("shoulder", "UpperArm"), ("elbow", "LowerArm"), ("wrist", "Hand"),
        )
    },
}  # fmt: skip


def to_smpl22(joints: np.ndarray, names: Sequence[str], table: Mapping[str, Sequence[str]] = BANDAI_TO_SMPL22):
    """Joints `(T, J, 3)` of a skeleton named by `names` -> `(T, 22, 3)` in the official order, same unit."""
    names = list(names)
    return np.stack([joints[:, [names.index(name) for name in table[smpl]]].mean(axis=1) for smpl in SMPL22], axis=1)


def canonicalize_smpl22(joints: np.ndarray) -> np.ndarray:
    """World joints `(T, 22, 3)` in metres, +Y up -> float32, floor at 0, first root over the origin, first facing +Z.

    HumanML3D's rule: the lowest joint of the clip is on the floor; the body faces up x (right - left), summed over hips
    and shoulders (not collars) of the first frame. One rotation about +Y turns the whole clip.
    """
    joints = np.asarray(joints, dtype=np.float64)
    joint = {name: joints[0, index] for index, name in enumerate(SMPL22)}
    across = joint["right_hip"] - joint["left_hip"] + joint["right_shoulder"] - joint["left_shoulder"]
    facing = np.cross([0.0, 1.0, 0.0], across)  # horizontal
    sin, cos = facing[[0, 2]] / np.linalg.norm(facing)
    turn = np.array([[cos, 0.0, -sin], [0.0, 1.0, 0.0], [sin, 0.0, cos]])  # facing -> +Z
    moved = joints - [joints[0, 0, 0], joints[..., 1].min(), joints[0, 0, 2]]
    return (moved @ turn.T).astype(np.float32)


def write_official_folder(folder: str | Path, clips: Iterable[Mapping]) -> dict[str, int]:
    """Writes clips in the format that the official data set reads.

    Mean and standard deviation are those of all files, test ones included, a joint and an axis, as the official
    `cal_mean_var.py` has them.

    Args:
        folder (`str` or `Path`): Where to; made when it is not there.
        clips (iterable of mappings): Each with `id`, `joints` (float32 `(T, 22, 3)`, metres), `captions`, `split`.

    Returns:
        `dict[str, int]`: How many clips each split has.
    """
    folder = Path(folder)
    for name in ("new_joints", "texts"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    ids = {split: [] for split in SPLITS}
    frames = []
    for clip in clips:
        if any("#" in caption or "\n" in caption for caption in clip["captions"]):
            raise ValueError(f"Clip {clip['id']!r} has a caption with '#' or a line break, which end a field there.")
        np.save(folder / "new_joints" / f"{clip['id']}.npy", clip["joints"])
        lines = (
            f"{caption}#{' '.join(f'{word}/OTHER' for word in caption.split())}#0.0#0.0\n"
            for caption in clip["captions"]
        )
        (folder / "texts" / f"{clip['id']}.txt").write_text("".join(lines), encoding="utf-8")
        ids[clip["split"]].append(clip["id"])
        frames.append(clip["joints"])
    for split, names in ids.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    frames = np.concatenate(frames)
    np.save(folder / "Mean_raw.npy", frames.mean(axis=0))
    np.save(folder / "Std_raw.npy", frames.std(axis=0))
    return {split: len(names) for split, names in ids.items()}


def read_bandai(mocap: str | Path, split_field: str = "split_unseen") -> list[dict]:
    """The packed `bandai` clips as canonical 22-joint motions.

    Returns:
        `list[dict]`: `id`, `joints` (float32 `(T, 22, 3)`, metres, canonical, 20 fps), `captions`, `split`.
    """
    folder = Path(mocap) / "bandai"
    skeleton = json.loads((folder / "skeleton.json").read_text())
    with np.load(folder / "joints.npz", allow_pickle=False) as packed:
        joints, offsets, scale = packed["joints"], packed["offsets"], float(packed["scale"])
    clips = []
    for index, line in enumerate((folder / "clips.jsonl").read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        world = joints[offsets[index] : offsets[index + 1]].astype(np.float64) * scale
        clips.append(
            {
                "id": row["id"],
                "joints": canonicalize_smpl22(to_smpl22(world, skeleton["joints"])),
                "captions": row["captions"],
                "split": row[split_field],
            }
        )
    return clips
