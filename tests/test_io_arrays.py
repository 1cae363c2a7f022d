"""Arrays of joints, our own format, features and AMASS: right numbers, and files that lie about themselves."""

import io
import json
import struct
import sys
import tracemalloc
import types
import zipfile
from pathlib import Path

import numpy as np
import pytest

from modeling_motionpatch import Skeleton, get_skeleton
from modeling_motionpatch.io import Motion, MotionFileError, features_to_joints, load_motion, save_motion


SAMPLE = Path(__file__).resolve().parents[1].parent / "shared" / "golden" / "humanml3d_sample"

# SMPL's rest pose in metres, roughly: joint i of smpl22 from its parent, +Y up, facing +Z.
OFFSETS = np.array(
    [
        (0, 0.95, 0), (0.08, -0.08, 0), (-0.08, -0.08, 0), (0, 0.12, 0), (0, -0.39, 0), (0, -0.39, 0), (0, 0.13, 0),
        (0, -0.4, -0.02), (0, -0.4, -0.02), (0, 0.05, 0), (0, -0.06, 0.13), (0, -0.06, 0.13), (0, 0.21, 0),
        (0.08, 0.12, 0), (-0.08, 0.12, 0), (0, 0.09, 0.03), (0.1, 0.03, 0), (-0.1, 0.03, 0), (0.26, 0, 0),
        (-0.26, 0, 0), (0.25, 0, 0), (-0.25, 0, 0),
    ]
)  # fmt: skip


def rotations(vectors):
    """Axis-angles `(..., 3)` -> matrices, through scipy."""
    rotation = pytest.importorskip("scipy.spatial.transform").Rotation
    vectors = np.asarray(vectors, dtype=float)
    return rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(*vectors.shape[:-1], 3, 3)


def person(num_frames=30, seed=0, offsets=OFFSETS, parents=None):
    """Positions `(T, 22, 3)` of a body that moves smoothly, and its rotations `(T, 22, 3, 3)`."""
    rng = np.random.default_rng(seed)
    parents = get_skeleton("smpl22").parents if parents is None else parents
    time = np.arange(num_frames)[:, None, None] / 20
    swing = 0.3 * np.sin(time * rng.uniform(0.5, 3, (len(offsets), 3)) + rng.uniform(0, 6, (len(offsets), 3)))
    swing[:, 0] *= [0.1, 1, 0.1]
    local = rotations(swing)
    joints, world = np.zeros((num_frames, len(offsets), 3)), [local[:, 0]]
    joints[:, 0] = offsets[0] + 0.5 * np.sin(time[:, 0] * [0.7, 0, 0.9])
    for index in range(1, len(offsets)):
        joints[:, index] = joints[:, parents[index]] + world[parents[index]] @ offsets[index]
        world.append(world[parents[index]] @ local[:, index])
    return joints, np.stack(world, axis=1)


def to_features(joints):
    """Positions -> HumanML3D features from their published description; rotations are left at identity."""
    num_frames, num_joints = joints.shape[:2]
    lateral = joints[:, 1] - joints[:, 2] + joints[:, 16] - joints[:, 17]
    facing = np.cross(lateral, [0, 1, 0])
    angle = np.unwrap(np.arctan2(facing[:, 0], facing[:, 2]))  # heading against +Z, about +Y
    cos, sin = np.cos(-angle), np.sin(-angle)

    def to_heading(vectors, cos, sin):
        x, z = vectors[..., 0], vectors[..., 2]
        return np.stack([cos * x + sin * z, vectors[..., 1], -sin * x + cos * z], axis=-1)

    root = joints[:, 0]
    step = np.diff(root, axis=0)
    out = np.zeros((num_frames - 1, 12 * num_joints - 1))
    out[:, 0] = -np.diff(angle) / 2  # of the turn that brings a frame to face +Z, half the angle
    out[:, 1:3] = to_heading(step, cos[1:], sin[1:])[:, [0, 2]]
    out[:, 3] = root[:-1, 1]
    local = (joints[:, 1:] - root[:, None] * [1, 0, 1])[:-1]
    out[:, 4 : 4 + 3 * (num_joints - 1)] = to_heading(local, cos[:-1, None], sin[:-1, None]).reshape(
        num_frames - 1, -1
    )
    out[:, 4 + 3 * (num_joints - 1) : 4 + 9 * (num_joints - 1)] = np.tile([1, 0, 0, 0, 1, 0], num_joints - 1)
    out[:, -4:] = 1
    return out, to_heading(joints - root[0] * [1, 0, 1], cos[0], sin[0])[:-1]


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def npz(compressed=False, **arrays):
    buffer = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(buffer, **arrays)
    return buffer.getvalue()


def raw_npy(header, data=b"", version=(1, 0), magic=b"\x93NUMPY"):
    """An .npy with any header text."""
    text = header.encode() + b"\n"
    size = struct.pack("<H" if version == (1, 0) else "<I", len(text))
    return magic + bytes(version) + size + text + data


def raw_zip(members):
    """A zip of `(name, bytes)`, names may repeat."""
    import warnings

    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore", UserWarning)
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def load(tmp_path, data, name="clip.npz", **kwargs):
    path = tmp_path / name
    path.write_bytes(data)
    return load_motion(path, **kwargs)


def own(joints=None, **changes):
    """Our own format with some keys changed (None leaves one out)."""
    skeleton = get_skeleton("smpl22")
    arrays = {
        "joints": person()[0].astype(np.float32) if joints is None else joints,
        "fps": np.float32(20),
        "joint_names": np.array(skeleton.joints),
        "parents": np.array(skeleton.parents),
    } | changes
    return npz(**{key: value for key, value in arrays.items() if value is not None})


# --------------------------------------------------------------------------------------------------------------------
# Right numbers


def test_own_format_is_read_as_it_is(tmp_path):
    joints = person()[0].astype(np.float32) + np.float32(7)
    motion = load(tmp_path, own(joints))
    assert motion.skeleton is get_skeleton("smpl22") and motion.fps == 20.0 and motion.num_frames == 30
    assert motion.path.endswith("clip.npz") and motion.duration == 1.5
    np.testing.assert_array_equal(motion.joints, joints)
    lying = joints[..., [0, 2, 1]] * np.float32([1, 1, -1])  # no axis or unit is guessed in our own format
    np.testing.assert_array_equal(load(tmp_path, own(lying)).joints, lying)


@pytest.mark.parametrize("noise", [np.random.default_rng(0).normal(size=(9, 22, 3)).astype(np.float32)])
def test_positions_of_no_body_are_left_alone(tmp_path, noise):
    for data, name in ((own(noise), "a.npz"), (npy(noise), "b.npy"), (npz(joints=noise), "c.npz")):
        np.testing.assert_array_equal(load(tmp_path, data, name).joints, noise)


def test_save_and_load(tmp_path):
    hand = Skeleton("hand-made", ["a", "b", "c", "d"], [-1, 0, 1, 2], {"torso": [0, 1], "left_leg": [1, 2, 3]})
    for skeleton in (
        get_skeleton("kit21"),
        hand,
        Skeleton.from_hierarchy(["Hips", "LeftUpLeg", "LeftLeg"], [-1, 0, 1]),
    ):
        joints = np.random.default_rng(1).normal(size=(5, skeleton.num_joints, 3))
        motion = Motion(joints, 12.5, skeleton)
        save_motion(tmp_path / "out.npz", motion)
        again = load_motion(tmp_path / "out.npz")
        assert again.skeleton == skeleton and again.fps == 12.5
        np.testing.assert_array_equal(again.joints, motion.joints)
        with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
            assert {"joints", "fps", "joint_names", "parents"} <= set(archive.files)
            assert archive["joints"].dtype == np.float32
    assert [path.name for path in tmp_path.iterdir()] == ["out.npz"]
    with pytest.raises(MotionFileError, match=".npz"):
        save_motion(tmp_path / "out.bvh", motion)
    bad = Motion(np.full((2, 4, 3), np.nan), 20, hand)
    with pytest.raises(MotionFileError, match="frames 0, 1"):
        save_motion(tmp_path / "bad.npz", bad)


@pytest.mark.parametrize("dtype", ["f4", "f8", ">f8", "f2"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_npy_of_any_float(tmp_path, dtype, order):
    joints = person()[0]
    motion = load(tmp_path, npy(np.array(joints, dtype=dtype, order=order)), "clip.npy")
    assert motion.joints.dtype == np.float32 and motion.skeleton.name == "smpl22" and motion.fps == 20.0
    np.testing.assert_allclose(motion.joints, joints, atol=2e-3 if dtype == "f2" else 1e-6)
    assert any("smpl22" in note for note in motion.notes) and any("20 frames" in note for note in motion.notes)


@pytest.mark.parametrize(("unit", "metres"), [("m", 1), ("cm", 0.01), ("mm", 0.001)])
@pytest.mark.parametrize("up", ["y", "z"])
def test_units_and_axes_of_arrays(tmp_path, unit, metres, up):
    joints = person()[0]
    turned = joints if up == "y" else np.stack([joints[..., 0], -joints[..., 2], joints[..., 1]], axis=-1)
    motion = load(tmp_path, npy(turned / metres), "clip.npy")
    np.testing.assert_allclose(motion.joints, joints, atol=1e-5)
    integers = load(tmp_path, npy(np.round(turned / 0.001).astype(np.int32)), "clip.npy")
    np.testing.assert_allclose(integers.joints, joints, atol=1e-3)
    told = load(tmp_path, npy(turned / metres), "clip.npy", units=unit, up=up, fps=60)
    np.testing.assert_array_equal(told.joints, motion.joints)
    assert told.fps == 60.0


def test_skeleton_given_for_an_array(tmp_path):
    joints = person()[0]
    custom = Skeleton("custom", get_skeleton("smpl22").joints, get_skeleton("smpl22").parents)
    assert load(tmp_path, npy(joints), "clip.npy", skeleton=custom).skeleton is custom
    odd = np.random.default_rng(0).normal(size=(6, 4, 3))
    four = Skeleton("four", ["a", "b", "c", "d"], [-1, 0, 1, 2], {"torso": [0, 1], "left_leg": [1, 2, 3]})
    assert load(tmp_path, npy(odd), "clip.npy", skeleton=four, fps=30).num_frames == 6
    with pytest.raises(MotionFileError, match="4 joints without names; pass `skeleton=`"):
        load(tmp_path, npy(odd), "clip.npy")


def test_content_decides_before_the_suffix(tmp_path):
    joints = person()[0]
    truth = load(tmp_path, npy(joints), "clip.npy").joints
    for name in ("clip.npz", "clip.bvh", "clip.bin", "clip"):
        np.testing.assert_array_equal(load(tmp_path, npy(joints), name).joints, truth)
    np.testing.assert_allclose(load(tmp_path, own(joints), "clip.npy").joints, truth)


# --------------------------------------------------------------------------------------------------------------------
# Features


def test_features_back_to_joints():
    joints = person(60)[0]
    features, truth = to_features(joints)
    found = features_to_joints(features)
    assert found.dtype == np.float32 and found.shape == (59, 22, 3)
    np.testing.assert_allclose(found, truth, atol=1e-5)
    mean, std = features.mean(0), features.std(0) + 1
    np.testing.assert_allclose(features_to_joints((features - mean) / std, mean=mean, std=std), truth, atol=1e-5)


def test_features_of_a_turn_and_a_walk():
    """A quarter turn to the left in steps, walking 1 cm a frame: by hand."""
    features = np.zeros((11, 251))
    features[:, 0] = -np.pi / 2 / 10 / 2  # half the angle
    features[:, 2] = 0.01
    features[:, 3] = 0.9
    features[:, 4 + 2] = 1.0  # joint 1 is a metre ahead of the root
    joints = features_to_joints(features)
    assert joints.shape == (11, 21, 3)
    ahead = joints[:, 1] - joints[:, 0] * [1, 0, 1]
    np.testing.assert_allclose(ahead[0], [0, 0, 1], atol=1e-6)
    np.testing.assert_allclose(ahead[10], [1, 0, 0], atol=1e-6)  # facing +Z, left is +X
    angles = np.arange(1, 11) * np.pi / 20
    np.testing.assert_allclose(
        joints[10, 0], [0.01 * np.sin(angles).sum(), 0.9, 0.01 * np.cos(angles).sum()], atol=1e-6
    )


@pytest.mark.parametrize("container", ["npy", "npz"])
def test_feature_files(tmp_path, container):
    features, truth = to_features(person()[0])
    data = npy(features) if container == "npy" else npz(motion=features)
    motion = load(tmp_path, data, f"clip.{container}")
    assert motion.skeleton.name == "smpl22" and motion.fps == 20.0
    np.testing.assert_allclose(motion.joints, truth, atol=1e-5)
    kit = np.tile(np.linspace(0, 1, 251, dtype=np.float32), (5, 1))
    motion = load(tmp_path, npy(kit), "kit.npy", units="m")
    assert motion.fps == 12.5 and motion.skeleton.name == "kit21"


@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the shared golden data")
def test_features_of_the_real_sample():
    joints = np.load(SAMPLE / "new_joints_012314.npy")
    motion = load_motion(SAMPLE / "new_joint_vecs_012314.npy")
    assert np.abs(motion.joints - joints).max() < 1e-5  # asked for: 1e-3
    np.testing.assert_array_equal(load_motion(SAMPLE / "new_joints_012314.npy").joints, joints)


def _features(change):
    features = to_features(person()[0])[0]
    result = change(features)
    return features if result is None else result


def _put(frame, column, value):
    def change(features):
        features[frame, column] = value

    return change


def _wide(width):
    return lambda features: np.zeros((40, width))


def _normalised(features):
    rng = np.random.default_rng(0)
    return rng.normal(size=features.shape)


BAD_FEATURES = {
    **{f"nan in column {c}": (_put(3, c, np.nan), "not finite in frame 3") for c in (0, 1, 2, 3, 4, 66, 67, 192, 193, 258, 259, 262)},
    **{f"inf in frame {f}": (_put(f, 5, np.inf), f"not finite in frame {f}") for f in (0, 1, 14, 28)},
    **{f"minus inf in frame {f}": (_put(f, 100, -np.inf), f"not finite in frame {f}") for f in (0, 28)},
    "all nan": (lambda f: f * np.nan, "not finite in frame 0 and 28 more"),
    **{f"width {w}": (_wide(w), "has shape") for w in (1, 3, 66, 250, 252, 262, 264, 526)},
    "swapped": (lambda f: f.T, "look swapped"),
    "swapped kit": (lambda f: np.zeros((251, 40)), "look swapped"),
    "one axis": (lambda f: f[0], "has shape"),
    "three axes": (lambda f: f[None], "has shape"),
    "no frames": (lambda f: f[:0], "without a frame"),
    "no frames kit": (lambda f: np.zeros((0, 251)), "without a frame"),
    "words": (lambda f: f.astype("U8"), "numbers are needed"),
    "complex": (lambda f: f.astype(complex), "complex"),
    "booleans": (lambda f: f > 0, "numbers are needed"),
    "dates": (lambda f: f.astype("M8[s]"), "type"),
    "structured": (lambda f: f.astype([("a", "f4")]), "type"),
    "normalised": (_normalised, "look normalised"),
    "normalised twice": (lambda f: _normalised(f) * 3, "look normalised"),
    "huge": (lambda f: f * 1e300, "look normalised"),
    "far": (_put(0, 1, 1e9), "from the origin"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_FEATURES)
def test_bad_features(tmp_path, name):
    change, message = BAD_FEATURES[name]
    with np.errstate(all="ignore"), pytest.raises(MotionFileError, match=message) as caught:
        load(tmp_path, npy(_features(change)), "clip.npy")
    assert "clip.npy" in str(caught.value)


def test_statistics_of_features_must_fit():
    features = to_features(person()[0])[0]
    for kwargs in ({"mean": np.zeros(263)}, {"std": np.zeros(263)}, {"mean": np.zeros(3), "std": np.zeros(3)}):
        with pytest.raises(MotionFileError, match="mean"):
            features_to_joints(features, **kwargs)


# --------------------------------------------------------------------------------------------------------------------
# Malformed .npy


class Evil:
    def __reduce__(self):
        return (sys.exit, ("a pickle was run",))


def _with(frame, joint, axis, value):
    joints = person()[0]
    joints[frame, joint, axis] = value
    return joints


HEADER = "{'descr': '<f4', 'fortran_order': False, 'shape': (%s), }"
GOOD = npy(person()[0].astype(np.float32))
BAD_NPY = {
    "empty": (b"", "empty"),
    "magic only": (b"\x93NUMPY", "no .npy data"),
    "noise": (b"\x93NUMPY" + np.random.default_rng(0).bytes(3000), "version|header"),
    "header of Python 2, cut": (raw_npy(HEADER % "9L, 22L, 3L", bytes(50)), "truncated"),
    "wrong magic": (raw_npy(HEADER % "1, 22, 3", magic=b"\x93NUMPX"), "no .npy data"),
    "axes of strings": (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': ('1', 22, 3)}"), "header"),
    "descr of a subarray": (raw_npy("{'descr': ('<f4', (3,)), 'fortran_order': False, 'shape': (1, 22)}"), "type"),
    "header of bytes": (raw_npy("\x80\x81"), "header"),
    "version 9": (raw_npy(HEADER % "1, 22, 3", version=(9, 0)), "version 9.0"),
    "cut in the header": (GOOD[:40], "header"),
    **{f"cut at {c}": (GOOD[:c], "truncated") for c in (128, 129, 400, 2000, len(GOOD) - 100, len(GOOD) - 1)},
    "header no dict": (raw_npy("[1, 2, 3]"), "header"),
    "header code": (raw_npy("__import__('os').system('false')"), "header"),
    "header without shape": (raw_npy("{'descr': '<f4', 'fortran_order': False}"), "header"),
    "header nested": (raw_npy("(" * 3000), "header"),
    "header length lies": (b"\x93NUMPY\x01\x00\xff\xff" + b" " * 100, "header"),
    "header of 4 GB": (b"\x93NUMPY\x02\x00\xff\xff\xff\xff" + b" " * 100, "header of"),
    "type unknown": (raw_npy("{'descr': '<q9', 'fortran_order': False, 'shape': (1, 22, 3)}"), "header"),
    "type of no size": (raw_npy("{'descr': '<U0', 'fortran_order': False, 'shape': (99999999999,)}"), "type"),
    "shape negative": (raw_npy(HEADER % "-1, 22, 3", bytes(1000)), "shape|header"),
    "shape huge": (raw_npy(HEADER % "1000000000000, 22, 3", bytes(1000)), "truncated"),
    "shape beyond 64 bits": (raw_npy(HEADER % "10**30, 22, 3".replace("10**30", "1" + "0" * 30), bytes(99)), "truncated|header"),
    "shape of text": (raw_npy("{'descr': '<f4', 'fortran_order': False, 'shape': 'abc'}"), "header"),
    "shape zero and huge": (raw_npy(HEADER % "0, 99999999999999999999, 3"), "empty|formed"),
    "pickle": (npy(np.array([Evil()], dtype=object)), "pickle"),
    "pickle of numbers": (npy(np.array([1.0, None], dtype=object)), "pickle"),
    "words": (npy(np.array([["a"] * 3] * 4)), "numbers are needed"),
    "booleans": (npy(person()[0] > 0), "numbers are needed"),
    "complex": (npy(person()[0].astype(complex)), "type complex"),
    "dates": (npy(np.zeros((5, 22, 3), "M8[s]")), "type"),
    "structured": (npy(np.zeros((5, 22), [("x", "f4"), ("y", "f4"), ("z", "f4")])), "type"),
    "one axis": (npy(np.zeros(66)), r"shape \(66,\)"),
    "two axes": (npy(np.zeros((40, 66))), "Reshape it if a row holds 22 joints"),
    "four axes": (npy(np.zeros((40, 2, 22, 3))), "one person"),
    "no axis": (npy(np.float32(3)), r"shape \(\)"),
    "two coordinates": (npy(np.zeros((40, 22, 2))), "has shape"),
    "axes permuted": (npy(np.zeros((40, 3, 22))), "axes look permuted"),
    "frames and joints swapped": (npy(np.zeros((22, 170, 3))), "look swapped"),
    "joints unknown": (npy(np.zeros((40, 23, 3))), "23 joints without names"),
    "too many joints": (npy(np.zeros((22, 5000, 3), "f4")), "5000 joints"),
    "no frames": (npy(np.zeros((0, 22, 3))), "empty"),
    "no joints": (npy(np.zeros((40, 0, 3))), "empty"),
    "nan": (npy(_with(4, 3, 1, np.nan)), "frame 4"),
    "infinite": (npy(_with(7, 0, 0, -np.inf)), "frame 7"),
    "far away": (npy(_with(2, 0, 0, 1e30)), "frame 2"),
    "all nan": (npy(np.full((40, 22, 3), np.nan)), r"frames 0, 1, 2, 3, 4, 5, 6, 7, \.\.\."),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_NPY)
def test_malformed_npy(tmp_path, name):
    data, message = BAD_NPY[name]
    tracemalloc.start()
    try:
        with pytest.raises(MotionFileError, match=message) as caught:
            load(tmp_path, data, "clip.npy")
        assert tracemalloc.get_traced_memory()[1] < 20e6
    finally:
        tracemalloc.stop()
    assert "clip.npy" in str(caught.value) and len(str(caught.value)) < 1500


def test_array_and_skeleton_disagree(tmp_path):
    with pytest.raises(MotionFileError, match="22 joints, but the skeleton 'kit21' has 21"):
        load(tmp_path, GOOD, "clip.npy", skeleton="kit21")
    with pytest.raises(MotionFileError, match="look swapped"):
        load(tmp_path, npy(np.zeros((22, 170, 3))), "clip.npy", skeleton="smpl22")


# --------------------------------------------------------------------------------------------------------------------
# Malformed .npz


def _bomb(size=72 << 20):
    """Zeros that unpack to `size` bytes."""
    header = raw_npy(HEADER % f"{size // 264}, 22, 3")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=6) as archive:
        with archive.open("joints.npy", "w", force_zip64=True) as file:
            file.write(header)
            block = bytes(1 << 22)
            for _ in range(size >> 22):
                file.write(block)
    return buffer.getvalue()


def _lying_bomb():
    """The directory says a small size, the data unpack to a large one."""
    data = bytearray(_bomb())
    place = data.rindex(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", 300_000)
    return bytes(data)


SKELETON = get_skeleton("smpl22")
OWN = own()
JOINTS = person()[0].astype(np.float32)
BAD_NPZ = {
    "noise": (b"PK\x03\x04" + np.random.default_rng(0).bytes(3000), "not a readable"),
    "noise alone": (np.random.default_rng(2).bytes(3000), "not a readable"),
    "text": (b"this is no archive", "not a readable"),
    **{f"cut at {c}": (OWN[:c], "not a readable") for c in (4, 30, 300, 3000, len(OWN) - 500, len(OWN) - 23, len(OWN) - 1)},
    "no members": (raw_zip([]), "no key `joints`"),
    "wrong keys": (npz(a=JOINTS, b=JOINTS), "no key `joints`; found a, b"),
    "text member": (raw_zip([("joints.npy", b"hello")]), "key `joints` is no .npy"),
    "empty member": (raw_zip([("joints.npy", b"")]), "key `joints` is no .npy"),
    "member twice": (raw_zip([("joints.npy", npy(JOINTS)), ("joints.npy", npy(JOINTS))]), "`joints` occurs twice"),
    "member truncated": (raw_zip([("joints.npy", npy(JOINTS)[:900])]), "key `joints`.*truncated"),
    "pickle": (npz(joints=np.array([Evil()], dtype=object)), "key `joints` holds Python objects"),
    "pickled names": (own(joint_names=np.array(list(SKELETON.joints), dtype=object)), "`joint_names` holds Python"),
    "pickled fps": (own(fps=np.array(None, dtype=object)), "key `fps` holds Python"),
    "too many members": (raw_zip([(f"m{i}", b"") for i in range(4100)]), "4100 arrays"),
    "checksum": (OWN.replace(npy(JOINTS)[-500:-400], bytes(100)), "CRC|unpacked"),
    "bomb": (_bomb, "grows from .* when unpacked"),
    "lying bomb": (_lying_bomb, "truncated|CRC|unpacked"),
    "huge by the directory": (lambda: _patched_size(1 << 31), "unpack"),
    "no names": (own(joint_names=None), "key `joint_names` is missing"),
    "no parents": (own(parents=None), "key `parents` is missing"),
    "names of numbers": (own(joint_names=np.arange(22)), "`joint_names` should be a list of strings"),
    "names in two axes": (own(joint_names=np.array([SKELETON.joints])), "`joint_names` should be"),
    "too few names": (own(joint_names=np.array(SKELETON.joints[:21])), "`joint_names` has 21 entries"),
    "too many names": (own(joint_names=np.array([*SKELETON.joints, "x"])), "`joint_names` has 23 entries"),
    "name twice": (own(joint_names=np.array([*SKELETON.joints[:21], "pelvis"])), "twice: pelvis"),
    "names say nothing": (own(joint_names=np.array([f"b{i}" for i in range(22)])), "no body part"),
    "parents of words": (own(parents=np.array(["a"] * 22)), "`parents` should be a list of integers"),
    "parents of floats": (own(parents=np.zeros(22)), "`parents` should be a list of integers"),
    "too few parents": (own(parents=np.array(SKELETON.parents[:20])), "`parents` has 20 entries"),
    "no root": (own(parents=np.array([1] + list(SKELETON.parents[1:]))), "roots"),
    "two roots": (own(parents=np.array([-1, -1] + list(SKELETON.parents[2:]))), "2 roots"),
    "cycle": (own(parents=np.array([-1, 4] + list(SKELETON.parents[2:]))), "own ancestor"),
    "parent out of range": (own(parents=np.array([-1, 99] + list(SKELETON.parents[2:]))), "parent 99"),
    "parent below": (own(parents=np.array([-1, -7] + list(SKELETON.parents[2:]))), "parent -7"),
    "fps zero": (own(fps=np.float32(0)), "key `fps`.*`fps=`"),
    "fps negative": (own(fps=np.float32(-20)), "key `fps`"),
    "fps nan": (own(fps=np.float32(np.nan)), "key `fps`"),
    "fps infinite": (own(fps=np.float32(np.inf)), "key `fps`"),
    "fps a list": (own(fps=np.zeros(5)), "key `fps` should be one number"),
    "fps a word": (own(fps=np.array("fast")), "key `fps` should be one number"),
    "fps in ms": (own(fps=np.float32(0.05)), "key `fps`"),
    "swapped": (own(JOINTS.transpose(1, 0, 2)), "look swapped"),
    "wrong axes": (own(JOINTS.transpose(0, 2, 1)), "axes look permuted"),
    "nan": (own(_with(4, 3, 1, np.nan)), "frame 4"),
    "no frames": (own(JOINTS[:0]), "empty"),
    "words": (own(JOINTS.astype("U8")), "numbers are needed"),
    "skeleton no json": (own(skeleton=np.array("{no json")), "key `skeleton`"),
    "skeleton of another": (own(skeleton=np.array(json.dumps(get_skeleton("kit21").to_dict()))), "other joints"),
}  # fmt: skip


def _patched_size(size):
    """The directory claims that the first member unpacks to `size` bytes."""
    data = bytearray(OWN)
    place = data.index(b"PK\x01\x02")
    data[place + 24 : place + 28] = struct.pack("<I", size)
    return bytes(data)


@pytest.mark.parametrize("name", BAD_NPZ)
def test_malformed_npz(tmp_path, name):
    data, message = BAD_NPZ[name]
    data = data() if callable(data) else data
    tracemalloc.start()
    try:
        with pytest.raises(MotionFileError, match=message) as caught:
            load(tmp_path, data)
        assert tracemalloc.get_traced_memory()[1] < 30e6
    finally:
        tracemalloc.stop()
    assert "clip.npz" in str(caught.value) and len(str(caught.value)) < 1500


def test_random_damage_never_escapes_the_error(tmp_path):
    rng = np.random.default_rng(11)
    compressed = npz(True, joints=JOINTS, fps=np.float32(20), joint_names=np.array(SKELETON.joints),
                     parents=np.array(SKELETON.parents))  # fmt: skip
    for trial in range(200):
        data = bytearray((GOOD, OWN, compressed)[trial % 3])
        edge = len(data) if trial % 2 else min(200, len(data))  # half of them in the headers
        for _ in range(int(rng.integers(1, 4))):
            place = int(rng.integers(edge)) if trial % 4 else len(data) - 1 - int(rng.integers(400))
            data[place] = int(rng.integers(256))
        try:
            motion = load(tmp_path, bytes(data), "clip.npy" if trial % 3 == 0 else "clip.npz")
        except MotionFileError:
            continue
        assert np.isfinite(motion.joints).all()


# --------------------------------------------------------------------------------------------------------------------
# AMASS


def body_model(seed=0, num_joints=52, parents=None):
    """A made-up model in the layout of SMPL-H: a vertex at each joint and a few around."""
    rng = np.random.default_rng(seed)
    skeleton = get_skeleton("smplh52")
    rest = np.zeros((num_joints, 3))
    for index in range(num_joints):
        offset = OFFSETS[index] if index < 22 else (0.03, 0, 0.01)
        rest[index] = offset + (rest[skeleton.parents[index]] if index else 0)
    vertices = np.concatenate([rest, rest + [0.1, 0, 0], rest - [0.1, 0, 0]])
    regressor = np.concatenate([np.eye(num_joints) * share for share in (0.5, 0.25, 0.25)], axis=1)
    tree = np.array([skeleton.parents, range(num_joints)], dtype=np.int64)
    tree[0, 0] = 4294967295  # as the published files have it
    return {
        "v_template": vertices,
        "shapedirs": rng.normal(size=(3 * num_joints, 3, 16)) * 0.01,
        "J_regressor": regressor,
        "kintree_table": tree.astype(np.uint32),
    }


def amass(num_frames=8, **changes):
    rng = np.random.default_rng(2)
    arrays = {
        "poses": rng.normal(size=(num_frames, 156)) * 0.3,
        "trans": rng.normal(size=(num_frames, 3)),
        "betas": rng.normal(size=16),
        "gender": np.array("female"),
        "mocap_framerate": np.array(120.0),
        "dmpls": np.zeros((num_frames, 8)),
    } | changes
    return {key: value for key, value in arrays.items() if value is not None}


def amass_reference(arrays, model):
    rest = model["J_regressor"] @ (model["v_template"] + model["shapedirs"] @ arrays["betas"])
    parents = get_skeleton("smplh52").parents
    local = rotations(arrays["poses"].reshape(-1, 52, 3))
    out = np.zeros((len(local), 52, 3))
    for frame in range(len(local)):
        transforms = []
        for joint in range(52):
            step = np.eye(4)
            step[:3, :3] = local[frame, joint]
            step[:3, 3] = rest[joint] - (rest[parents[joint]] if joint else 0)
            transforms.append(step if joint == 0 else transforms[parents[joint]] @ step)
            out[frame, joint] = transforms[joint][:3, 3] + arrays["trans"][frame]
    return out[..., [0, 2, 1]] * [1, 1, -1]  # Z up -> Y up


@pytest.mark.parametrize(
    "layout", ["SMPLH_FEMALE.npz", "female/model.npz", "smplh/SMPLH_FEMALE.npz", "SMPLH_NEUTRAL.npz"]
)
def test_amass_with_a_body_model(tmp_path, layout):
    file = tmp_path / "models" / layout
    file.parent.mkdir(parents=True, exist_ok=True)
    model, arrays = body_model(), amass()
    np.savez(file, **model)
    motion = load(tmp_path, npz(**arrays), body_model=tmp_path / "models")
    assert motion.skeleton is get_skeleton("smpl22") and motion.fps == 120.0
    truth = amass_reference(arrays, model)
    np.testing.assert_allclose(motion.joints, truth[:, :22], atol=1e-5)
    fingers = load(tmp_path, npz(**arrays), body_model=file, skeleton="smplh52", fps=60)
    np.testing.assert_allclose(fingers.joints, truth, atol=1e-5)
    assert fingers.fps == 60.0


def test_amass_through_the_smplx_package(tmp_path, monkeypatch):
    """Pickled models are left to the package; a stand-in shows what it is asked for."""
    torch = pytest.importorskip("torch")
    asked = {}

    class Body:
        def __call__(self, **kwargs):
            asked.update(kwargs)
            joints = torch.arange(73 * 3.0).reshape(1, 73, 3) * 1e-3 + kwargs["transl"][:, None]
            return types.SimpleNamespace(joints=joints)

    stub = types.ModuleType("smplx")
    stub.create = lambda path, **kwargs: asked.update(kwargs, path=path) or Body()
    monkeypatch.setitem(sys.modules, "smplx", stub)
    (tmp_path / "SMPLH_FEMALE.pkl").write_bytes(b"never opened here")
    arrays = amass()
    with pytest.warns(UserWarning, match="legs are"):  # the stand-in's joints are no body
        motion = load(tmp_path, npz(**arrays), body_model=tmp_path)
    assert asked["model_type"] == "smplh" and asked["gender"] == "female" and asked["ext"] == "pkl"
    assert asked["flat_hand_mean"] and not asked["use_pca"] and asked["left_hand_pose"].shape == (8, 45)
    np.testing.assert_allclose(asked["right_hand_pose"].numpy(), arrays["poses"][:, 111:], atol=1e-6)
    expected = np.arange(66).reshape(22, 3) * 1e-3 + arrays["trans"][:, None]
    np.testing.assert_allclose(motion.joints, expected[..., [0, 2, 1]] * [1, 1, -1], atol=1e-5)


BAD_AMASS = {
    "no model": ({}, {}, "body_model=.*smplx"),
    "model folder missing": ({}, {"body_model": "nowhere"}, "does not exist"),
    "model folder empty": ({}, {"body_model": "."}, "no smplh model for gender 'female'"),
    "poses width": ({"poses": np.zeros((8, 100))}, {}, "`poses` has 100 columns"),
    "poses axes": ({"poses": np.zeros((8, 52, 3))}, {}, "`poses` is"),
    "poses words": ({"poses": np.zeros((8, 156)).astype("U4")}, {}, "`poses` is"),
    "poses empty": ({"poses": np.zeros((0, 156))}, {}, "`poses` is"),
    "poses nan": ({"poses": np.full((8, 156), np.nan)}, {}, "`poses` is not finite in frame 0"),
    "trans short": ({"trans": np.zeros((7, 3))}, {}, r"`trans` has shape \(7, 3\)"),
    "trans wide": ({"trans": np.zeros((8, 4))}, {}, "`trans` has shape"),
    "trans missing": ({"trans": None}, {}, "`trans` is missing"),
    "betas nan": ({"betas": np.full(16, np.nan)}, {}, "`betas` is not finite"),
    "betas pickled": ({"betas": np.array([None])}, {}, "`betas` holds Python"),
    "no rate": ({"mocap_framerate": None}, {}, "`mocap_framerate`; pass `fps=`"),
    "rate zero": ({"mocap_framerate": np.array(0.0)}, {}, "`mocap_framerate`"),
}


@pytest.mark.parametrize("name", BAD_AMASS)
def test_bad_amass(tmp_path, name):
    changes, kwargs, message = BAD_AMASS[name]
    kwargs = {key: tmp_path / value for key, value in kwargs.items()}
    with pytest.raises(MotionFileError, match=message) as caught:
        load(tmp_path, npz(**amass(**changes)), **kwargs)
    assert "clip.npz" in str(caught.value)


BAD_MODELS = {
    "no regressor": ({"J_regressor": None}, "`J_regressor` is missing"),
    "sparse regressor": ({"J_regressor": np.array([None])}, "`J_regressor` holds Python"),
    "few joints": ({"J_regressor": np.zeros((10, 156)), "kintree_table": np.zeros((2, 10), int)}, "10 joints"),
    "regressor width": ({"J_regressor": np.zeros((52, 3))}, "do not belong together"),
    "shape width": ({"shapedirs": np.zeros((3, 3, 16))}, "do not belong together"),
    "parents after": ({"kintree_table": np.full((2, 52), 51)}, "after its child"),
}


@pytest.mark.parametrize("name", BAD_MODELS)
def test_bad_body_models(tmp_path, name):
    changes, message = BAD_MODELS[name]
    model = body_model() | changes
    np.savez(tmp_path / "model.npz", **{key: value for key, value in model.items() if value is not None})
    with pytest.raises(MotionFileError, match=message) as caught:
        load(tmp_path, npz(**amass()), body_model=tmp_path / "model.npz")
    assert "model.npz" in str(caught.value)


def test_pickled_model_without_the_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "smplx", None)
    (tmp_path / "SMPLH_FEMALE.pkl").write_bytes(b"")
    with pytest.raises(MotionFileError, match=r"needs the package `smplx`.*\[smplx\]"):
        load(tmp_path, npz(**amass()), body_model=tmp_path)
