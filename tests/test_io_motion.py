"""`Motion`, `find_motion_files`, the kinds of files, guesses about units and axes, and `canonicalize`."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from modeling_motionpatch import SkeletonError, get_skeleton
from modeling_motionpatch.data.generated import generate_motion
from modeling_motionpatch.io import (
    MOTION_SUFFIXES,
    Motion,
    MotionFileError,
    MotionFileWarning,
    canonicalize,
    find_motion_files,
    load_motion,
    save_motion,
    world,
)
from modeling_motionpatch.skeletons_motionpatch import known_skeletons


MOCAP = Path(__file__).resolve().parents[1].parent / "shared" / "mocap"
SMPL22 = get_skeleton("smpl22")


def standing(num_frames=20):
    """A person in metres, +Y up, facing +Z, that sways."""
    offsets = {
        "pelvis": (0, 0.95, 0), "left_hip": (0.08, -0.08, 0), "right_hip": (-0.08, -0.08, 0), "spine1": (0, 0.12, 0),
        "left_knee": (0, -0.39, 0), "right_knee": (0, -0.39, 0), "spine2": (0, 0.13, 0), "left_ankle": (0, -0.4, 0),
        "right_ankle": (0, -0.4, 0), "spine3": (0, 0.05, 0), "left_foot": (0, -0.06, 0.13),
        "right_foot": (0, -0.06, 0.13), "neck": (0, 0.21, 0), "left_collar": (0.08, 0.12, 0),
        "right_collar": (-0.08, 0.12, 0), "head": (0, 0.09, 0), "left_shoulder": (0.1, 0, 0),
        "right_shoulder": (-0.1, 0, 0), "left_elbow": (0.02, -0.26, 0), "right_elbow": (-0.02, -0.26, 0),
        "left_wrist": (0, -0.25, 0.03), "right_wrist": (0, -0.25, 0.03),
    }  # fmt: skip
    joints = np.zeros((num_frames, 22, 3))
    for index, name in enumerate(SMPL22.joints):
        parent = SMPL22.parents[index]
        joints[:, index] = np.array(offsets[name]) + (joints[:, parent] if parent >= 0 else 0)
    time = np.arange(num_frames)[:, None, None] / 20
    return joints + 0.2 * np.sin(time) * [1, 0, 0.5]


def turned(joints, degrees):
    angle = np.deg2rad(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return joints @ np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]]).T


# --------------------------------------------------------------------------------------------------------------------
# Motion


def test_motion():
    motion = Motion(standing(40), 20, "smpl22", notes=["a"])
    assert motion.joints.dtype == np.float32 and motion.num_frames == 40 and motion.duration == 2.0
    assert motion.skeleton is SMPL22 and motion.path is None and motion.notes == ("a",)
    assert "40 frames at 20 fps" in repr(motion)
    with pytest.raises(AttributeError):
        motion.fps = 30


@pytest.mark.parametrize(
    ("joints", "fps", "skeleton"),
    [
        (standing().transpose(1, 0, 2), 20, "smpl22"),
        (standing()[:, :21], 20, "smpl22"),
        (standing()[:0], 20, "smpl22"),
        (standing()[0], 20, "smpl22"),
        (standing(), 0, "smpl22"),
        (standing(), float("nan"), "smpl22"),
        (standing(), 20, "smpl23"),
    ],
)
def test_motion_refuses(joints, fps, skeleton):
    with pytest.raises(ValueError):
        Motion(joints, fps, skeleton)


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"fps": 0}, MotionFileError, "fps=0"),
        ({"fps": -20}, MotionFileError, "fps=-20"),
        ({"fps": float("nan")}, MotionFileError, "nan"),
        ({"fps": "fast"}, MotionFileError, "'fast'"),
        ({"units": "parsec"}, ValueError, "'parsec' is unknown; use one of m, cm"),
        ({"units": 0}, ValueError, "units=0"),
        ({"units": -1.0}, ValueError, "units=-1.0"),
        ({"units": True}, ValueError, "units=True"),
        ({"units": float("inf")}, ValueError, "units=inf"),
        ({"up": "w"}, ValueError, "up='w' is no axis"),
        ({"up": 3}, ValueError, "up=3"),
        ({"skeleton": "smpl23"}, SkeletonError, "smpl23"),
    ],
)
def test_options_are_checked(tmp_path, kwargs, error, message):
    np.save(tmp_path / "clip.npy", standing())
    with pytest.raises(error, match=message):
        load_motion(tmp_path / "clip.npy", **kwargs)


# --------------------------------------------------------------------------------------------------------------------
# Files


def test_find_motion_files(tmp_path):
    names = [
        "b.bvh",
        "a/z.NPZ",
        "a/b.npy",
        "a/c/d.amc",
        "a/skeleton.asf",
        "notes.txt",
        ".hidden/x.bvh",
        ".x.bvh",
        "c.fbx",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "folder.bvh").mkdir()
    found = [path.relative_to(tmp_path).as_posix() for path in find_motion_files(tmp_path)]
    assert found == ["a/b.npy", "a/c/d.amc", "a/z.NPZ", "b.bvh"]
    assert {path.suffix.lower() for path in find_motion_files(str(tmp_path))} == set(MOTION_SUFFIXES)
    with pytest.raises(FileNotFoundError):
        find_motion_files(tmp_path / "nowhere")
    with pytest.raises(MotionFileError, match="is no folder"):
        find_motion_files(tmp_path / "b.bvh")


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    np.save(tmp_path / "x.npy", standing())
    scandir = os.scandir

    def refusing(place):
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(place))
        return scandir(place)

    monkeypatch.setattr(os, "scandir", refusing)
    with pytest.warns(MotionFileWarning, match="closed: this folder cannot be listed.*Permission denied"):
        assert len(find_motion_files(tmp_path)) == 1


def test_links_in_a_circle_end(tmp_path):
    (tmp_path / "a").mkdir()
    np.save(tmp_path / "a" / "x.npy", standing())
    try:
        os.symlink(tmp_path, tmp_path / "a" / "loop")
    except OSError:
        pytest.skip("no links here")
    assert len(find_motion_files(tmp_path)) == 1


def test_linked_folders_are_searched_once(tmp_path):
    for place in ("elsewhere/deep", "folder/own"):
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "a.bvh").write_text("HIERARCHY")
    try:
        os.symlink(tmp_path / "elsewhere", tmp_path / "folder" / "linked")
        os.symlink(tmp_path / "elsewhere" / "deep", tmp_path / "folder" / "again")  # reached in two ways
        os.symlink(tmp_path / "folder" / "own", tmp_path / "folder" / "a_link")  # has a place of its own
    except OSError:
        pytest.skip("no links here")
    found = [path.relative_to(tmp_path / "folder").as_posix() for path in find_motion_files(tmp_path / "folder")]
    assert found == ["again/a.bvh", "own/a.bvh"]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("take.fbx", b"Kaydara FBX Binary  \x00", "export the take as BVH"),
        ("take.fbx", b"; FBX 7.4.0 project file", "export the take as BVH"),
        ("take.bin", b"Kaydara FBX Binary  \x00", "export the take as BVH"),
        ("take.c3d", b"\x02\x50" + bytes(600), "markers on the skin"),
        ("take.txt", b"hello", "no motion file by content or suffix"),
        ("take", b"\x00\x01\x02", "no motion file by content or suffix"),
        ("take.gz", b"\x1f\x8b\x08", "compressed"),
        ("take.bvh", b"", "empty"),
    ],
)
def test_what_is_not_read(tmp_path, name, data, message):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(MotionFileError, match=message) as caught:
        load_motion(tmp_path / name)
    assert name in str(caught.value)


def test_error_is_one_value_error():
    assert issubclass(MotionFileError, ValueError)


def test_save_replaces_only_when_whole(tmp_path, monkeypatch):
    path = tmp_path / "clip.npz"
    save_motion(path, Motion(standing(), 20, "smpl22"))
    before = path.read_bytes()

    def fails(*args, **kwargs):
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez", fails)
    with pytest.raises(OSError, match="disk full"):
        save_motion(path, Motion(standing(5), 20, "smpl22"))
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == ["clip.npz"]


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files as Linux lists them")
def test_files_are_closed(tmp_path):
    save_motion(tmp_path / "clip.npz", Motion(standing(), 20, "smpl22"))
    np.save(tmp_path / "clip.npy", standing())
    (tmp_path / "broken.npz").write_bytes((tmp_path / "clip.npz").read_bytes()[:-30])
    kept = []  # errors and motions that live on must not keep files open
    before = len(os.listdir("/proc/self/fd"))
    for path in find_motion_files(tmp_path):
        try:
            kept.append(load_motion(path))
        except MotionFileError as error:
            kept.append(error)
    assert len(kept) == 3 and len(os.listdir("/proc/self/fd")) == before


# --------------------------------------------------------------------------------------------------------------------
# Guesses


def test_units_of_people_of_all_sizes():
    for leg in (0.5, 0.65, 0.83, 0.95, 1.1):
        for unit in ("m", "cm", "mm"):
            assert world.guess_units(leg / world.UNITS[unit]) == (unit, True), (leg, unit)
    for unit in ("in", "ft", "cmu"):
        assert world.guess_units(0.83 / world.UNITS[unit]) == (unit, True)
    assert world.guess_units(0.0)[1] is False and world.guess_units(1e9)[1] is False


@pytest.mark.parametrize("up", ["y", "z", "x", "-y", "-z", "-x"])
def test_to_y_up_is_a_rotation(up):
    axis = np.zeros(3)
    axis["xyz".index(up[-1])] = -1.0 if up[0] == "-" else 1.0
    np.testing.assert_array_equal(world.to_y_up(axis, up), [0, 1, 0])
    matrix = world.to_y_up(np.eye(3), up)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3))
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_up_of_people_who_stand_and_lie():
    joints = standing()
    z_up = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)
    assert world.guess_up(joints, None, SMPL22)[0] == "y"
    assert world.guess_up(z_up, None, SMPL22)[0] == "z"
    assert world.guess_up(z_up + [3, -2, 0], z_up[0], SMPL22)[0] == "z"
    lying = np.stack([joints[..., 0], 0.1 - joints[..., 2], joints[..., 1] - 0.9], axis=-1)
    lying[..., 1] -= lying[..., 1].min(axis=1, keepdims=True)
    assert world.guess_up(lying, None, SMPL22)[0] == "y"  # along z, but on the floor y = 0
    assert world.guess_up(lying, joints[0], SMPL22)[0] == "y"


@pytest.mark.parametrize("kind", ["crawl", "lie_down"])
def test_up_of_people_who_crawl_or_lie(kind):
    """Without a rest pose only the floor tells: the one axis along which the lowest joint stays at zero."""
    for seed in (0, 1):
        joints = generate_motion(kind, rng=seed).joints.astype(np.float64)
        z_up = np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)
        assert world.guess_up(joints, None, SMPL22)[0] == "y"
        assert world.guess_up(z_up, None, SMPL22) == ("z", "the floor")
    assert world.guess_up(standing() + [0.3, 1, 0], None, SMPL22)[0] == "y"  # no floor, and x at zero by chance


def test_backwards_toes():
    joints = standing()
    assert not world.faces_backwards(joints, SMPL22)
    assert world.faces_backwards(joints * [-1, 1, 1], SMPL22)
    assert not world.faces_backwards(joints[:, list(SMPL22.mirror)] * [-1, 1, 1], SMPL22)
    for kind in ("crawl", "swim", "lie_down", "walk_backwards"):
        for seed in range(3):
            assert not world.faces_backwards(generate_motion(kind, rng=seed).joints.astype(np.float64), SMPL22)


def test_a_body_that_is_no_person_is_reported(tmp_path):
    np.save(tmp_path / "ant.npy", standing() * 1e-6)
    with pytest.warns(UserWarning, match="no unit makes this a person"):
        load_motion(tmp_path / "ant.npy")


@pytest.mark.skipif(not MOCAP.exists(), reason="needs the shared mocap files")
@pytest.mark.parametrize("name", ["bandai", "cmu_daz", "hdm05"])
def test_guesses_on_real_motion(name):
    skeleton = json.loads((MOCAP / name / "skeleton.json").read_text())
    from modeling_motionpatch import Skeleton

    skeleton = Skeleton.from_hierarchy(skeleton["joints"], skeleton["parents"])
    with np.load(MOCAP / name / "joints.npz") as packed:
        joints, offsets, scale = packed["joints"], packed["offsets"], float(packed["scale"])
    right = {"up": [], "turned": [], "units": [], "backwards": [], "t pose": []}
    for index in range(0, len(offsets) - 1, 41 if name == "bandai" else 7):
        clip = joints[offsets[index] : offsets[index + 1]].astype(np.float32) * np.float32(scale)
        sample = world.sample_frames(clip)
        z_up = np.stack([sample[..., 0], -sample[..., 2], sample[..., 1]], axis=-1)
        right["up"].append(world.guess_up(sample, None, skeleton)[0] == "y")
        right["turned"].append(world.guess_up(z_up, None, skeleton)[0] == "z")
        right["units"].append(world.guess_units(100 * world.limb_length(sample, skeleton)[0]) == ("cm", True))
        right["backwards"].append(not world.faces_backwards(sample, skeleton))
        right["t pose"].append(world.count_t_pose_frames(clip, 20.0, None, skeleton) == 0)
    assert all(right["up"]) and all(right["units"]) and all(right["backwards"])
    assert np.mean(right["turned"]) > 0.9  # cartwheels and crawling take no side
    assert np.mean(right["t pose"]) > 0.9


# --------------------------------------------------------------------------------------------------------------------
# Canonical


@pytest.mark.parametrize("degrees", [0, 33, 90, 180, -120])
def test_canonicalize_undoes_turns_and_moves(degrees):
    joints = standing(40)
    moved = turned(joints, degrees) + [3.0, 0.7, -2.0]
    found = canonicalize(moved, "smpl22", 20.0)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, canonicalize(joints, SMPL22, 20.0), atol=1e-5)
    np.testing.assert_allclose(found[..., 1].min(), 0, atol=1e-6)
    np.testing.assert_allclose(found[0, 0, [0, 2]], 0, atol=1e-6)
    lateral = found[0, 1] - found[0, 2]
    assert lateral[0] > 0 and abs(lateral[2]) < 1e-5  # left is +X when facing +Z


@pytest.mark.parametrize("name", known_skeletons())
def test_canonicalize_of_every_skeleton(name):
    """A figure built from the chains, turned by hand and moved: the same canonical motion."""
    skeleton = get_skeleton(name)
    rest = np.zeros((skeleton.num_joints, 3))
    for part, step in {"torso": (0, 0.12), "left_arm": (0.2, 0), "right_arm": (-0.2, 0)}.items():
        for parent, child in zip(skeleton.chains[part], skeleton.chains[part][1:]):
            rest[child] = rest[parent] + [*step, 0]
    for part, side in (("left_leg", 0.1), ("right_leg", -0.1)):
        for number, (parent, child) in enumerate(zip(skeleton.chains[part], skeleton.chains[part][1:])):
            rest[child] = rest[parent] + ([side, 0, 0] if number == 0 else [0, -0.4, 0])
    rng = np.random.default_rng(0)
    joints = rest + np.cumsum(rng.normal(size=(40, len(rest), 3)) * 0.004, axis=0)
    joints += np.cumsum(rng.normal(size=(40, 1, 3)) * [0.03, 0, 0.03], axis=0)
    straight = canonicalize(joints, skeleton, 30.0)
    assert straight[..., 1].min() == pytest.approx(0) and not straight[0, skeleton.pelvis, [0, 2]].any()
    for degrees in (37, 90, 180, 271):
        a = np.radians(degrees)
        turn = np.array([[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]])
        turned = canonicalize(joints @ turn.T + [3, -1.7, 8], skeleton, 30.0)
        np.testing.assert_allclose(turned, straight, atol=1e-5)


def test_canonicalize_resamples():
    joints = standing(120)
    assert canonicalize(joints, "smpl22", 60.0).shape[0] == pytest.approx(40, abs=1)
    assert canonicalize(joints, "smpl22", 60.0, target_fps=None).shape[0] == 120
    thirds = canonicalize(joints, "smpl22", 60.0)
    np.testing.assert_allclose(thirds, canonicalize(joints[::3], "smpl22", 20.0)[: len(thirds)], atol=1e-5)


def test_canonicalize_refuses():
    with pytest.raises(ValueError):
        canonicalize(standing(), "kit21", 20.0)
    with pytest.raises(ValueError):
        canonicalize(standing(), "smpl22", 0)
    with pytest.raises(ValueError):
        canonicalize(standing() * np.nan, "smpl22", 20.0)
