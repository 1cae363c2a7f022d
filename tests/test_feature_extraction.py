"""Joints to patches: the golden numbers, a slow loop as second route, presets, any skeleton, bad input."""

import json
import time

import numpy as np
import pytest
import torch
from conftest import GOLDEN, SHARED, needs_shared, random_motion

from modeling_motionpatch import (
    BODY_PARTS,
    MotionInputError,
    MotionPatchFeatureExtractor,
    Skeleton,
    geometry_motionpatch,
    get_skeleton,
)
from modeling_motionpatch.geometry_motionpatch import canonicalize_joints, chain_weights, resample_joints


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN / "patches.npz") as data:
        return dict(data)


@pytest.mark.parametrize("name", ["smpl22", "kit21"])
def test_official_preset_matches_golden(golden, name):
    joints = golden[f"{name}__joints"]
    extractor = MotionPatchFeatureExtractor.official(
        golden[f"{name}__joint_mean"], golden[f"{name}__joint_std"], skeleton=name
    )
    np.testing.assert_allclose(extractor.joints_to_points(joints), golden[f"{name}__points"], atol=2e-6)
    batch = extractor(joints)
    assert list(batch) == ["motion_values"] and batch["motion_values"].dtype == np.float32
    np.testing.assert_allclose(batch["motion_values"][0], golden[f"{name}__motion_values"], atol=2e-6)


def test_official_resampling_matches_golden(golden):
    result = resample_joints(golden["kit21__fps12.5"], 12.5, 20.0, "repeat")
    np.testing.assert_array_equal(result, golden["kit21__fps20"])
    extractor = MotionPatchFeatureExtractor.official(np.zeros((21, 3)), np.ones((21, 3)), "kit21")
    assert extractor.joints_to_points(golden["kit21__fps12.5"], fps=12.5).shape[0] == len(golden["kit21__fps20"])


def slow_points(joints, chain, num_points, kind):
    """One part, one frame at a time, by `np.interp`: the second route."""
    result = np.zeros((len(joints), num_points, 3))
    for t, frame in enumerate(joints):
        part = frame[list(chain)].astype(np.float64)
        if kind == "half_pixel":
            at = np.clip((np.arange(num_points) + 0.5) * len(part) / num_points - 0.5, 0, len(part) - 1)
            along = np.arange(len(part))
        elif kind == "linear":
            at, along = np.linspace(0, len(part) - 1, num_points), np.arange(len(part))
        else:
            along = np.r_[0, np.cumsum(np.linalg.norm(np.diff(part, axis=0), axis=1))]
            at = np.linspace(0, along[-1], num_points)
        for axis in range(3):
            result[t, :, axis] = np.interp(at, along, part[:, axis])
    return result


@pytest.mark.parametrize("kind", ["half_pixel", "linear", "arc_length"])
@pytest.mark.parametrize("patch_size", [8, 16, 32])
@pytest.mark.parametrize("name", ["smpl22", "kit21", "ntu25", "h36m17"])
def test_matrix_agrees_with_a_loop(kind, patch_size, name):
    skeleton = get_skeleton(name)
    joints = np.repeat(random_motion(1, skeleton.num_joints), 20, axis=0)  # rigid, so bones keep their lengths
    joints = joints + np.linspace(0, 1, 20, dtype=np.float32)[:, None, None]
    extractor = MotionPatchFeatureExtractor(
        patch_size=patch_size, skeleton=name, interpolation=kind, normalization="none", do_canonicalize=False
    )
    points = extractor.joints_to_points(joints)
    for index, part in enumerate(BODY_PARTS):
        expected = slow_points(joints, skeleton.chains[part], patch_size, kind)
        np.testing.assert_allclose(points[:, index * patch_size : (index + 1) * patch_size], expected, atol=2e-5)


def test_facts_of_the_official_interpolation():
    positions = chain_weights(5, 16, "half_pixel") @ np.arange(5)
    np.testing.assert_allclose(positions[[0, 1, 2, 13, 14, 15]], [0, 0, 0.28125, 3.71875, 4, 4], atol=1e-6)


def test_shapes_masks_and_batches():
    motions = [random_motion(length, seed=length) for length in (20, 224, 300, 33)]
    extractor = MotionPatchFeatureExtractor().fit(motions)
    batch = extractor(motions, return_tensors="pt")
    assert batch["motion_values"].shape == (4, 3, 224, 80) and batch["motion_values"].dtype == torch.float32
    assert batch["motion_attention_mask"].dtype == torch.int64
    assert batch["motion_attention_mask"].sum((1, 2)).tolist() == [2 * 5, 14 * 5, 14 * 5, 3 * 5]
    assert (batch["motion_values"][0, :, 20:] == 0).all() and (batch["motion_values"][0, :, 19] != 0).any()
    for index, motion in enumerate(motions):  # one at a time gives the same
        torch.testing.assert_close(
            extractor(motion, return_tensors="pt")["motion_values"][0], batch["motion_values"][index]
        )
    prepared = extractor.prepare(motions)
    torch.testing.assert_close(extractor.pad(prepared, return_tensors="pt")["motion_values"], batch["motion_values"])
    low = extractor.pad(prepared[:1], num_frames=32)["motion_values"]
    np.testing.assert_array_equal(low[0], batch["motion_values"][0, :, :32].numpy())


@pytest.mark.parametrize("normalization", ["point", "joint", "none"])
@pytest.mark.parametrize("kind", ["half_pixel", "arc_length"])
def test_long_motions_are_normalised_as_their_pieces_are(normalization, kind):
    """However many frames: those that a model reads at once, and more."""
    motion = np.repeat(random_motion(1), 600, axis=0) + np.linspace(0, 1, 600, dtype=np.float32)[:, None, None]
    extractor = MotionPatchFeatureExtractor(normalization=normalization, interpolation=kind, do_canonicalize=False)
    extractor.fit([random_motion(90)])
    pieces = [extractor.joints_to_points(motion[first:end]) for first, end in ((0, 100), (100, 356), (356, 600))]
    np.testing.assert_allclose(extractor.joints_to_points(motion), np.concatenate(pieces), atol=1e-4)


def test_inputs_of_every_kind_agree():
    extractor = MotionPatchFeatureExtractor(normalization="none")
    motion = random_motion(40)
    expected = extractor(motion, fps=20)["motion_values"]

    class Recording:
        joints, fps, skeleton = motion, 20.0, get_skeleton("smpl22")

    for given in (
        torch.from_numpy(motion),
        motion.tolist(),
        [motion],
        motion.astype(np.float64),
        Recording(),
        [Recording()],
    ):
        np.testing.assert_allclose(extractor(given, fps=20)["motion_values"], expected, atol=1e-6)
    both = extractor([motion, motion[:30]], fps=[20, 20], skeleton=["smpl22", "smpl22"])
    np.testing.assert_array_equal(both["motion_values"][0], expected[0])


def test_statistics_are_those_of_all_frames():
    motions = [random_motion(length, seed=length) for length in (30, 90)]
    for normalization in ("point", "joint"):
        raw = MotionPatchFeatureExtractor(normalization="none")
        fitted = MotionPatchFeatureExtractor(normalization=normalization).fit(motions)
        if normalization == "point":
            values = np.concatenate([raw.joints_to_points(motion) for motion in motions])
        else:
            values = np.concatenate([canonicalize_joints(motion, get_skeleton("smpl22")) for motion in motions])
        np.testing.assert_allclose(fitted.mean, values.mean(0), atol=1e-4)
        np.testing.assert_allclose(fitted.std, values.std(0), rtol=1e-3, atol=1e-4)
        points = np.concatenate([fitted.joints_to_points(motion) for motion in motions])
        if normalization == "point":
            assert abs(points.mean()) < 1e-3 and abs(points.std() - 1) < 1e-2


def test_points_and_joints_z_scores_differ():
    """The paper normalises points, the official code joints: the presets must not be the same thing."""
    motions = [random_motion(50, seed=seed) for seed in range(2)]
    paper = MotionPatchFeatureExtractor.paper().fit(motions)
    assert paper.padding == "zeros" and paper.interpolation == "linear" and paper.normalization == "point"
    stats = MotionPatchFeatureExtractor(normalization="joint", do_canonicalize=False).fit(motions)
    official = MotionPatchFeatureExtractor.official(stats.mean, stats.std)
    assert official.part_order != paper.part_order
    assert np.abs(official(motions[0])["motion_values"] - paper(motions[0])["motion_values"]).max() > 0.1


def test_save_and_load(tmp_path):
    extractor = MotionPatchFeatureExtractor(patch_size=8, skeleton="kit21", interpolation="linear")
    motion = random_motion(50, 21)
    extractor.fit([motion])
    extractor.save_pretrained(tmp_path)
    again = MotionPatchFeatureExtractor.from_pretrained(tmp_path)
    np.testing.assert_array_equal(again(motion)["motion_values"], extractor(motion)["motion_values"])
    assert again.to_dict() == extractor.to_dict()
    json.loads(extractor.to_json_string())


def test_custom_skeleton_is_saved_with_it(tmp_path):
    skeleton = Skeleton.from_hierarchy(
        ["hips", "spine", "head", "left_hip", "left_foot", "right_hip", "right_foot"], [-1, 0, 1, 0, 3, 0, 5], "mine"
    )
    extractor = MotionPatchFeatureExtractor(skeleton=skeleton)
    extractor.save_pretrained(tmp_path)
    again = MotionPatchFeatureExtractor.from_pretrained(tmp_path)
    assert get_skeleton(again.skeleton) == skeleton


def test_missing_parts_are_masked():
    skeleton = Skeleton.from_hierarchy(
        ["hips", "spine", "head", "left_hip", "left_foot", "right_hip", "right_foot"], [-1, 0, 1, 0, 3, 0, 5]
    )
    motion = random_motion(40, 7)
    whole = random_motion(40, 22)
    for padding in ("mask", "zeros"):
        extractor = MotionPatchFeatureExtractor(padding=padding).fit([whole])
        batch = extractor([motion, whole], skeleton=[skeleton, "smpl22"])
        present = [bool(skeleton.chains[part]) for part in BODY_PARTS]
        assert present == [True, False, False, True, True]
        assert batch["motion_attention_mask"][0].any(axis=0).tolist() == present
        assert batch["motion_attention_mask"][1].any(axis=0).all()
        assert (batch["motion_values"][0, :, :, 16:48] == 0).all()


def test_frames_and_two_persons():
    frames = MotionPatchFeatureExtractor(input_kind="frames").fit([random_motion(40)])
    batch = frames([random_motion(40), random_motion(60)])
    assert batch["motion_values"].shape == (2, 3, 224, 22) and batch["motion_attention_mask"].shape == (2, 224, 1)
    assert batch["motion_attention_mask"].sum((1, 2)).tolist() == [40, 60]
    pair = np.stack([random_motion(40), random_motion(40, seed=1)], axis=1)
    two = MotionPatchFeatureExtractor(num_persons=2, normalization="none")
    batch = two(pair)
    assert batch["motion_values"].shape == (1, 2, 3, 224, 80) and batch["motion_attention_mask"].shape == (1, 2, 14, 5)
    one = MotionPatchFeatureExtractor(normalization="none", do_canonicalize=False)
    moved = canonicalize_joints(pair, get_skeleton("smpl22"))  # both persons by the same turn and shift
    for person in range(2):
        np.testing.assert_allclose(
            batch["motion_values"][0, person], one(moved[:, person])["motion_values"][0], atol=1e-5
        )
    np.testing.assert_allclose(
        np.linalg.norm(moved[:, 0] - moved[:, 1], axis=-1), np.linalg.norm(pair[:, 0] - pair[:, 1], axis=-1), atol=1e-5
    )


@pytest.mark.parametrize("angle", [0.3, 1.7, 3.1, -2.0])
def test_canonicalisation_undoes_turns_and_shifts(angle):
    skeleton = get_skeleton("smpl22")
    joints = random_motion(50)
    expected = canonicalize_joints(joints, skeleton)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)
    moved = canonicalize_joints(joints @ turn.T + np.float32([3, 1, -2]), skeleton)
    np.testing.assert_allclose(moved, expected, atol=1e-4)
    np.testing.assert_allclose(expected[0, 0, [0, 2]], 0, atol=1e-6)
    assert abs(expected[..., 1].min()) < 1e-6
    np.testing.assert_allclose(canonicalize_joints(expected, skeleton), expected, atol=1e-5)


@needs_shared
def test_canonicalisation_is_humanml3ds():
    joints = np.load(SHARED / "golden" / "humanml3d_sample" / "new_joints_012314.npy")
    np.testing.assert_allclose(canonicalize_joints(joints, get_skeleton("smpl22")), joints, atol=1e-5)


@pytest.mark.parametrize("fps", [10.0, 12.5, 30.0, 59.94, 60.0, 120.0])
def test_linear_resampling_keeps_time(fps):
    time_s = np.arange(int(4 * fps)) / fps
    joints = np.stack([np.stack([time_s, np.sin(time_s), time_s**2], -1)], 1).astype(np.float32)
    result = resample_joints(joints, fps, 20.0)
    expected = np.arange(len(result)) / 20
    np.testing.assert_allclose(result[:, 0, 0], expected, atol=1e-4)
    assert abs(result[:, 0, 1] - np.sin(expected)).max() < 0.01
    assert time_s[-1] - 1 / 20 < expected[-1] <= time_s[-1] + 1e-4


BAD = {
    "wrong joints": (random_motion(40, 19), {}, "given: 'smpl22' with 22 joints.\\.$"),
    "another skeleton": (random_motion(40, 21), {}, "given: 'smpl22' with 22 joints.; 'kit21' would fit"),
    "swapped": (random_motion(40).swapaxes(0, 1), {}, "swapped"),
    "xyz first": (random_motion(40).swapaxes(1, 2), {}, "xyz look swapped"),
    "features": (np.zeros((40, 263)), {}, "load_motion"),
    "empty": (random_motion(40)[:0], {}, "empty"),
    "single frame": (random_motion(1), {}, "1 frame"),
    "nan": (np.where(np.arange(40)[:, None, None] == 7, np.nan, random_motion(40)), {}, r"frames \(7\)"),
    "inf": (np.where(np.arange(40)[:, None, None] == 39, np.inf, random_motion(40)), {}, r"frames \(39\)"),
    "strings": (np.array([["a"]]), {}, "numeric"),
    "ragged": ([[[0.0, 0.0, 0.0]], [[0.0]]], {}, "numeric"),
    "fps zero": (random_motion(40), {"fps": 0}, "fps"),
    "fps negative": (random_motion(40), {"fps": -20}, "fps"),
    "fps nan": (random_motion(40), {"fps": float("nan")}, "fps"),
    "fps text": (random_motion(40), {"fps": "fast"}, "fps"),
    "skeleton": (random_motion(40), {"skeleton": "smpl23"}, "Unknown skeleton"),
    "counts": ([random_motion(40)], {"fps": [20, 20]}, "1 motions but 2"),
    "none": ([], {}, "No motion"),
    "nothing": (None, {}, "NoneType"),
    "a path": ("walk.bvh", {}, "load_motion"),
    "a row of a data set": ({"motion": random_motion(40), "fps": 20}, {}, "joints alone .keys: motion, fps"),
    "booleans": (random_motion(40) > 0, {}, "dtype bool"),
    "two axes a joint": (random_motion(40)[..., :2], {}, "x, y and z"),
    "huge": (random_motion(40).astype(float) * 1e30, {}, "absurdly large positions in 40 of 40"),
    "huge beyond float32": (random_motion(40).astype(float) * 1e200, {}, "absurdly large positions in 40 of 40"),
    "masked": (
        np.ma.masked_array(random_motion(40), np.arange(40 * 66).reshape(40, 22, 3) == 66),
        {},
        r"frames \(1\)",
    ),
    "one of many": ([random_motion(40), np.full((40, 22, 3), np.nan)], {}, "motion 1 holds NaN"),
    "two persons": (np.stack([random_motion(40)] * 2, axis=1), {}, "num_persons=2"),
    "too short at this rate": (random_motion(3), {"fps": 200}, "3 frames at 200 fps is shorter than 2 frames"),
    "fps true": (random_motion(40), {"fps": True}, "fps"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_motions_are_refused(case):
    motion, kwargs, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        MotionPatchFeatureExtractor(normalization="none")(motion, **kwargs)


@pytest.mark.parametrize(
    "factor,about", [(1.0, None), (100.0, "about 100 m apart"), (1000.0, "about 1000 m"), (0.0, "one place")]
)
def test_other_units_are_noticed(factor, about, monkeypatch):
    warnings = []
    monkeypatch.setattr(geometry_motionpatch.logger, "warning_once", warnings.append)
    motion = random_motion(40) * factor
    MotionPatchFeatureExtractor(normalization="none")(motion)
    MotionPatchFeatureExtractor(normalization="none", num_persons=2)(np.stack([motion, motion + 20], axis=1))
    assert [about in warning for warning in warnings] == ([True, True] if about else [])
    if factor:  # a size of its own is what `reference_length` is for
        MotionPatchFeatureExtractor(normalization="none", reference_length=1.4)(motion)
        assert len(warnings) == (2 if about else 0)
    else:
        with pytest.raises(MotionInputError, match="one place"):
            MotionPatchFeatureExtractor(normalization="none", reference_length=1.4)(motion)


def test_one_at_a_time_and_all_together_agree():
    motions = [random_motion(length, 25, seed=length) for length in (2, 3, 9, 40, 300)]
    extractor = MotionPatchFeatureExtractor(skeleton="ntu25").fit(motions)
    together = extractor(motions)["motion_values"]
    alone = np.concatenate([extractor(motion)["motion_values"] for motion in motions])
    np.testing.assert_allclose(together, alone, atol=1e-6 * np.abs(alone).max())


def test_rates_and_skeletons_as_columns():
    motions = [random_motion(40), random_motion(40, 21)]
    extractor = MotionPatchFeatureExtractor(normalization="none")
    expected = extractor(motions, skeleton=["smpl22", "kit21"], fps=[20.0, 12.5])["motion_values"]
    for rates in (np.array([20.0, 12.5]), torch.tensor([20.0, 12.5])):
        found = extractor(motions, skeleton=np.array(["smpl22", "kit21"]), fps=rates)["motion_values"]
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "kwargs",
    [
        {"patch_size": 16.0}, {"patch_size": 0}, {"num_persons": 0}, {"num_persons": True}, {"reference_length": 0},
        {"reference_length": -1.0}, {"patchsize": 8}, {"normalisation": "joint"},
        {"normalization": "points"}, {"interpolation": "cubic"}, {"padding": "max"}, {"patch_size": 15},
        {"max_frames": 100}, {"part_order": ["torso"]}, {"mean": np.zeros((80, 3))},
        {"mean": np.zeros((22, 3)), "std": np.ones((22, 3))}, {"mean": np.full((80, 3), np.nan), "std": np.ones((80, 3))},
        {"fps": 0},
    ],
)  # fmt: skip
def test_bad_options_are_refused(kwargs):
    with pytest.raises(ValueError):
        MotionPatchFeatureExtractor(**kwargs)


def test_joint_statistics_refuse_another_skeleton():
    extractor = MotionPatchFeatureExtractor.official(np.zeros((22, 3)), np.ones((22, 3)))
    with pytest.raises(MotionInputError, match="kit21"):
        extractor(random_motion(40, 21), skeleton="kit21")
    with pytest.raises(TypeError, match="speed"):
        extractor(random_motion(40), speed=2)


def test_much_faster_than_a_loop():
    """At least 100 times a loop over frames and parts; the loop here is lean, the official one slower."""
    motions = [random_motion(140, seed=seed) for seed in range(16)]
    extractor = MotionPatchFeatureExtractor.official(np.zeros((22, 3)), np.ones((22, 3)))
    extractor(motions)

    def loop():
        for motion in motions[:2]:
            for chain in get_skeleton("smpl22").chains.values():
                slow_points(motion, chain, 16, "half_pixel")

    def seconds(function):
        best = np.inf
        for _ in range(3):
            start = time.process_time()
            function()
            best = min(best, time.process_time() - start)
        return best

    assert seconds(loop) / 2 > 20 * seconds(lambda: extractor(motions)) / 16  # benchmarks/ measure it without noise
