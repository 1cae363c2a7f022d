"""Joints (T, J, 3) in metres, Y up -> checked, resampled, canonical joints, and the matrix that turns joints into points.

Pure functions of numpy arrays. T frames, J joints, N points a body part.
"""

import functools
import math
import os
from collections.abc import Mapping, Sequence
from itertools import accumulate

import numpy as np
from transformers.utils import logging

from .skeletons_motionpatch import Skeleton, get_skeleton, known_skeletons, lateral_axis, lateral_of_pose


logger = logging.get_logger(__name__)

MIN_FRAMES = 2  # a single pose is no motion
BONE_FRAMES = 8  # bones keep their lengths, so a few frames tell them
SHORTEST_BONE = 1e-9  # [m]
FARTHEST = 1e17  # [m]; float32 squares of what is farther away overflow
SHORTEST_BODY, LONGEST_BODY = 0.02, 10.0  # [m] from pelvis to head; centimetres make 60 of it, inches 24
MIN_LEVEL = 0.3  # sine: hips and shoulders steeper than about 70 degrees do not tell which way a person faces


class MotionInputError(ValueError):
    """A motion that cannot be turned into patches: wrong shape, empty, or not finite."""


def check_joints(joints, skeleton: Skeleton, num_persons: int = 1, name: str = "motion") -> np.ndarray:
    """Checks one motion and returns it as float32, without a copy where it is float32 already.

    Args:
        joints (`array_like` of shape `(T, J, 3)`, or `(T, P, J, 3)` where P persons are expected): Positions [m].
        skeleton (`Skeleton`): The skeleton whose J joints the second-last axis holds.
        num_persons (`int`, *optional*, defaults to 1): P.
        name (`str`, *optional*): What the messages call the motion.

    Returns:
        `np.ndarray` of dtype float32 and the shape of `joints`.

    Raises:
        MotionInputError: Another number of axes or joints, axes swapped, fewer than two frames, NaN or infinite
            positions (the message says in which frames).
    """
    try:
        if isinstance(joints, np.ma.MaskedArray):  # what is masked is missing
            joints = joints.astype(np.float32).filled(np.nan)
        array = np.asarray(joints)
        if array.dtype == object or array.dtype.kind not in "fiu":
            raise TypeError(f"dtype {array.dtype}")
        if array.dtype != np.float32:
            with np.errstate(over="ignore"):
                array = array.astype(np.float32)
    except (TypeError, ValueError) as error:
        remedy = "give joint positions of shape (T, J, 3) in metres"
        if isinstance(joints, (str, bytes, os.PathLike)):
            remedy = "read motion files with `load_motion`"
        elif isinstance(joints, Mapping):
            remedy = f"pass its joints alone (keys: {', '.join(map(str, list(joints)[:8]))})"
        raise MotionInputError(
            f"The {name} is no numeric array but {type(joints).__name__} ({error}); {remedy}."
        ) from None
    expected = "(T, J, 3)" if num_persons == 1 else f"(T, {num_persons}, J, 3)"
    num_joints = skeleton.num_joints
    if array.ndim != (3 if num_persons == 1 else 4):
        raise MotionInputError(
            f"The {name} has shape {array.shape}; {expected} is expected, with J = {num_joints} joints of skeleton "
            f"{skeleton.name!r}."
            + (" Features of 263 or 251 columns become joints with `load_motion`." if array.ndim == 2 else "")
        )
    if array.shape[0] == 0:
        raise MotionInputError(f"The {name} is empty (shape {array.shape}); at least {MIN_FRAMES} frames are needed.")
    if num_persons > 1 and array.shape[1] != num_persons:
        raise MotionInputError(f"The {name} has shape {array.shape}; axis 1 must hold the {num_persons} persons.")
    if array.shape[-1] != 3 or array.shape[-2] != num_joints:
        remedy = f"pass the `skeleton=` it was recorded with (given: {skeleton.name!r} with {num_joints} joints)."
        known = [each for each in known_skeletons() if get_skeleton(each).num_joints == array.shape[-2]]
        if known:
            remedy = f"{remedy[:-1]}; {' and '.join(map(repr, known))} would fit."
        if array.shape[-1] == 3 and array.shape[0] == num_joints:
            remedy = f"axis 0 has {num_joints} entries, so frames and joints look swapped: motion.swapaxes(0, -2)."
        elif array.shape[-2] == 3 and array.shape[-1] == num_joints:
            remedy = "joints and xyz look swapped: motion.swapaxes(-1, -2)."
        elif array.shape[-1] != 3:
            remedy = "the last axis must be x, y and z."
        raise MotionInputError(f"The {name} has shape {array.shape} where {expected} is expected: {remedy}")
    if array.shape[0] < MIN_FRAMES:
        raise MotionInputError(
            f"The {name} has {array.shape[0]} frame; at least {MIN_FRAMES} are needed. Repeat the frame for a pose."
        )
    flat = array.reshape(-1)
    with np.errstate(all="ignore"):
        finite = math.isfinite(np.dot(flat, flat))  # one fast pass tells whether to look closer
    if not finite and (bad := _unusable_frames(array)).size:
        listed = ", ".join(map(str, bad[:10])) + (", ..." if len(bad) > 10 else "")
        raise MotionInputError(
            f"The {name} holds NaN, infinite or absurdly large positions in {len(bad)} of {array.shape[0]} frames "
            f"({listed}); cut these frames out or fill them before."
        )
    return array


def _unusable_frames(array: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(~(np.abs(array) < FARTHEST).reshape(len(array), -1).all(axis=1))


def warn_of_size(joints: np.ndarray, skeleton: Skeleton) -> None:
    """Warns where a person `(T, ..., J, 3)` cannot be in metres, by the length of the torso (or a limb) in the first frame."""
    chain = max(
        (skeleton.chains[part] for part in ("torso", "left_leg", "right_leg", "left_arm", "right_arm")), key=_spans
    )
    if not _spans(chain):
        return
    pose = joints[0] if joints.ndim == 3 else joints[0, 0]
    length = math.dist(pose[chain[0]].tolist(), pose[chain[-1]].tolist())
    if SHORTEST_BODY <= length <= LONGEST_BODY:
        return
    about = f"about {10.0 ** round(math.log10(length)):g} m apart" if length > 0 else "in one place"
    logger.warning_once(
        f"{skeleton.joints[chain[0]]!r} and {skeleton.joints[chain[-1]]!r} of a motion are {about} in its first frame, but "
        "positions must be in metres: divide centimetres by 100, millimetres by 1000. (`reference_length` brings every "
        "person to one size.)"
    )


def _spans(chain: Sequence[int]) -> bool:
    return len(chain) > 1


def check_fps(fps) -> float:
    """Frames per second as float.

    Raises:
        MotionInputError: Not a finite number above zero.
    """
    try:
        value = float("nan") if isinstance(fps, (bool, np.bool_)) else float(fps)
    except (TypeError, ValueError):
        value = float("nan")
    if not (math.isfinite(value) and value > 0):
        raise MotionInputError(f"`fps` is {fps!r}; it must be a finite number above 0 [1/s].")
    return value


def resample_joints(joints: np.ndarray, fps: float, target_fps: float, method: str = "linear") -> np.ndarray:
    """Changes the frame rate along axis 0.

    Args:
        joints (`np.ndarray` of shape `(T, ..., 3)`): Positions at `fps`.
        fps (`float`): Frames per second of the input.
        target_fps (`float`): Frames per second of the result.
        method (`"linear"` or `"repeat"`, *optional*, defaults to `"linear"`):
            `"linear"` interpolates in time and keeps the duration. `"repeat"` is the official rule for KIT-ML: whole
            blocks of `int(fps)` frames become `int(target_fps)` frames by repetition (12.5 fps: 12 frames to 20,
            so time runs 4 % off), and whole-number rates are strided.

    Returns:
        `np.ndarray` of shape `(T', ..., 3)` in the dtype of `joints`.

    Raises:
        MotionInputError: A rate is not a finite number above zero, or the method is unknown.
    """
    fps, target_fps = check_fps(fps), check_fps(target_fps)
    num_frames = joints.shape[0]
    if fps == target_fps or num_frames == 0:
        return joints
    if method == "repeat":
        if int(fps) and int(fps) % int(target_fps):
            block = int(fps)
            within = np.floor(fps / target_fps * np.arange(int(target_fps))).astype(int)
            index = (np.arange(num_frames // block + 1)[:, None] * block + within).reshape(-1)
            return joints[index[index < num_frames]]
        return joints[np.arange(0, num_frames, fps / target_fps, dtype=int)]
    if method != "linear":
        raise MotionInputError(f"`method` is {method!r}; it must be 'linear' or 'repeat'.")
    # The last frame that still lies inside the recording; 1e-6 absorbs the rounding of e.g. 0.0333333 s a frame.
    length = int(np.floor((num_frames - 1) * target_fps / fps + 1e-6)) + 1
    position = np.minimum(np.arange(length) * (fps / target_fps), num_frames - 1)
    below = np.floor(position).astype(int)
    above = np.minimum(below + 1, num_frames - 1)
    weight = (position - below).astype(joints.dtype).reshape(-1, *[1] * (joints.ndim - 1))
    return joints[below] * (1 - weight) + joints[above] * weight


def facing_rotation(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """The (3, 3) turn about Y that makes the first frame face +Z, by hips and shoulders as HumanML3D does.

    A person who lies on the side has no facing direction in that frame; the first frame that has one decides then.
    """
    x, up, z = lateral_of_pose(joints[0].tolist(), skeleton)  # points to the person's left
    forward_x, forward_z = -z, x  # the first frame nearly always tells
    length = math.hypot(x, z)
    if length <= MIN_LEVEL * math.hypot(length, up):
        left = lateral_axis(joints, skeleton)  # (T, 3)
        forward = np.stack([-left[:, 2], left[:, 0]], axis=1)  # (T, 2): x and z of left x up
        lengths = np.linalg.norm(forward, axis=1)
        clear = np.flatnonzero(lengths > MIN_LEVEL * np.linalg.norm(left, axis=1))
        frame = clear[0] if len(clear) else int(np.argmax(lengths))
        (forward_x, forward_z), length = forward[frame].tolist(), float(lengths[frame])
        if length == 0:
            return np.eye(3, dtype=joints.dtype)
    x, z = forward_x / length, forward_z / length
    return np.array([[z, 0, -x], [0, 1, 0], [x, 0, z]], dtype=joints.dtype)


def canonical_channels(joints: np.ndarray, skeleton: Skeleton, scale: float = 1.0) -> np.ndarray:
    """[`canonicalize_joints`], but channels first: `(T, J, 3)` -> `(3, T, J)`, or `(T, P, J, 3)` -> `(3, T, P, J)`."""
    first = joints if joints.ndim == 3 else joints[:, 0]
    turn = facing_rotation(first, skeleton)
    if scale != 1.0:
        turn *= joints.dtype.type(scale)
    channels = turn @ joints.reshape(-1, 3).T  # one product turns all frames and brings x, y and z to the front
    x, y, z = channels
    x -= x[skeleton.pelvis]
    y -= y.min()
    z -= z[skeleton.pelvis]
    return channels.reshape(3, *joints.shape[:-1])


def canonicalize_joints(joints: np.ndarray, skeleton: Skeleton, scale: float = 1.0) -> np.ndarray:
    """Puts a motion on the floor, its first root over the origin, its first frame facing +Z, as HumanML3D does.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)` or `(T, P, J, 3)`): Positions [m], Y up. With several persons the
            first one decides and all are moved together.
        skeleton (`Skeleton`): Tells pelvis, hips and shoulders.
        scale (`float`, *optional*, defaults to 1.0): Factor on all positions.

    Returns:
        `np.ndarray` of the same shape and dtype.
    """
    return np.ascontiguousarray(np.moveaxis(canonical_channels(joints, skeleton, scale), 0, -1))


def body_length(joints: np.ndarray, skeleton: Skeleton) -> float:
    """Bone lengths along torso and legs [m], the mean over frames and sides: a size that no pose changes."""
    lengths = []
    for part in ("torso", "left_leg", "right_leg"):
        chain = list(skeleton.chains[part])
        if len(chain) > 1:
            lengths.append(bone_lengths(joints, chain).sum())
    if len(lengths) < 3:
        raise MotionInputError(f"Skeleton {skeleton.name!r} lacks torso or legs, so its size is undefined.")
    length = float(lengths[0] + (lengths[1] + lengths[2]) / 2)
    if not length > 0:
        raise MotionInputError(
            "All joints of torso and legs lie in one place, so the size of the person is undefined."
        )
    return length


def bone_lengths(joints: np.ndarray, chain: Sequence[int]) -> np.ndarray:
    """Mean distance [m] over a few frames between neighbours of a chain of K joints, `(K - 1,)`."""
    chain = list(chain)
    some = joints[:: max(1, len(joints) // BONE_FRAMES)][:, chain]
    return np.sqrt(np.square(some[:, 1:] - some[:, :-1]).sum(axis=-1)).mean(axis=0)


INTERPOLATIONS = ("half_pixel", "linear", "arc_length")


def chain_weights(
    num_joints: int, num_points: int, interpolation: str, lengths: np.ndarray | None = None
) -> np.ndarray:
    """Weights (N, K) that interpolate a chain of K joints to N points.

    `"half_pixel"` is the official code's rule, that of an image resized with its pixel centres and clamped ends
    (5 joints -> 0, 0, .281, ..., 3.719, 4, 4); `"linear"` is the paper's text, evenly from the first to the last joint
    by their number; `"arc_length"` evenly along the bones, whose K - 1 `lengths` [m] it takes.
    """
    if num_joints == 1:
        return np.ones((num_points, 1), dtype=np.float32)
    if interpolation == "half_pixel":
        position = (np.arange(num_points) + 0.5) * (num_joints / num_points) - 0.5
    elif interpolation == "linear":
        position = np.linspace(0.0, num_joints - 1, num_points) if num_points > 1 else np.zeros(1)
    elif interpolation == "arc_length":
        along = np.concatenate([[0.0], np.cumsum(np.asarray(lengths, dtype=np.float64))])
        if along[-1] <= 0:  # all joints in one place
            return chain_weights(num_joints, num_points, "linear")
        along += np.arange(num_joints) * (along[-1] * 1e-9)  # keeps bones of length zero increasing
        position = np.interp(np.linspace(0.0, along[-1], num_points), along, np.arange(num_joints))
    else:
        raise ValueError(f"`interpolation` is {interpolation!r}; it must be one of {INTERPOLATIONS}.")
    position = np.clip(position, 0, num_joints - 1)
    below = np.minimum(position.astype(int), num_joints - 2)
    weights = np.zeros((num_points, num_joints), dtype=np.float64)
    weights[np.arange(num_points), below] = 1 - (position - below)
    weights[np.arange(num_points), below + 1] += position - below
    return weights.astype(np.float32)


def points_matrix(
    skeleton: Skeleton,
    num_points: int,
    part_order: Sequence[str],
    interpolation: str = "half_pixel",
    channels: "np.ndarray | list[np.ndarray] | None" = None,
) -> np.ndarray:
    """The one matrix (J, parts * N) that takes all joints to all points: `points = joints @ matrix`.

    Columns of a part the skeleton does not have are zero. `"arc_length"` needs one person's `channels` `(3, T, J)`: each
    has bones of their own. It does for all chains at once what [`chain_weights`] does for one; a list of B such motions
    gives `(B, J, parts * N)` in little more time than one.
    """
    layout = _layout(skeleton, num_points, tuple(part_order))
    if interpolation != "arc_length":
        blocks = np.zeros((len(layout.chains), layout.num_joints, num_points), dtype=np.float32)
        for block, chain in zip(blocks, layout.chains):
            if chain:
                block[list(chain)] = chain_weights(len(chain), num_points, interpolation).T
        return _side_by_side(blocks)
    many = isinstance(channels, list)
    lengths = layout.lengths(channels if many else [channels])  # (B, parts, K - 1)
    ends = lengths.cumsum(axis=-1)
    divisor = lengths + layout.no_length
    # Share of each bone before a point, (B, parts, K - 1, N): (fraction * whole length - start of the bone) / its length.
    passed = (ends[..., -1:] / divisor)[..., None] * layout.fractions
    passed -= ((ends - lengths) / divisor)[..., None]
    np.minimum(np.maximum(passed, 0, out=passed), 1, out=passed)
    # A point lies at the chain's first joint, plus its share of the way along each bone.
    blocks = layout.bones @ passed.astype(np.float32)  # (B, parts, J, N)
    blocks += layout.first
    matrices = _side_by_side(blocks)
    return matrices if many else matrices[0]


def _side_by_side(blocks: np.ndarray) -> np.ndarray:
    """(..., parts, J, N) -> (..., J, parts * N)."""
    *batch, parts, num_joints, num_points = blocks.shape
    return blocks.swapaxes(-3, -2).reshape(*batch, num_joints, parts * num_points)


class _Layout:
    """Chains of all parts as index arrays and matrices, filled up to K joints with bones of length zero."""

    def __init__(self, skeleton: Skeleton, num_points: int, part_order: tuple[str, ...]):
        self.chains = [skeleton.chains[part] for part in part_order]
        self.num_joints = skeleton.num_joints
        counts = np.array([len(chain) for chain in self.chains])[:, None]
        most = max(2, counts.max())
        filled = np.array([[*chain, *(chain or (0,))[-1:] * most][:most] for chain in self.chains])  # (parts, K)
        self.fathers, self.children = filled[:, :-1].ravel(), filled[:, 1:].ravel()
        self.no_length = np.where(
            np.arange(1, most) < counts, SHORTEST_BONE, 1.0
        )  # keeps what has none from dividing by 0
        self.fractions = np.linspace(0.0, 1.0, num_points)
        each = np.eye(self.num_joints, dtype=np.float32)[filled]  # (parts, K, J)
        self.first = (each[:, :1] * (counts > 0)[..., None]).swapaxes(1, 2)  # (parts, J, 1)
        self.bones = np.ascontiguousarray(
            (each[:, 1:] - each[:, :-1]).swapaxes(1, 2)
        )  # (parts, J, K - 1): child - father

    def lengths(self, motions: "list[np.ndarray]") -> np.ndarray:
        """Positions (3, T, J) of B motions -> length of each bone, summed over a few frames: `(B, parts, K - 1)`.

        Sums, not means: where a point lies depends on the ratios within a chain alone.
        """
        few = [motion[:, :: max(1, motion.shape[1] // BONE_FRAMES)] for motion in motions]
        frames = few[0] if len(few) == 1 else np.concatenate(few, axis=1)  # (3, F, J), all motions at once
        bones = frames.take(self.children, axis=-1)
        bones -= frames.take(self.fathers, axis=-1)  # (3, F, parts * (K - 1))
        bones *= bones
        starts = [0, *accumulate(each.shape[1] for each in few[:-1])]
        sums = np.add.reduceat(np.sqrt(np.add.reduce(bones, axis=0)), starts, axis=0, dtype=np.float64)
        return sums.reshape(-1, *self.no_length.shape)


_layout = functools.lru_cache(maxsize=256)(_Layout)
