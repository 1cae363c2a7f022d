"""Joint names and parents -> the five body-part chains that motion patches are cut from.

A skeleton is a tree of J named joints. The paper (Sec. 3.1, Fig. 2) cuts it into torso, left arm, right arm, left leg
and right leg; each part is a chain of joint indices that runs from the torso outwards, so that neighbouring points in a
patch are neighbouring points of the body. `get_skeleton` knows the skeletons of the usual data sets;
`Skeleton.from_hierarchy` finds the chains of one nobody registered, by the vendors' spellings and the topology.
"""

import json
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .skeleton_chains_motionpatch import BODY_PARTS, find_chains, mirror_of
from .skeleton_names_motionpatch import SkeletonError


@dataclass(frozen=True)
class Skeleton:
    """A named tree of joints with its five body-part chains.

    Args:
        name (`str`): What the skeleton is called in data sets and in error messages.
        joints (`Sequence[str]` of length J): Joint names, in the order of the second axis of a motion `(T, J, 3)`.
        parents (`Sequence[int]` of length J): Index of each joint's parent; exactly one root has -1.
        chains (`Mapping[str, Sequence[int | str]]`, *optional*):
            Body part -> joint indices (or names) from the torso outwards. Parts that are left out are empty. Found by
            [`Skeleton.from_hierarchy`]'s rules when not given.

    Raises:
        SkeletonError: The parents do not form one tree, a name occurs twice, a part is unknown or a joint of a chain
            does not exist.

    Example:

    ```python
    >>> from modeling_motionpatch import get_skeleton
    >>> get_skeleton("smpl22").chains["left_leg"]
    (0, 1, 4, 7, 10)
    ```
    """

    name: str
    joints: Sequence[str]
    parents: Sequence[int]
    chains: Mapping[str, Sequence[int]] | None = None
    mirror: tuple[int, ...] = field(init=False, repr=False, compare=False)  # index of each joint's left/right twin

    def __post_init__(self):
        joints = tuple(str(joint) for joint in self.joints)
        parents = _check_parents(self.name, joints, self.parents)
        _check_tree(self.name, joints, parents)
        chains = find_chains(self.name, joints, parents) if self.chains is None else self.chains
        chains = _check_chains(self.name, joints, chains)
        for attribute, value in (("joints", joints), ("parents", parents), ("chains", chains)):
            object.__setattr__(self, attribute, value)
        object.__setattr__(self, "mirror", mirror_of(joints, chains))
        # A batch looks up what is kept for each motion's skeleton; hashing all names anew took longer than that.
        object.__setattr__(self, "_hash", hash((self.name, joints, parents, tuple(chains.values()))))

    def __hash__(self):
        return self._hash

    def __reduce__(self):  # hashes of strings differ between processes, so the kept one must not travel
        return type(self), (self.name, self.joints, self.parents, self.chains)

    @classmethod
    def from_hierarchy(cls, joints: Sequence[str], parents: Sequence[int], name: str = "custom") -> "Skeleton":
        """Finds the five chains of an unregistered skeleton by names and topology.

        Sides are read from the names (`LeftUpLeg`, `lThigh`, `L_Hip`, `UpperLeg_L`, `lfemur`, `HipLeft`, `thigh.R`,
        ...), never guessed from positions. Fingers, eyes, twist and IK helpers, props and end sites are dropped; a
        part that is absent is empty.

        Args:
            joints (`Sequence[str]` of length J): Joint names.
            parents (`Sequence[int]` of length J): Index of each joint's parent, -1 for the root.
            name (`str`, *optional*, defaults to `"custom"`): The skeleton's name.

        Returns:
            `Skeleton`: with `chains` filled in; `unplaced` lists the joints that belong to no part.

        Raises:
            SkeletonError: The hierarchy is malformed, two branches claim the same part, a left joint hangs under a
                right one, or no limb was recognised; the message lists the joints that could not be placed.
        """
        return cls(name=name, joints=joints, parents=parents)

    @property
    def num_joints(self) -> int:
        """J, the number of joints."""
        return len(self.joints)

    @property
    def unplaced(self) -> tuple[str, ...]:
        """Names of the joints that belong to no body part (fingers, end sites, helpers)."""
        placed = {index for chain in self.chains.values() for index in chain}
        return tuple(joint for index, joint in enumerate(self.joints) if index not in placed)

    @property
    def pelvis(self) -> int:
        """Index of the joint that the body turns about: where the torso and the legs begin."""
        for part in ("torso", "left_leg", "right_leg"):
            if self.chains[part]:
                return self.chains[part][0]
        return self.parents.index(-1)

    def to_dict(self) -> dict:
        """JSON-serialisable form, read back by [`get_skeleton`]."""
        return {
            "name": self.name,
            "joints": list(self.joints),
            "parents": list(self.parents),
            "chains": {part: list(chain) for part, chain in self.chains.items()},
        }

    def to_string(self) -> str:
        """The registered name where that says everything, else the JSON of [`Skeleton.to_dict`].

        This is what a data set's `skeleton` column holds.
        """
        return self.name if _REGISTRY.get(self.name) == self else json.dumps(self.to_dict())


# --------------------------------------------------------------------------------------------------------------------
# Checks


def _check_parents(name: str, joints: tuple[str, ...], parents) -> tuple[int, ...]:
    """The parents as a tuple of whole numbers."""
    checked = []
    for position, parent in enumerate(parents if isinstance(parents, (Sequence, np.ndarray)) else ()):
        try:
            checked.append(operator.index(parent))
        except TypeError:
            of = f" of joint {joints[position]!r}" if position < len(joints) else ""
            raise SkeletonError(
                f"Skeleton {name!r}: the parent{of} is {parent!r}; give each joint the index of its parent, and -1 to "
                "the root."
            ) from None
    return tuple(checked)


def _check_tree(name: str, joints: tuple[str, ...], parents: tuple[int, ...]) -> None:
    if not joints:
        raise SkeletonError(f"Skeleton {name!r} has no joints; at least a root is needed.")
    if len(joints) != len(parents):
        raise SkeletonError(
            f"Skeleton {name!r} has {len(joints)} joint names but {len(parents)} parents; give one parent a joint."
        )
    twice = sorted({joint for joint in joints if joints.count(joint) > 1}) if len(set(joints)) < len(joints) else []
    if twice:
        raise SkeletonError(f"Skeleton {name!r} names these joints twice: {', '.join(twice[:10])}. Rename them.")
    for index, parent in enumerate(parents):
        if not -1 <= parent < len(joints):
            raise SkeletonError(
                f"Skeleton {name!r}: joint {joints[index]!r} has parent {parent}, outside -1..{len(joints) - 1}; the "
                "root's parent is -1."
            )
    roots = [joints[index] for index, parent in enumerate(parents) if parent == -1]
    if len(roots) != 1:
        raise SkeletonError(
            f"Skeleton {name!r} has {len(roots)} roots (parent -1): {roots[:10]}; exactly one is needed."
        )
    for index in range(len(joints)):
        seen, current = set(), index
        while current != -1:
            if current in seen:
                raise SkeletonError(f"Skeleton {name!r}: joint {joints[index]!r} is its own ancestor (a cycle).")
            seen.add(current)
            current = parents[current]


def _check_chains(name: str, joints: tuple[str, ...], chains: Mapping) -> dict[str, tuple[int, ...]]:
    unknown = sorted(set(chains) - set(BODY_PARTS))
    if unknown:
        raise SkeletonError(f"Skeleton {name!r}: unknown body parts {unknown}; the parts are {', '.join(BODY_PARTS)}.")
    checked = {}
    for part in BODY_PARTS:
        indices = []
        for joint in chains.get(part, ()):
            if isinstance(joint, str):
                if joint not in joints:
                    raise SkeletonError(f"Skeleton {name!r}: {part} names {joint!r}, which is no joint of it.")
                joint = joints.index(joint)
            try:
                joint = operator.index(joint)
            except TypeError:
                raise SkeletonError(
                    f"Skeleton {name!r}: {part} has {joint!r}; a chain is a list of joint indices or names."
                ) from None
            if not 0 <= joint < len(joints):
                raise SkeletonError(f"Skeleton {name!r}: {part} has joint {joint}, outside 0..{len(joints) - 1}.")
            indices.append(joint)
        if len(set(indices)) < len(indices):
            raise SkeletonError(f"Skeleton {name!r}: {part} visits a joint twice: {indices}.")
        checked[part] = tuple(indices)
    return checked


# --------------------------------------------------------------------------------------------------------------------
# Registered skeletons

_SMPL22 = (
    "pelvis left_hip right_hip spine1 left_knee right_knee spine2 left_ankle right_ankle spine3 left_foot right_foot "
    "neck left_collar right_collar head left_shoulder right_shoulder left_elbow right_elbow left_wrist right_wrist"
).split()
_SMPL22_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19]


def _smpl_hands(first: int) -> tuple[list[str], list[int]]:
    """The 2 x 15 finger joints of SMPL-H and SMPL-X, which begin at index `first`."""
    joints, parents = [], []
    for side, wrist in (("left", 20), ("right", 21)):
        for finger in ("index", "middle", "pinky", "ring", "thumb"):
            for knuckle in (1, 2, 3):
                parents.append(wrist if knuckle == 1 else first + len(joints) - 1)
                joints.append(f"{side}_{finger}{knuckle}")
    return joints, parents


_SMPLH_HANDS, _SMPLX_HANDS = _smpl_hands(22), _smpl_hands(25)

_REGISTRY: dict[str, Skeleton] = {}


def register_skeleton(skeleton: Skeleton, exist_ok: bool = False) -> Skeleton:
    """Makes `get_skeleton(skeleton.name)` return this skeleton.

    Raises:
        SkeletonError: Another skeleton has the name, unless `exist_ok`.
    """
    if not exist_ok and _REGISTRY.get(skeleton.name, skeleton) != skeleton:
        raise SkeletonError(f"A different skeleton named {skeleton.name!r} is registered; choose another name.")
    _REGISTRY[skeleton.name] = skeleton
    return skeleton


for _skeleton in (
    # HumanML3D: SMPL without hands.
    Skeleton("smpl22", _SMPL22, _SMPL22_PARENTS),
    Skeleton("smpl24", _SMPL22 + ["left_hand", "right_hand"], _SMPL22_PARENTS + [20, 21]),
    Skeleton("smplh52", _SMPL22 + _SMPLH_HANDS[0], _SMPL22_PARENTS + _SMPLH_HANDS[1]),
    Skeleton(
        "smplx55",
        _SMPL22 + ["jaw", "left_eye", "right_eye"] + _SMPLX_HANDS[0],
        _SMPL22_PARENTS + [15, 15, 15] + _SMPLX_HANDS[1],
    ),
    # KIT-ML as HumanML3D's scripts process it. Which of 11 and 16 is the right hip is disputed between sources; this
    # follows the official code of the paper and HumanML3D's facing rule (right hip 11, right shoulder 5).
    Skeleton(
        "kit21",
        "root pelvis torso chest head right_shoulder right_elbow right_wrist left_shoulder left_elbow left_wrist "
        "right_hip right_knee right_ankle right_foot right_toe left_hip left_knee left_ankle left_foot left_toe".split(),
        [-1, 0, 1, 2, 3, 3, 5, 6, 3, 8, 9, 0, 11, 12, 13, 14, 0, 16, 17, 18, 19],
        {
            "torso": [0, 1, 2, 3, 4],
            "left_arm": [3, 8, 9, 10],
            "right_arm": [3, 5, 6, 7],
            "left_leg": [0, 16, 17, 18, 19, 20],
            "right_leg": [0, 11, 12, 13, 14, 15],
        },
    ),
    # NTU RGB+D / Kinect v2.
    Skeleton(
        "ntu25",
        "SpineBase SpineMid Neck Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight WristRight "
        "HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight SpineShoulder "
        "HandTipLeft ThumbLeft HandTipRight ThumbRight".split(),
        [-1, 0, 20, 2, 20, 4, 5, 6, 20, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18, 1, 7, 7, 11, 11],
    ),
    # Kinect v1 (MSR-Action3D, UTKinect).
    Skeleton(
        "kinect20",
        "HipCenter Spine ShoulderCenter Head ShoulderLeft ElbowLeft WristLeft HandLeft ShoulderRight ElbowRight "
        "WristRight HandRight HipLeft KneeLeft AnkleLeft FootLeft HipRight KneeRight AnkleRight FootRight".split(),
        [-1, 0, 1, 2, 2, 4, 5, 6, 2, 8, 9, 10, 0, 12, 13, 14, 0, 16, 17, 18],
    ),
    # Human3.6M, the 17 joints of the pose-estimation literature.
    Skeleton(
        "h36m17",
        "Hip RHip RKnee RFoot LHip LKnee LFoot Spine Thorax Neck Head LShoulder LElbow LWrist RShoulder RElbow "
        "RWrist".split(),
        [-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15],
    ),
):
    register_skeleton(_skeleton)


def known_skeletons() -> tuple[str, ...]:
    """Names that [`get_skeleton`] knows, sorted."""
    return tuple(sorted(_REGISTRY))


def get_skeleton(skeleton: "str | Mapping | Skeleton") -> Skeleton:
    """A registered name, a `Skeleton.to_dict()` (as dict or JSON) or a skeleton itself -> `Skeleton`.

    Raises:
        SkeletonError: The name is not registered; the message lists those that are.

    Example:

    ```python
    >>> from modeling_motionpatch import get_skeleton
    >>> get_skeleton("kit21").num_joints
    21
    ```
    """
    if hasattr(skeleton, "chains") and hasattr(skeleton, "joints"):  # duck-typed: remote code has a class of its own
        return skeleton
    if isinstance(skeleton, str) and skeleton.lstrip().startswith("{"):
        try:
            skeleton = json.loads(skeleton)
        except json.JSONDecodeError as error:
            raise SkeletonError(f"A skeleton given as JSON could not be read: {error}.") from None
    if isinstance(skeleton, Mapping):
        missing = [key for key in ("joints", "parents") if key not in skeleton]
        if missing:
            raise SkeletonError(f"A skeleton given as a mapping needs `joints` and `parents`; missing: {missing}.")
        return Skeleton(
            skeleton.get("name", "custom"), skeleton["joints"], skeleton["parents"], skeleton.get("chains")
        )
    if isinstance(skeleton, str) and skeleton in _REGISTRY:
        return _REGISTRY[skeleton]
    raise SkeletonError(
        f"Unknown skeleton {skeleton!r}; known are {', '.join(known_skeletons())}. For another, pass "
        "Skeleton.from_hierarchy(joints, parents)."
    )


LONG_BONE = 0.7  # of the longest bone of a limb: upper arm and thigh are, collar bone and pelvis are not


def limb_root(pose: Sequence[Sequence[float]], chain: Sequence[int]) -> int:
    """The shoulder or hip of a limb's chain in a pose `(J, 3)`: where its first long bone begins.

    Told by the bones' lengths, since names and hierarchies disagree: some repeat the pelvis in front of the hip, some have
    a collar joint, and ASF files name a bone's far end.
    """
    if len(chain) < 3:
        return chain[-1]
    points = [pose[joint] for joint in chain[1:]]
    lengths = list(map(math.dist, points, points[1:]))
    least = LONG_BONE * max(lengths)
    for joint, length in zip(chain[1:], lengths):
        if length >= least:
            return joint
    return chain[1]  # NaN


def _limb_roots(pose: Sequence[Sequence[float]], skeleton: Skeleton) -> list[tuple[int, int]]:
    """(left, right) hips, then shoulders, of a pose `(J, 3)`; pairs that the skeleton has."""
    pairs = []
    for left, right in (("left_leg", "right_leg"), ("left_arm", "right_arm")):
        left, right = skeleton.chains[left], skeleton.chains[right]
        if left and right:
            pairs.append((limb_root(pose, left), limb_root(pose, right)))
    if not pairs:
        raise SkeletonError(
            f"Skeleton {skeleton.name!r} has no pair of arms or legs, so the direction it faces is undefined."
        )
    return pairs


def lateral_of_pose(pose: Sequence[Sequence[float]], skeleton: Skeleton) -> list[float]:
    """[`lateral_axis`] of one pose `(J, 3)`; in plain numbers, since numpy takes longer over so few."""
    x = y = z = 0.0
    for left, right in _limb_roots(pose, skeleton):
        (left_x, left_y, left_z), (right_x, right_y, right_z) = pose[left], pose[right]
        x, y, z = x + left_x - right_x, y + left_y - right_y, z + left_z - right_z
    return [x, y, z]


def lateral_axis(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Left minus right over hips and shoulders, `(T, 3)`, not normalised: what the facing direction follows from.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): Positions.
        skeleton (`Skeleton`): Tells the limbs.

    Raises:
        SkeletonError: The skeleton has no pair of limbs, so the facing direction is undefined.
    """
    pairs = _limb_roots(joints[0].tolist(), skeleton)
    return sum(joints[:, left] - joints[:, right] for left, right in pairs)
