"""Joints in a file's units and axes -> metres and +Y up: what the body itself tells, when the file does not.

Units follow from the length of the limbs, the upward axis from the direction in which people stand. Both are guesses;
whoever calls them reports them.
"""

import math
from collections.abc import Sequence

import numpy as np

from ..skeletons_motionpatch import Skeleton, SkeletonError, lateral_axis


UNITS = {  # metres per unit
    "m": 1.0,
    "cm": 0.01,
    "mm": 0.001,
    "in": 0.0254,
    "ft": 0.3048,
    "cmu": 0.0254 / 0.45,  # the CMU database's ASF files: `length 0.45` means that 0.45 units are an inch
}
# Two longest bones of a leg (thigh and shin) of a person: 0.83 m is an adult's, half of it a small child's. Units are
# tried in order of how common they are; the bands of the first three do not touch each other.
LEG_LENGTH = 0.83
_LEG_RANGE = (0.45, 1.15)
_UNITS_BY_FREQUENCY = ("m", "cm", "mm", "cmu", "in", "ft")
# Typical lengths of other parts as shares of LEG_LENGTH, for bodies without legs: upper and lower arm, pelvis to head.
_PART_SHARES = {"left_arm": 0.53 / 0.83, "right_arm": 0.53 / 0.83, "torso": 0.60 / 0.83}
_FOOT_SHARE = 0.6  # a foot is shorter than this share of the longest bone of the leg, a shin is longer
_RIGID = 0.05  # bone lengths of a body vary less than this over time, relative to their mean
_STANDING = 0.7  # mean component of unit vectors feet -> head: within 45 degrees of an axis
_UPRIGHT = 0.9  # within 25 degrees
_FLOOR = (-0.15, 0.25)  # leg lengths: how far the lowest joint, ankle or toe, may be from a floor at zero
_SAMPLE = 256  # frames looked at

_AXES = {  # rotation matrices that take the named axis of the file to +Y, all proper: left stays left
    "y": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "-y": ((1, 0, 0), (0, -1, 0), (0, 0, -1)),
    "z": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
    "-z": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "x": ((0, -1, 0), (1, 0, 0), (0, 0, 1)),
    "-x": ((0, 1, 0), (-1, 0, 0), (0, 0, 1)),
}


def metres_per_unit(units: "str | float") -> float:
    """`"cm"` or a number of metres per unit -> metres per unit.

    Raises:
        ValueError: Unknown name, or a number that is not finite and positive.
    """
    if isinstance(units, str):
        if units.lower() not in UNITS:
            raise ValueError(f"units={units!r} is unknown; use one of {', '.join(UNITS)} or metres per unit.")
        return UNITS[units.lower()]
    if isinstance(units, bool) or not isinstance(units, (int, float, np.number)) or not 0 < float(units) < math.inf:
        raise ValueError(f"units={units!r}: a number of metres per unit must be finite and above 0.")
    return float(units)


def axis_name(up: str) -> str:
    """`"+Z"`, `"z"`, `"-y"`, ... -> the name without a plus, lower case.

    Raises:
        ValueError: It names no axis.
    """
    name = up.lower().removeprefix("+") if isinstance(up, str) else up
    if name not in _AXES:
        raise ValueError(f"up={up!r} is no axis; use one of {', '.join(_AXES)}.")
    return name


def to_y_up(joints: np.ndarray, up: str) -> np.ndarray:
    """Turns positions so that the named axis points along +Y; `(..., 3)` in and out, no copy for `"y"`."""
    name = axis_name(up)
    if name == "y":
        return joints
    return joints @ np.array(_AXES[name], dtype=joints.dtype).T


def sample_frames(joints: np.ndarray) -> np.ndarray:
    """At most `_SAMPLE` frames, evenly spread, float64."""
    step = max(1, -(-len(joints) // _SAMPLE))
    return joints[::step].astype(np.float64)


# --------------------------------------------------------------------------------------------------------------------
# Size


def _bone_lengths(joints: np.ndarray, chain: Sequence[int]) -> np.ndarray:
    """`(T, len(chain) - 1)` distances between neighbours of a chain."""
    return np.linalg.norm(np.diff(joints[:, list(chain)], axis=1), axis=-1)


def limb_length(joints: np.ndarray, skeleton: Skeleton) -> tuple[float, float]:
    """The body's size as a leg length, in the joints' units, and how much it varies over time.

    Thigh plus shin, the mean of both legs; without legs, arms or torso scaled to it.

    Returns:
        `tuple[float, float]`: the length (0 when no part can be measured) and its standard deviation over its mean.
    """
    measured = []
    for part in ("left_leg", "right_leg"):
        if len(skeleton.chains[part]) >= 3:
            measured.append(np.sort(_bone_lengths(joints, skeleton.chains[part]), axis=1)[:, -2:].sum(1))
    if not measured:
        for part, share in _PART_SHARES.items():
            chain = skeleton.chains[part]
            if len(chain) >= 3:
                lengths = _bone_lengths(joints, chain)
                lengths = lengths if part == "torso" else np.sort(lengths, axis=1)[:, -2:]
                measured.append(lengths.sum(1) / share)
                break
    if not measured:
        return 0.0, math.inf
    lengths = np.mean(measured, axis=0)
    mean = float(lengths.mean())
    return mean, float(lengths.std() / mean) if mean > 0 else math.inf


def guess_units(length: float) -> tuple[str, bool]:
    """A leg length in unknown units -> the unit, and whether the body is then of a person's size."""
    for name in _UNITS_BY_FREQUENCY:
        if _LEG_RANGE[0] <= length * UNITS[name] <= _LEG_RANGE[1]:
            return name, True
    if length <= 0:
        return "m", False
    return min(("m", "cm", "mm"), key=lambda name: abs(math.log(length * UNITS[name] / LEG_LENGTH))), False


def is_rigid(variation: float) -> bool:
    """Whether bone lengths are constant enough over time for positions to be those of a body."""
    return variation <= _RIGID


# --------------------------------------------------------------------------------------------------------------------
# Direction


def _standing(joints: np.ndarray, skeleton: Skeleton) -> tuple[str, float] | None:
    """The axis along which heads are above feet, and the mean component along it; None without a torso."""
    chains = skeleton.chains
    if not chains["torso"]:
        return None
    feet = [chains[part][-1] for part in ("left_leg", "right_leg") if chains[part]] or [chains["torso"][0]]
    direction = joints[:, chains["torso"][-1]] - joints[:, feet].mean(axis=1)
    length = np.linalg.norm(direction, axis=-1, keepdims=True)
    if not np.all(length > 0):
        return None
    mean = (direction / length).mean(axis=0)
    axis = int(np.argmax(np.abs(mean)))
    return ("-" if mean[axis] < 0 else "") + "xyz"[axis], float(abs(mean[axis]))


def _stands_on_floor(joints: np.ndarray, up: str, length: float) -> bool:
    """Whether, along an axis, the lowest joint is at about zero in nearly all frames: the floor of a recorded room."""
    heights = joints[..., "xyz".index(up[-1])] * (-1 if up[0] == "-" else 1)
    lowest = heights.min(axis=1)
    return float(np.mean((lowest > _FLOOR[0] * length) & (lowest < _FLOOR[1] * length))) > 0.9


def guess_up(joints: np.ndarray, rest: np.ndarray | None, skeleton: Skeleton) -> tuple[str, str]:
    """The upward axis of positions in unknown axes.

    People stand more than they lie: the direction from feet to head, averaged over the frames, decides when it is
    clear and agrees with the rest pose (with Y, where there is none). Where they disagree, either a person lies, or the
    axes are turned against the rest pose: the axis along which the body stays on a floor at zero decides, then how
    straight the body is along the axis. Without a rest pose, such a floor also tells who crawls or lies throughout, if
    there is one along a single axis. With nothing to go by it is Y.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): Positions.
        rest (`np.ndarray` of shape `(J, 3)`, *optional*): The rest pose.
        skeleton (`Skeleton`): Names the head and the feet.

    Returns:
        `tuple[str, str]`: the axis, and the reason.
    """
    moving = _standing(joints, skeleton)
    resting = _standing(rest[None], skeleton) if rest is not None else None
    rests = resting is not None and resting[1] >= _STANDING
    other = resting[0] if rests else "y"
    stands = moving is not None and moving[1] >= _STANDING
    length, _ = limb_length(joints, skeleton)
    if not rests and (not stands or moving[1] < _UPRIGHT):
        floors = [axis for axis in _AXES if _stands_on_floor(joints, axis, length)]
        if len(floors) == 1 and floors[0] != other:
            return floors[0], "the floor"
    if not stands:
        return other, "the rest pose" if rests else "convention"
    if moving[0] == other:
        return other, "the direction from feet to head"
    floors = _stands_on_floor(joints, moving[0], length), _stands_on_floor(joints, other, length)
    if floors[0] and not floors[1] or floors[0] == floors[1] and moving[1] >= _UPRIGHT:
        return moving[0], "the direction from feet to head" + (" and the floor" if floors[0] else "")
    return other, ("the rest pose" if rests else "convention") + (" and the floor" if floors[1] else "")


def faces_backwards(joints: np.ndarray, skeleton: Skeleton) -> bool:
    """Whether toes point against the facing direction that left and right give: swapped sides or mirrored axes.

    Only frames count in which the person is upright: who crawls or lies has the toes behind.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): Positions in metres, +Y up.
        skeleton (`Skeleton`): Names left and right.
    """
    torso = skeleton.chains["torso"]
    if len(torso) >= 2:
        spine = joints[:, torso[-1]] - joints[:, torso[0]]
        joints = joints[spine[:, 1] > _STANDING * np.linalg.norm(spine, axis=-1)]
    if not len(joints):
        return False
    try:
        lateral = lateral_axis(joints, skeleton)
    except SkeletonError:
        return False
    facing = np.stack([-lateral[:, 2], np.zeros(len(lateral)), lateral[:, 0]], axis=-1)  # left x up
    facing /= np.maximum(np.linalg.norm(facing, axis=-1, keepdims=True), 1e-9)
    steps = []
    for part in ("left_leg", "right_leg"):
        chain = skeleton.chains[part]
        if len(chain) < 5:  # pelvis, hip, knee, ankle, toe
            continue
        lengths = _bone_lengths(joints, chain).mean(axis=0)
        if lengths[-1] < _FOOT_SHARE * lengths.max():  # the last bone is the foot, not the shin
            foot = joints[:, chain[-1]] - joints[:, chain[-2]]
            steps.append((foot * facing).sum(-1) / np.maximum(np.linalg.norm(foot, axis=-1), 1e-9))
    # Feet point forward by 0.6 to 1 of their length in real takes; half of it backwards is no stance.
    return bool(steps) and float(np.mean(steps)) < -0.5


# --------------------------------------------------------------------------------------------------------------------
# T pose

# A put-in pose is left faster than bodies move: the mean speed of the joints against the root stays below 3 m/s in
# real takes, kicks and falls included. Some files blend from the pose into the take over a few frames.
_IMPOSSIBLE_SPEED = 4.0  # metres a second
_JUMP = 0.03  # metres; at low frame rates: a mean step of the joints this large ...
_JUMP_RATIO = 4.0  # ... and this many times larger than all that follow
_LOOK_AHEAD = 32  # frames
_MAX_BLEND = 0.1  # seconds


def count_t_pose_frames(joints: np.ndarray, fps: float, rest: np.ndarray | None, skeleton: Skeleton) -> int:
    """How many frames belong to a T or rest pose that was put before the take, which then goes on with a jump.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): Positions in metres, +Y up.
        fps (`float`): Frames a second.
        rest (`np.ndarray` of shape `(J, 3)`, *optional*): The rest pose, in the same units and axes.
        skeleton (`Skeleton`): Names the arms.

    Returns:
        `int`: 0 for a take that begins by itself; frame 0, and those that blend from it into the take, otherwise.
    """
    if len(joints) < 3:
        return 0
    head = joints[:_LOOK_AHEAD].astype(np.float64)
    head = head - head[:, [skeleton.pelvis]]
    steps = np.linalg.norm(np.diff(head, axis=0), axis=-1).mean(axis=1)  # (T - 1,)
    limit = max(_IMPOSSIBLE_SPEED / fps, _JUMP)
    if steps[0] < limit and (steps[0] < _JUMP or steps[0] < _JUMP_RATIO * steps[1:].max()):
        return 0
    if not _is_t_shaped(head[0], skeleton) and (rest is None or not _is_rest(head[0], rest, skeleton)):
        return 0
    fast = steps[: max(1, round(_MAX_BLEND * fps))] >= limit
    return max(1, len(fast) if fast.all() else int(np.argmin(fast)))


def _is_t_shaped(pose: np.ndarray, skeleton: Skeleton) -> bool:
    """Both arms straight, level, and apart."""
    directions = []
    for part in ("left_arm", "right_arm"):
        chain = skeleton.chains[part][-3:]  # upper arm to hand: the collar may slope
        if len(chain) < 3:
            return False
        reach = pose[chain[-1]] - pose[chain[0]]
        length = _bone_lengths(pose[None], chain).sum()
        if np.linalg.norm(reach) < 0.95 * length or length <= 0:
            return False
        directions.append(reach / np.linalg.norm(reach))
    level = max(abs(direction[1]) for direction in directions) < 0.35  # within 20 degrees of the floor
    return level and float(directions[0] @ directions[1]) < -0.85


def _is_rest(pose: np.ndarray, rest: np.ndarray, skeleton: Skeleton) -> bool:
    """The rest pose up to a turn about the vertical, within 3 % of the body's extent on average."""
    rest = rest - rest[skeleton.pelvis]
    extent = np.linalg.norm(rest, axis=-1).max()
    if extent <= 0:
        return False
    across = np.sum(rest[:, [0, 2]] * pose[:, [0, 2]])
    along = np.sum(rest[:, 0] * pose[:, 2] - rest[:, 2] * pose[:, 0])
    angle = math.atan2(along, across)  # best turn in the least-squares sense
    turned = rest.copy()
    turned[:, 0] = math.cos(angle) * rest[:, 0] - math.sin(angle) * rest[:, 2]
    turned[:, 2] = math.sin(angle) * rest[:, 0] + math.cos(angle) * rest[:, 2]
    return float(np.linalg.norm(turned - pose, axis=-1).mean()) < 0.03 * extent
