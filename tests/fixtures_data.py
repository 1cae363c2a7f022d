"""Made-up miniature copies of the real data sets, in their exact formats and with the defects that real copies have."""

import json
import pickle
from pathlib import Path

import numpy as np

from modeling_motionpatch.skeletons_motionpatch import get_skeleton


# What a kind of action looks like in the made-up clips: (joints that move, axis, amplitude [m], frequency [Hz]).
ACTIONS = {
    "walks forward": ("legs", 2, 0.25, 1.0),
    "waves the left hand": ("left_arm", 1, 0.25, 2.0),
    "kicks with the right leg": ("right_leg", 2, 0.45, 0.7),
    "raises the right arm": ("right_arm", 1, 0.5, 0.4),
    "jumps up": ("all", 1, 0.3, 1.2),
    "bows": ("torso", 2, 0.3, 0.5),
}


def standing_pose(skeleton: str = "smpl22") -> np.ndarray:
    """A standing person of 1.7 m, `(J, 3)` in metres, Y up, facing +Z (left is +X)."""
    skeleton = get_skeleton(skeleton)
    pose = np.zeros((skeleton.num_joints, 3), dtype=np.float32)
    pose[:] = (0.0, 0.95, 0.0)
    torso = skeleton.chains["torso"]
    for index, joint in enumerate(torso):
        pose[joint] = (0.0, 0.95 + 0.65 * index / (len(torso) - 1), 0.0)
    for sign, side in ((1.0, "left"), (-1.0, "right")):
        leg, arm = skeleton.chains[f"{side}_leg"][1:], skeleton.chains[f"{side}_arm"][1:]
        for index, joint in enumerate(leg):
            down = index / (len(leg) - 1)
            pose[joint] = (sign * 0.1, 0.9 - 0.85 * down, 0.12 if index == len(leg) - 1 else 0.0)
        for index, joint in enumerate(arm):
            pose[joint] = (sign * (0.15 + 0.6 * index / (len(arm) - 1)), 1.4, 0.0)
    return pose


def moving_person(
    action: str, num_frames: int, fps: float = 20.0, skeleton: str = "smpl22", seed: int = 0
) -> np.ndarray:
    """A person who does one of `ACTIONS`, `(T, J, 3)` float32 in metres, Y up."""
    part, axis, amplitude, frequency = ACTIONS[action]
    chains = get_skeleton(skeleton).chains
    rng = np.random.default_rng(seed)
    time = np.arange(num_frames) / fps
    motion = np.repeat(standing_pose(skeleton)[None], num_frames, axis=0)
    wave = amplitude * np.sin(2 * np.pi * frequency * time + rng.uniform(0, 0.5))
    if part == "all":
        motion[..., axis] += np.abs(wave)[:, None]
    elif part == "legs":
        motion[..., axis] += (0.8 * time)[:, None]
        for sign, side in ((1, "left_leg"), (-1, "right_leg")):
            for depth, joint in enumerate(chains[side][1:]):
                motion[:, joint, axis] += sign * wave * depth / 4
    else:
        for depth, joint in enumerate(chains[part][1:], start=1):
            motion[:, joint, axis] += wave * depth / len(chains[part])
    return (motion + rng.normal(0, 0.002, motion.shape)).astype(np.float32)


def _caption_line(caption: str, start: float | str = 0.0, end: float | str = 0.0) -> str:
    tokens = " ".join(f"{word}/NOUN" for word in caption.rstrip(".").split())
    return f"{caption}#{tokens}#{start}#{end}"


def write_humanml3d(
    folder: str | Path,
    clips_per_split: int = 6,
    skeleton: str = "smpl22",
    fps: float = 20.0,
    metres_per_unit: float = 1.0,
    defects: bool = True,
) -> Path:
    """HumanML3D: `clips_per_split` good clips in each split, every third also mirrored in `train`, and the defects.

    `000000` of train has a sub-clip from 1 to 2 s besides two whole captions; `000001` has nan tags. With `defects`,
    `train.txt` also lists ids that are missing, of one frame (saved without its first axis), of another number of
    joints, with NaN, cut off, without captions, without text, and `000900`, of which the third line is broken and the
    others are an empty sub-clip, an empty caption, a sub-clip behind the end, and a good one with a # in it.
    """
    folder = Path(folder)
    for part in ("new_joints", "texts"):
        (folder / part).mkdir(parents=True, exist_ok=True)

    def write(name, joints, lines):
        if joints is not None:
            np.save(folder / "new_joints" / f"{name}.npy", joints / metres_per_unit)
        if lines is not None:
            (folder / "texts" / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")

    actions, number, splits = list(ACTIONS), 0, {}
    for split in ("train", "val", "test"):
        splits[split] = []
        for index in range(clips_per_split):
            name, action = f"{number:06d}", actions[number % len(actions)]
            joints = moving_person(action, 60 + 10 * (number % 4), fps, skeleton, seed=number)
            lines = [_caption_line(f"a person {action}."), _caption_line(f"someone {action}")]
            if number == 0:
                lines.insert(1, _caption_line(f"the man {action} briefly", 1.0, 2.0))
            if number == 1:
                lines[0] = _caption_line(f"a person {action}.", "nan", "nan")
            write(name, joints, lines)
            splits[split].append(name)
            if split == "train" and index % 3 == 2:
                mirrored = joints[:, list(get_skeleton(skeleton).mirror)] * np.float32([-1, 1, 1])
                write(f"M{name}", mirrored, lines)
                splits[split].append(f"M{name}")
            number += 1

    if defects:
        good = moving_person("bows", 60, fps, skeleton, seed=99)
        line = [_caption_line("a person bows.")]
        broken = good.copy()
        broken[7, 3] = np.nan
        write("000901", good[0], line)  # a clip of one frame, saved without its first axis
        write("000902", good[:, :-1], line)
        write("000903", broken, line)
        write("000904", good, ["", "  "])
        write("000905", good, None)
        write("000906", good, line)
        path = folder / "new_joints" / "000906.npy"
        path.write_bytes(path.read_bytes()[:200])
        write(
            "000900",
            good,
            [
                _caption_line("a person bows nowhere", 2.0, 2.0),
                _caption_line("", 0.0, 0.0),
                "a person bows without tags",
                _caption_line("a person bows later", 100.0, 101.0),
                _caption_line("person #1 bows", 0.5, 1.5),
            ],
        )
        splits["train"] += ["000999", *(f"00090{index}" for index in range(7)), "000000", "../texts/000000"]
    for split, names in splits.items():
        (folder / f"{split}.txt").write_text("\n".join(names) + "\n")
    (folder / "all.txt").write_text("\n".join(name for names in splits.values() for name in names) + "\n")
    return folder


def write_kitml(folder: str | Path, clips_per_split: int = 6, defects: bool = True) -> Path:
    """KIT-ML: the same format with 21 joints, 12.5 fps, millimetres, and a text file that is not UTF-8."""
    folder = write_humanml3d(folder, clips_per_split, "kit21", 12.5, metres_per_unit=0.001, defects=defects)
    path = folder / "texts" / "000002.txt"
    path.write_bytes(path.read_bytes() + _caption_line("ein Mensch läuft rückwärts").encode("latin-1") + b"\n")
    return folder


def write_babel(folder: str | Path, num_sequences: int = 4, z_up: bool = True, defects: bool = True) -> Path:
    """BABEL: `train.json` and `val.json` of the release, with joints as AMASS's body model gives them, Z up.

    Each sequence lasts 8 s at 30 fps: walk for 6 s (two chunks), then kick and transition; sequence-only annotations
    for every fourth. With `defects`, `train.json` has a sequence without joints, one without a category, one with an
    empty span, and one whose file is cut off.
    """
    folder = Path(folder)
    fps, number = 30.0, 0
    for split in ("train", "val"):
        content = {}
        for index in range(num_sequences):
            sid, part = 1000 + number, "BioMotionLab_NTroje" if index == 1 else "CMU"
            feat_p = f"{part}/{part}/s{index}/take {number:02d}_poses.npz"
            joints = np.concatenate(
                [
                    moving_person("walks forward", 180, fps, seed=number),
                    moving_person("kicks with the right leg", 60, fps, seed=number),
                ]
            )
            if z_up:
                joints = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)
            path = folder / "joints" / feat_p.split("/", 1)[1].replace("BioMotionLab_NTroje", "BMLrub")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.savez(path, joints=joints, fps=fps)

            def span(number, start, end, raw, categories):
                labels = {"raw_label": raw, "proc_label": raw, "seg_id": f"seg{number}", "act_cat": categories}
                return labels | ({} if start is None else {"start_t": start, "end_t": end})

            frames = None
            if index % 4 != 3:
                spans = [
                    span(0, 0.0, 6.0, "walk forward", ["walk", "forwards movement"]),
                    span(1, 6.0, 6.4, "transition", ["transition"]),
                    span(2, 6.4, 8.0, "kick with the right leg", ["kick"]),
                ]
                frames = {"babel_lid": f"f{sid}", "anntr_id": "a", "mul_act": True, "labels": spans}
            content[str(sid)] = {
                "babel_sid": sid,
                "url": f"https://example.invalid/{sid}.mp4",
                "feat_p": feat_p,
                "dur": 8.0,
                "seq_ann": {"labels": [span(9, None, None, "walk and kick", ["walk"])], "anntr_id": "b"},
                "frame_ann": frames,
            }
            number += 1
        if defects and split == "train":
            first = content["1000"]
            content["2000"] = first | {"babel_sid": 2000, "feat_p": "KIT/KIT/3/absent_poses.npz"}
            unlabelled = {"labels": [{"raw_label": "?", "proc_label": "?", "act_cat": None}]}
            content["2001"] = first | {"babel_sid": 2001, "frame_ann": None, "seq_ann": unlabelled}
            empty = {"labels": [{"raw_label": "w", "act_cat": ["walk"], "start_t": 20.0, "end_t": 21.0}]}
            content["2002"] = first | {"babel_sid": 2002, "frame_ann": empty}
            content["2003"] = first | {"babel_sid": 2003, "feat_p": "KIT/KIT/3/short_poses.npz"}
            path = folder / "joints" / "KIT" / "3" / "short_poses.npz"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"PK\x03\x04 cut off")
            content["2004"] = first | {"babel_sid": 2004, "frame_ann": {"labels": [{"act_cat": ["walk"]}]}}
        (folder / f"{split}.json").write_text(json.dumps(content))
    return folder


def write_babel_features(folder: str | Path, num_samples: int = 5, num_classes: int = 60) -> Path:
    """The features of BABEL's benchmark: `SPLIT_ntu_sk_60.npy` and the pickled labels with numpy scalars in them."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val"):
        joints = np.stack([moving_person("bows", 150, 30.0, "ntu25", seed=index) for index in range(num_samples)])
        joints = joints - joints[:, :, 1:2]
        z_up = np.stack([-joints[..., 0], joints[..., 2], joints[..., 1]], axis=-1)  # right +X, forward +Y, up +Z
        np.save(folder / f"{split}_ntu_sk_{num_classes}.npy", z_up.transpose(0, 3, 1, 2)[..., None].astype(np.float64))
        segments = list(np.array([f"seg-{index}" for index in range(num_samples)]))
        sids = list(np.arange(num_samples, dtype=np.int64))
        labels = (segments, ([index % num_classes for index in range(num_samples)], sids, [0] * num_samples, segments))
        (folder / f"{split}_label_{num_classes}.pkl").write_bytes(pickle.dumps(labels, protocol=4))
    return folder


def write_interhuman(folder: str | Path, clips_per_split: int = 3, defects: bool = True) -> Path:
    """InterHuman: two persons who face each other, `(T, 492)` a person, Z up, 30 fps, three captions a clip."""
    folder = Path(folder)
    for part in ("motions_processed/person1", "motions_processed/person2", "annots", "split", "motions"):
        (folder / part).mkdir(parents=True, exist_ok=True)

    def features(joints):
        z_up = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)
        rest = np.zeros((len(joints), 492 - 66), dtype=np.float32)  # hands and rotations
        return np.concatenate([z_up.reshape(len(joints), 66), rest], axis=1).astype(np.float32)

    actions, number = list(ACTIONS), 1
    for split in ("train", "val", "test"):
        names = []
        for _ in range(clips_per_split):
            action = actions[number % len(actions)]
            first = moving_person(action, 60 + number, 30.0, seed=number)
            second = moving_person("bows", 60 + number, 30.0, seed=number + 50) * np.float32([-1, 1, -1])
            second += np.float32([0, 0, 1.5])  # turned by half a turn and 1.5 m in front
            for person, joints in (("person1", first), ("person2", second)):
                np.save(folder / "motions_processed" / person / f"{number}.npy", features(joints))
            captions = [
                f"One person {action} while the other bows.",
                f"a person {action}, the other bows",
                "",
                "they meet",
            ]
            (folder / "annots" / f"{number}.txt").write_text("\n".join(captions) + "\n")
            # The released pickles run code when loaded in the usual way; reading one here would raise.
            (folder / "motions" / f"{number}.pkl").write_bytes(b"cbuiltins\nexit\n(tR.")
            names.append(str(number))
            number += 1
        if defects and split == "train":
            clip = moving_person("bows", 40, 30.0)
            broken = clip.copy()
            broken[3] = np.inf
            for name, one, two, text in (
                ("901", clip, None, "they bow"),
                ("902", clip, broken, "they bow"),
                ("903", clip, clip[:30], "they bow"),
                ("904", clip, clip, "\n"),
                ("905", clip, clip, None),
                ("906", clip, clip, "they bow"),  # in ignore_list.txt
            ):
                np.save(folder / "motions_processed/person1" / f"{name}.npy", features(one))
                if two is not None:
                    np.save(folder / "motions_processed/person2" / f"{name}.npy", features(two))
                if text is not None:
                    (folder / "annots" / f"{name}.txt").write_text(text)
                names.append(name)
            (folder / "ignore_list.txt").write_text("906\n")
        (folder / "split" / f"{split}.txt").write_text("\n".join(names) + "\n")
    return folder


def write_motion_npz(path: Path, joints: np.ndarray, fps: float, skeleton: str = "smpl22") -> None:
    """One file of the project's own format."""
    hierarchy = get_skeleton(skeleton)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        joints=joints,
        fps=np.float32(fps),
        joint_names=np.array(hierarchy.joints),
        parents=np.array(hierarchy.parents, dtype=np.int64),
    )


def write_motionfolder(
    folder: str | Path, num_clips: int = 8, skeletons: tuple[str, ...] = ("smpl22",), defects: bool = True
) -> Path:
    """A motionfolder with train, val and test, labels and a further column; several skeletons take turns.

    With `defects`, the metadata also names a file that is absent and one that is cut off, and the folder holds a file
    that no line names.
    """
    folder = Path(folder)
    actions, lines = list(ACTIONS), []
    for number in range(num_clips):
        action, skeleton = actions[number % len(actions)], skeletons[number % len(skeletons)]
        name = f"takes/clip_{number:03d}.npz"
        write_motion_npz(folder / name, moving_person(action, 40 + number, 20.0, skeleton, number), 20.0, skeleton)
        split = ("train", "train", "val", "test")[number % 4]
        lines.append(
            {
                "file_name": name,
                "captions": [f"a person {action}", f"someone {action}"],
                "split": split,
                "label": action,
                "actor": number % 3,
            }
        )
    if defects:
        (folder / "takes" / "cut.npz").write_bytes((folder / "takes" / "clip_000.npz").read_bytes()[:300])
        write_motion_npz(folder / "unlisted.npz", moving_person("bows", 30), 20.0)
        for name in ("takes/absent.npz", "takes/cut.npz"):
            lines.append({"file_name": name, "text": "nothing", "split": "train", "label": "none", "actor": 0})
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder
