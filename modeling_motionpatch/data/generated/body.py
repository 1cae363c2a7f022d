"""Controls over time (where pelvis, hands and feet are) -> joint positions of a skeleton, in metres, +Y up.

A [`Body`] is a skeleton with bone lengths in metres. `Body.pose` turns the controls of `tracks.py` into joint positions
`(T, J, 3)`: forward kinematics for pelvis, spine, neck and head, two-bone inverse kinematics for arms and legs, so that
a planted foot stays where it is and bone lengths never change. Left is the person's own left: +X when facing +Z.

The rest positions are rounded from common anthropometry (stature 1.65 to 1.80 m); each skeleton has its own
proportions.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from ...skeletons_motionpatch import Skeleton, SkeletonError, get_skeleton
from .rotations import (
    blend_turns,
    cross,
    frame,
    smooth_above,
    tilt_matrix,
    trunk_matrix,
    turn_z,
    two_bones,
    wrap,
    yaw_matrix,
)
from .tracks import CHANNELS


# Where a joint is in the T pose (metres) and which segment turns with it. `trunk:f` is a spine joint that has f of the
# whole bend of the trunk. Only the left half and the midline are written; the right half mirrors it.
_SMPL22 = {
    "pelvis": ((0, 0.93, 0), "pelvis"),
    "left_hip": ((0.070, 0.845, -0.01), "thigh"),
    "left_knee": ((0.095, 0.46, 0.0), "shin"),
    "left_ankle": ((0.090, 0.07, -0.03), "foot"),
    "left_foot": ((0.105, 0.015, 0.10), "toe"),
    "spine1": ((0, 1.04, -0.025), "trunk:0.35"),
    "spine2": ((0, 1.175, -0.005), "trunk:0.7"),
    "spine3": ((0, 1.23, 0.0), "trunk:1"),
    "neck": ((0, 1.44, -0.03), "neck"),
    "head": ((0, 1.535, 0.015), "head"),
    "left_collar": ((0.075, 1.345, -0.02), "collar"),
    "left_shoulder": ((0.185, 1.385, -0.03), "upperarm"),
    "left_elbow": ((0.445, 1.385, -0.05), "forearm"),
    "left_wrist": ((0.700, 1.385, -0.05), "hand"),
}
_KIT21 = {
    "root": ((0, 0.95, 0), "pelvis"),
    "pelvis": ((0, 1.01, 0), "trunk:0.3"),
    "torso": ((0, 1.16, -0.01), "trunk:1"),
    "chest": ((0, 1.47, -0.01), "neck"),
    "head": ((0, 1.60, 0.02), "head"),
    "left_shoulder": ((0.190, 1.44, -0.01), "upperarm"),
    "left_elbow": ((0.475, 1.44, -0.02), "forearm"),
    "left_wrist": ((0.735, 1.44, -0.02), "hand"),
    "left_hip": ((0.095, 0.93, 0), "thigh"),
    "left_knee": ((0.095, 0.50, 0.005), "shin"),
    "left_ankle": ((0.095, 0.085, -0.02), "foot"),
    "left_foot": ((0.105, 0.035, 0.06), "foot"),
    "left_toe": ((0.110, 0.020, 0.15), "toe"),
}
_MIXAMO = {
    "mixamorig:Hips": ((0, 1.01, 0), "pelvis"),
    "mixamorig:Spine": ((0, 1.11, -0.01), "trunk:0.3"),
    "mixamorig:Spine1": ((0, 1.22, -0.015), "trunk:0.65"),
    "mixamorig:Spine2": ((0, 1.34, -0.015), "trunk:1"),
    "mixamorig:Neck": ((0, 1.49, -0.02), "neck"),
    "mixamorig:Head": ((0, 1.58, 0.0), "head"),
    "mixamorig:HeadTop_End": ((0, 1.78, 0.02), "head"),
    "mixamorig:LeftShoulder": ((0.05, 1.455, -0.01), "collar"),
    "mixamorig:LeftArm": ((0.175, 1.445, -0.03), "upperarm"),
    "mixamorig:LeftForeArm": ((0.450, 1.445, -0.04), "forearm"),
    "mixamorig:LeftHand": ((0.725, 1.445, -0.04), "hand"),
    "mixamorig:LeftHandThumb1": ((0.750, 1.430, -0.005), "hand"),
    "mixamorig:LeftHandThumb2": ((0.780, 1.420, 0.020), "hand"),
    "mixamorig:LeftHandThumb3": ((0.805, 1.415, 0.035), "hand"),
    "mixamorig:LeftHandIndex1": ((0.820, 1.445, -0.010), "hand"),
    "mixamorig:LeftHandIndex2": ((0.855, 1.443, -0.008), "hand"),
    "mixamorig:LeftHandIndex3": ((0.880, 1.440, -0.007), "hand"),
    "mixamorig:LeftUpLeg": ((0.090, 0.955, 0.0), "thigh"),
    "mixamorig:LeftLeg": ((0.092, 0.525, 0.005), "shin"),
    "mixamorig:LeftFoot": ((0.092, 0.095, -0.025), "foot"),
    "mixamorig:LeftToeBase": ((0.097, 0.020, 0.105), "toe"),
    "mixamorig:LeftToe_End": ((0.100, 0.018, 0.170), "toe"),
}
_UNREAL = {  # a short, broad person; no finger, no end joint
    "pelvis": ((0, 0.87, 0), "pelvis"),
    "spine_01": ((0, 0.98, -0.02), "trunk:0.4"),
    "spine_02": ((0, 1.13, -0.02), "trunk:0.75"),
    "spine_03": ((0, 1.25, -0.01), "trunk:1"),
    "neck_01": ((0, 1.40, -0.02), "neck"),
    "head": ((0, 1.49, 0.0), "head"),
    "clavicle_l": ((0.03, 1.37, -0.01), "collar"),
    "upperarm_l": ((0.205, 1.355, -0.03), "upperarm"),
    "lowerarm_l": ((0.455, 1.355, -0.045), "forearm"),
    "hand_l": ((0.690, 1.355, -0.045), "hand"),
    "thigh_l": ((0.100, 0.82, 0.0), "thigh"),
    "calf_l": ((0.105, 0.44, 0.005), "shin"),
    "foot_l": ((0.105, 0.075, -0.025), "foot"),
    "ball_l": ((0.115, 0.018, 0.100), "toe"),
}
_PARENTS = {  # of the left half and the midline, for the skeletons that are not registered
    "mixamo": {
        "Hips": None, "Spine": "Hips", "Spine1": "Spine", "Spine2": "Spine1", "Neck": "Spine2", "Head": "Neck",
        "HeadTop_End": "Head", "LeftShoulder": "Spine2", "LeftArm": "LeftShoulder", "LeftForeArm": "LeftArm",
        "LeftHand": "LeftForeArm", "LeftHandThumb1": "LeftHand", "LeftHandThumb2": "LeftHandThumb1",
        "LeftHandThumb3": "LeftHandThumb2", "LeftHandIndex1": "LeftHand", "LeftHandIndex2": "LeftHandIndex1",
        "LeftHandIndex3": "LeftHandIndex2", "LeftUpLeg": "Hips", "LeftLeg": "LeftUpLeg", "LeftFoot": "LeftLeg",
        "LeftToeBase": "LeftFoot", "LeftToe_End": "LeftToeBase",
    },
    "unreal": {
        "pelvis": None, "spine_01": "pelvis", "spine_02": "spine_01", "spine_03": "spine_02", "neck_01": "spine_03",
        "head": "neck_01", "clavicle_l": "spine_03", "upperarm_l": "clavicle_l", "lowerarm_l": "upperarm_l",
        "hand_l": "lowerarm_l", "thigh_l": "pelvis", "calf_l": "thigh_l", "foot_l": "calf_l", "ball_l": "foot_l",
    },
}  # fmt: skip
_REST = {"smpl22": _SMPL22, "kit21": _KIT21, "mixamo": _MIXAMO, "unreal": _UNREAL}

SIDES = ("left", "right")
GENERATED_SKELETONS = tuple(_REST)
REFERENCE_PELVIS_HEIGHT = 0.93  # metres; lengths in the actions are for a person whose pelvis is this high

_REACH = 0.985  # share of the leg's length that a planted leg may use, so that knees never lock
_ELLIPSE = (0.185, 0.14)  # metres: half width and half depth of the trunk, within which no wrist may be
_RAISED_ELBOW = np.array((0.55, 0.0, 0.65))  # added to where the elbow points as the hand comes up
_FINGER_FLOOR = 0.012  # metres that finger tips stay above the floor
_HEEL_BEHIND_ANKLE = 0.045  # metres


def _twin(joint: str) -> str:
    """The right joint of a left one."""
    if joint.endswith("_l"):
        return joint[:-2] + "_r"
    return joint.replace("left", "right").replace("Left", "Right")


@cache
def generated_skeleton(name: str) -> Skeleton:
    """`Skeleton` of one of [`GENERATED_SKELETONS`].

    Raises:
        SkeletonError: No proportions are known for the name.
    """
    if name not in _REST:
        raise SkeletonError(
            f"No body proportions are known for the skeleton {name!r}, so no motion can be generated on it; "
            f"there are {', '.join(GENERATED_SKELETONS)}."
        )
    if name not in _PARENTS:
        return get_skeleton(name)
    prefix = "mixamorig:" if name == "mixamo" else ""
    parents = {prefix + child: parent and prefix + parent for child, parent in _PARENTS[name].items()}
    parents |= {_twin(child): parent and _twin(parent) for child, parent in parents.items()}
    joints = list(parents)
    return Skeleton.from_hierarchy(joints, [joints.index(p) if p else -1 for p in parents.values()], name=name)


@cache
def _rest(name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Rest positions `(J, 3)` in metres and the segment of each joint, as `trunk:f`, `head`, `left_thigh`, ..."""
    skeleton, table = generated_skeleton(name), _REST[name]
    positions, segments = [], []
    for joint in skeleton.joints:
        left = joint in table
        source = joint if left else next(key for key in table if _twin(key) == joint)
        (x, y, z), segment = table[source]
        positions.append((x if left else -x, y, z))
        midline = segment in ("pelvis", "neck", "head") or segment.startswith("trunk")
        segments.append(segment if midline else f"{'left' if left else 'right'}_{segment}")
    return np.array(positions), tuple(segments)


@dataclass(frozen=True)
class Proportions:
    """Factors on the lengths of one person, 1 for the skeleton's own table.

    Args:
        size (`float`): Of everything.
        legs, arms, trunk, width (`float`): Of the legs, the arms, the spine with neck and head, and the widths of hips
            and shoulders, on top of `size`.
    """

    size: float = 1.0
    legs: float = 1.0
    arms: float = 1.0
    trunk: float = 1.0
    width: float = 1.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Proportions":
        """One person of 1.5 to 1.95 m stature or so, with slightly different limbs."""
        limbs = np.clip(rng.normal(1.0, 0.025, size=4), 0.94, 1.06)
        return cls(float(np.clip(rng.normal(1.0, 0.06), 0.88, 1.13)), *(float(value) for value in limbs))


class Body:
    """A skeleton with the bone lengths of one person.

    Args:
        skeleton (`str`): One of [`GENERATED_SKELETONS`].
        proportions ([`Proportions`], *optional*): The person; the table's own by default.
    """

    def __init__(self, skeleton: str, proportions: Proportions | None = None):
        self.name = skeleton
        self.skeleton = generated_skeleton(skeleton)
        self.proportions = proportions or Proportions()
        rest, self.segments = _rest(skeleton)
        parents = self.skeleton.parents
        self.order = _parents_first(parents)
        offsets = np.array([rest[j] - rest[p] if p >= 0 else rest[j] for j, p in enumerate(parents)])
        offsets = offsets * self._factors()
        self.offsets = offsets
        self.root = parents.index(-1)
        at = dict(zip(self.segments[::-1], range(len(parents) - 1, -1, -1)))  # first joint of each segment
        self.joint_of = at
        rest = self._rest_positions()
        self.pelvis_height = float(rest[self.root, 1] - rest[:, 1].min() + 0.015)
        rest = rest + [0, self.pelvis_height - rest[self.root, 1], 0]
        self.rest = rest
        self.scale = self.pelvis_height / REFERENCE_PELVIS_HEIGHT
        self.arm_lengths = tuple(np.linalg.norm(offsets[at[f"left_{part}"]]) for part in ("forearm", "hand"))
        self.leg_lengths = tuple(np.linalg.norm(offsets[at[f"left_{part}"]]) for part in ("shin", "foot"))
        self.arm_length, self.leg_length = sum(self.arm_lengths), sum(self.leg_lengths)
        self.ankle_height = float(rest[at["left_foot"], 1])
        ball = at.get("left_toe", at["left_foot"])
        self.ball = rest[ball] - rest[at["left_foot"]]  # ankle to ball of the left foot
        fingers = [rest[j] - rest[at["left_hand"]] for j, s in enumerate(self.segments) if s == "left_hand"]
        self.hand_length = float(max(np.linalg.norm(offset) for offset in fingers))  # 0 without fingers
        self.stance_width = float(rest[at["left_foot"], 0])

    def _factors(self) -> np.ndarray:
        """`(J, 3)` factors on the offsets."""
        p = self.proportions
        factors = np.full((len(self.segments), 3), p.size)
        for index, segment in enumerate(self.segments):
            part = segment.split("_")[-1]
            if part in ("shin", "foot", "toe"):
                factors[index] *= p.legs
            elif part in ("forearm", "hand"):
                factors[index] *= p.arms
            elif part in ("thigh", "collar", "upperarm"):
                factors[index] *= (p.width, 1.0, 1.0)
            else:
                factors[index] *= p.trunk
        return factors

    def _rest_positions(self) -> np.ndarray:
        positions = np.zeros_like(self.offsets)
        for joint in self.order:
            parent = self.skeleton.parents[joint]
            positions[joint] = self.offsets[joint] + (positions[parent] if parent >= 0 else 0)
        return positions

    # ----------------------------------------------------------------------------------------------------------------

    def pose(self, controls: np.ndarray) -> np.ndarray:
        """Controls -> joint positions.

        Args:
            controls (`np.ndarray` of shape `(T, C)`): As `tracks.CHANNELS` lays them out.

        Returns:
            `np.ndarray` of shape `(T, J, 3)`: float64 metres, +Y up, floor at 0.
        """
        c = {name: controls[:, where] for name, where in CHANNELS.items()}
        ankles, foot_turns = self._feet(c)
        pelvis_turn = yaw_matrix(c["yaw"][:, 0] + c["pelvis"][:, 1]) @ tilt_matrix(
            c["pelvis"][:, 0], c["pelvis"][:, 2]
        )
        root = np.empty((len(controls), 3))
        root[:, [0, 2]] = c["pos"]
        root[:, 1] = c["height"][:, 0] * self.pelvis_height + c["level"][:, 0]
        root[:, 1] -= self._too_high(root, pelvis_turn, ankles, c)

        turns = {"pelvis": pelvis_turn}
        for segment in self.segments:
            if segment.startswith("trunk") and segment not in turns:
                turns[segment] = pelvis_turn @ trunk_matrix(c["spine"] * float(segment.split(":")[1]))
        chest = pelvis_turn @ trunk_matrix(c["spine"])
        turns["neck"] = chest @ trunk_matrix(0.4 * c["head"])
        turns["head"] = chest @ trunk_matrix(c["head"])
        for index, side in enumerate(SIDES):
            self._leg(index, side, root, turns, ankles[index], foot_turns[index], c)
            self._arm(index, side, root, turns, chest, c)
        positions = self._forward(root, turns)
        return positions

    def _forward(self, root, turns, only: int | None = None) -> np.ndarray:
        """Positions `(T, J, 3)` of all joints, or `(T, 3)` of the joint `only` and nothing beside its ancestors."""
        parents = self.skeleton.parents
        if only is not None:
            path = [only]
            while parents[path[-1]] >= 0:
                path.append(parents[path[-1]])
            position = root
            for joint in path[-2::-1]:
                position = position + turns[self.segments[parents[joint]]] @ self.offsets[joint]
            return position
        positions = np.empty((len(root), len(parents), 3))
        for joint in self.order:
            parent = parents[joint]
            if parent < 0:
                positions[:, joint] = root
            else:
                positions[:, joint] = positions[:, parent] + turns[self.segments[parent]] @ self.offsets[joint]
        return positions

    def _feet(self, c) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """World positions `(T, 3)` of the ankles and the turn `(T, 3, 3)` of each foot that stands on the floor.

        A foot that is pitched turns about its ball (heel up) or its heel (toes up), which stay where they are.
        """
        ankles, turns = [], []
        for index, sign in enumerate((1.0, -1.0)):
            place = c["foot"][:, 3 * index : 3 * index + 3]
            pitch, free = c["foot_pitch"][:, index], c["foot_free"][:, index]
            turn = yaw_matrix(c["foot_yaw"][:, index])
            ball = self.ball * (sign, 1, 1)
            heel = np.array([0, -self.ankle_height, -_HEEL_BEHIND_ANKLE * self.scale])
            tilt = tilt_matrix(pitch, 0 * pitch)
            pivot = np.where(pitch[:, None] > 0, ball, heel)
            lever = pivot - np.einsum("tij,tj->ti", tilt, pivot)
            ankle = place + [0, self.ankle_height, 0]
            ankle = ankle + (1 - free)[:, None] * np.einsum("tij,tj->ti", turn, lever)
            ankles.append(ankle)
            turns.append(turn @ tilt)
        return ankles, turns

    def _too_high(self, root, pelvis_turn, ankles, c) -> np.ndarray:
        """How far the pelvis must come down `(T,)` so that both standing legs reach the floor, smooth in time."""
        reach = _REACH * self.leg_length
        excess = np.zeros(len(root))
        for index, side in enumerate(SIDES):
            hip = root + pelvis_turn @ self.offsets[self.joint_of[f"{side}_thigh"]]
            difference = hip - ankles[index]
            across = np.minimum(np.hypot(difference[:, 0], difference[:, 2]), 0.95 * reach)
            needed = difference[:, 1] - np.sqrt(reach**2 - across**2)
            planted = np.clip(1 - c["foot_free"][:, index] - c["foot_swing"][:, index], 0, 1)
            excess = np.maximum(excess, planted * needed)
        if not np.any(excess > 0):
            return excess
        return smooth_above(excess, 2)

    def _leg(self, index, side, root, turns, ankle, foot_turn, c) -> None:
        sign = 1.0 - 2 * index
        hip = self._forward(root, turns, self.joint_of[f"{side}_thigh"])
        heading = c["yaw"][:, 0] + c["pelvis"][:, 1]
        out = wrap(c["foot_yaw"][:, index] - heading)
        out = np.clip(0.6 * out, -0.8, 0.8) + sign * c["knee_out"][:, index]
        axis = np.stack([np.cos(out), np.zeros_like(out), -np.sin(out)], axis=-1)
        axis = np.einsum("tij,tj->ti", turns["pelvis"], axis)
        upper, lower = self.leg_lengths
        way = ankle - hip
        bend = cross(way, axis)
        knee, ankle = two_bones(hip, ankle, upper, lower, bend)
        turns[f"{side}_thigh"] = self._limb_turn(f"{side}_shin", knee - hip, axis)
        turns[f"{side}_shin"] = self._limb_turn(f"{side}_foot", ankle - knee, axis)
        free = c["foot_free"][:, index]
        if np.any(free > 0):
            pitch = c["foot_pitch"][:, index]
            loose = turns[f"{side}_shin"] @ tilt_matrix(pitch, 0 * pitch)
            foot_turn = blend_turns(foot_turn, loose, free)
        turns[f"{side}_foot"] = foot_turn
        if f"{side}_toe" in self.segments:  # toes stay flat when the heel comes up
            flat = np.clip(c["foot_pitch"][:, index], 0, 1.4) * (1 - free)
            turns[f"{side}_toe"] = foot_turn @ tilt_matrix(-0.95 * flat, 0 * flat)

    def _limb_turn(self, child: str, bone: np.ndarray, axis: np.ndarray) -> np.ndarray:
        """The turn `(T, 3, 3)` that takes the rest bone of a leg to `bone`, with the knee's axis along `axis`."""
        rest = self.offsets[self.joint_of[child]]
        return frame(bone, axis) @ frame(rest[None], np.array([[1.0, 0, 0]]))[0].T

    def _arm(self, index, side, root, turns, chest, c) -> None:
        sign = 1.0 - 2 * index
        mirror = np.array([sign, 1, 1])
        target = c["hand"][:, 3 * index : 3 * index + 3] * mirror
        length = np.maximum(np.linalg.norm(target, axis=-1), 1e-6)
        up = np.clip(target[:, 1] / length, 0, 1) * np.clip(length, 0, 1)
        ahead = np.clip(target[:, 2] / length, -0.3, 1) * np.clip(length, 0, 1)
        if f"{side}_collar" in self.segments:
            turns[f"{side}_collar"] = chest @ turn_z(sign * 0.38 * up**1.5) @ yaw_matrix(-sign * 0.2 * ahead)
        shoulder = self._forward(root, turns, self.joint_of[f"{side}_upperarm"])
        wrist = shoulder + np.einsum("tij,tj->ti", chest, target * self.arm_length)
        weight = c["world_weight"][:, index : index + 1]
        if np.any(weight > 0):
            fixed = c["world_hand"][:, 3 * index : 3 * index + 3] * mirror * self.scale
            fixed = np.einsum("tij,tj->ti", yaw_matrix(c["yaw"][:, 0]), fixed)
            fixed[:, [0, 2]] += c["pos"]
            fixed[:, 1] += c["level"][:, 0]
            wrist = (1 - weight) * wrist + weight * fixed
        wrist = self._outside_trunk(wrist, shoulder, chest, sign)
        raised = np.clip((target[:, 1] + 0.7) / 0.7, 0, 1)[:, None]  # the elbow of a raised hand points outwards
        pole = c["pole"][:, 3 * index : 3 * index + 3] + raised**2 * (3 - 2 * raised) * _RAISED_ELBOW
        pole = np.einsum("tij,tj->ti", chest, pole * mirror)
        upper, lower = self.arm_lengths
        elbow, wrist = two_bones(shoulder, wrist, upper, lower, pole)
        normal = cross(wrist - shoulder, pole)
        rest_normal = np.array([[0.0, sign, 0.0]])  # T pose, elbow backwards: X x -Z = Y
        for child, segment, bone in (("forearm", "upperarm", elbow - shoulder), ("hand", "forearm", wrist - elbow)):
            rest = self.offsets[self.joint_of[f"{side}_{child}"]]
            turns[f"{side}_{segment}"] = frame(bone, normal) @ frame(rest[None], rest_normal)[0].T
        turns[f"{side}_hand"] = turns[f"{side}_forearm"]
        if self.hand_length:  # a hand on the floor bends at the wrist
            bone = (wrist - elbow) / lower
            least = (_FINGER_FLOOR - wrist[:, 1]) / self.hand_length
            low = bone[:, 1] < least
            if low.any():
                flat = bone * [1, 0, 1]
                flat = flat / np.maximum(np.linalg.norm(flat, axis=-1, keepdims=True), 1e-9)
                height = np.clip(least, -1, 1)[:, None]
                laid = np.sqrt(1 - height**2) * flat + height * [0, 1, 0]
                bone = np.where(low[:, None], laid, bone)
                turns[f"{side}_hand"] = frame(bone, normal) @ frame(rest[None], rest_normal)[0].T

    def _outside_trunk(self, wrist, shoulder, chest, sign) -> np.ndarray:
        """Pushes wrists out of the ellipse about the spine, below the shoulders and above the hips."""
        width, depth = _ELLIPSE[0] * self.scale, _ELLIPSE[1] * self.scale
        half = abs(self.rest[self.joint_of["left_upperarm"], 0])
        local = np.einsum("tji,tj->ti", chest, wrist - shoulder) + [sign * half, 0, 0]
        radius = np.hypot(local[:, 0] / width, local[:, 2] / depth)
        low, high = -0.62 * self.scale, -0.02 * self.scale
        fade = np.clip((local[:, 1] - low) / 0.08, 0, 1) * np.clip((high - local[:, 1]) / 0.08, 0, 1)
        grow = 1 + fade * np.where(radius < 1, 1 / np.maximum(radius, 0.2) - 1, 0)
        moved = local * np.stack([grow, np.ones_like(grow), grow], axis=-1) - [sign * half, 0, 0]
        return shoulder + np.einsum("tij,tj->ti", chest, moved)


def _parents_first(parents) -> list[int]:
    order, left = [], list(range(len(parents)))
    while left:
        ready = [joint for joint in left if parents[joint] < 0 or parents[joint] in order]
        order += ready
        left = [joint for joint in left if joint not in ready]
    return order
