"""Joint names and parents -> the five body-part chains that motion patches are cut from.

A skeleton is a tree of J named joints. The paper (Sec. 3.1, Fig. 2) cuts it into torso, left arm, right arm, left leg
and right leg; each part is a chain of joint indices that runs from the torso outwards, so that neighbouring points in a
patch are neighbouring points of the body. `get_skeleton` knows the skeletons of the usual data sets;
`Skeleton.from_hierarchy` finds the chains of one nobody registered, by the vendors' spellings and the topology.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np


BODY_PARTS = ("torso", "left_arm", "right_arm", "left_leg", "right_leg")


class SkeletonError(ValueError):
    """A hierarchy that is malformed, ambiguous, or in which no body part was found."""


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
        parents = tuple(int(parent) for parent in self.parents)
        _check_tree(self.name, joints, parents)
        chains = _find_chains(self.name, joints, parents) if self.chains is None else self.chains
        chains = _check_chains(self.name, joints, chains)
        for attribute, value in (("joints", joints), ("parents", parents), ("chains", chains)):
            object.__setattr__(self, attribute, value)
        object.__setattr__(self, "mirror", _mirror(joints, chains))

    def __hash__(self):
        return hash((self.name, self.joints, self.parents, tuple(self.chains[part] for part in BODY_PARTS)))

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
    roots = [joints[index] for index, parent in enumerate(parents) if parent == -1]
    if len(roots) != 1:
        raise SkeletonError(
            f"Skeleton {name!r} has {len(roots)} roots (parent -1): {roots[:10]}; exactly one is needed."
        )
    for index, parent in enumerate(parents):
        if not -1 <= parent < len(joints):
            raise SkeletonError(
                f"Skeleton {name!r}: joint {joints[index]!r} has parent {parent}, outside -1..{len(joints) - 1}."
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
            if not 0 <= joint < len(joints):
                raise SkeletonError(f"Skeleton {name!r}: {part} has joint {joint}, outside 0..{len(joints) - 1}.")
            indices.append(int(joint))
        if len(set(indices)) < len(indices):
            raise SkeletonError(f"Skeleton {name!r}: {part} visits a joint twice: {indices}.")
        checked[part] = tuple(indices)
    return checked


# --------------------------------------------------------------------------------------------------------------------
# Names -> side, words

_LEG_RANKS = {  # how far down the leg a word is; the chain ends at the highest rank present
    **dict.fromkeys(("hip", "hips", "hipjoint", "buttock", "pelvis", "thigh", "femur", "upleg", "upperleg"), 1),
    **dict.fromkeys(("leg", "knee", "shin", "calf", "tibia", "lowerleg", "lowleg", "crus", "loleg"), 2),
    **dict.fromkeys(("ankle",), 3),
    **dict.fromkeys(("foot", "feet"), 4),
    **dict.fromkeys(("toe", "toes", "toebase", "ball"), 5),
}
_ARM_RANKS = {
    **dict.fromkeys(("collar", "clavicle", "clav", "scapula", "shoulder", "shldr", "sho", "collarbone"), 1),
    **dict.fromkeys(("arm", "upperarm", "uparm", "humerus", "bicep"), 2),
    **dict.fromkeys(("elbow", "forearm", "lowerarm", "lowarm", "loarm", "radius", "ulna"), 3),
    **dict.fromkeys(("wrist", "carpus"), 4),
    **dict.fromkeys(("hand",), 5),
}
_TORSO_RANKS = {
    **dict.fromkeys(("hip", "hips", "pelvis", "waist", "root", "base", "hipcenter", "cog"), 0),
    **dict.fromkeys(("spine", "abdomen", "belly", "stomach", "back", "lowerback", "lumbar"), 1),
    **dict.fromkeys(("upperback", "chest", "thorax", "torso", "ribcage", "trunk", "sternum", "vertebra"), 2),
    **dict.fromkeys(("neck", "lowerneck", "upperneck"), 3),
    **dict.fromkeys(("head", "skull"), 4),
}
_DROPPED = frozenset(  # fingers, face, end sites, helpers, props: never part of a chain
    "thumb index middle ring pinky little finger fingers inhand carpal metacarpal metacarpals palm palms prop1 prop2 "
    "eye eyes eyelid eyelids brow brows eyebrow jaw chin nose ear ears mouth lip lips teeth tooth tongue cheek face "
    "breast breasts pec pecs pectoral boob hair skirt cloth cape tail wing wings feather antenna horn beard "
    "end endsite site nub tip top twist twst roll rolls helper corrective ik pole target ctrl control effector eff "
    "weapon prop gun sword shield socket attach camera light footsteps bigtoe smalltoe heel dummy "
    "handtip handthumb toeend headend headtop nipple genital glute muscle physics".split()
)
_WORDS = frozenset(_LEG_RANKS) | frozenset(_ARM_RANKS) | frozenset(_TORSO_RANKS) | _DROPPED
_LEFT = frozenset(("l", "left", "lft", "lt", "lf"))
_RIGHT = frozenset(("r", "right", "rgt", "rt", "rht"))
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_COMPOUNDS = (  # two tokens that make one word; the longer reading decides the rank (`UpLeg` is no `Leg`)
    ("up", "leg"), ("upper", "leg"), ("lower", "leg"), ("low", "leg"), ("lo", "leg"), ("up", "arm"), ("upper", "arm"),
    ("fore", "arm"), ("lower", "arm"), ("low", "arm"), ("lo", "arm"), ("hip", "joint"), ("toe", "base"),
    ("upper", "back"), ("lower", "back"), ("lower", "neck"), ("upper", "neck"), ("end", "site"), ("hand", "tip"),
    ("big", "toe"), ("small", "toe"), ("toe", "end"), ("head", "end"), ("head", "top"), ("hip", "center"),
)  # fmt: skip


def _split_side(token: str) -> tuple[str, str]:
    """`"lfemur"` -> `("left", "femur")`; a word that is no side in front of a body word stays whole."""
    if token in _LEFT:
        return "left", ""
    if token in _RIGHT:
        return "right", ""
    if token in _WORDS:
        return "", token
    for side, letters in (("left", ("left", "l")), ("right", ("right", "r"))):
        for letter in letters:
            if token.startswith(letter) and token[len(letter) :] in _WORDS:
                return side, token[len(letter) :]
            if token.endswith(letter) and token[: -len(letter)] in _WORDS:
                return side, token[: -len(letter)]
    return "", token


def _parse(joint: str) -> tuple[str, tuple[str, ...]]:
    """A joint's name -> its side (`"left"`, `"right"` or `""`) and its remaining lower-case words."""
    bare = re.split(r"[:|]", joint)[-1]  # Maya namespaces and paths: mixamorig:LeftArm, Armature|Hips
    if re.fullmatch(r"[LTC]\d{1,2}", bare):  # vertebrae of Xsens: L5, L3, T12, T8 (no left side)
        return "", ("vertebra", bare[1:])
    sides, words = [], []
    for token in _TOKEN.findall(bare):
        side, word = _split_side(token.lower())
        if side:
            sides.append(side)
        if word:
            words.append(word)
    for first, second in _COMPOUNDS:
        for index in range(len(words) - 1):
            if words[index : index + 2] == [first, second]:
                words[index : index + 2] = [first + second]
    if len(set(sides)) > 1:
        raise SkeletonError(f"Joint {joint!r} reads as left and as right; rename it.")
    return (sides[0] if sides else ""), tuple(words)


def _rank(words: tuple[str, ...], ranks: dict[str, int]) -> int:
    return max((ranks.get(word, -1) for word in words), default=-1)


# --------------------------------------------------------------------------------------------------------------------
# Hierarchy -> chains


def _path(parents: tuple[int, ...], joint: int) -> list[int]:
    """Root ... joint."""
    path = []
    while joint != -1:
        path.append(joint)
        joint = parents[joint]
    return path[::-1]


def _find_chains(name: str, joints: tuple[str, ...], parents: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    parsed = [_parse(joint) for joint in joints]
    # `mid` is a finger on a hand (lMid1) but the middle of the spine in Kinect's names (SpineMid).
    dropped = [
        bool(_DROPPED.intersection(words)) or (bool(side) and "mid" in words and _rank(words, _ARM_RANKS) < 0)
        for side, words in parsed
    ]

    def tip(ranks: dict[str, int], side: str, part: str) -> int | None:
        """The joint at which a part ends: the highest rank, then the deepest; two branches are an ambiguity."""
        candidates = {
            index: _rank(words, ranks)
            for index, (of_side, words) in enumerate(parsed)
            if of_side == side and not dropped[index] and _rank(words, ranks) >= 0
        }
        if ranks is _LEG_RANKS:  # an arm word wins over a leg word (`LeftHipHolsterHand` is a prop of neither)
            candidates = {i: r for i, r in candidates.items() if _rank(parsed[i][1], _ARM_RANKS) < 0}
        if not candidates:
            return None
        best = max(candidates.values())
        tied = [index for index, rank in candidates.items() if rank == best]
        deepest = max(tied, key=lambda index: len(_path(parents, index)))
        stray = [index for index in tied if index not in _path(parents, deepest)]
        if stray and not (ranks is _LEG_RANKS and best == 5):  # a foot may have several toes; a body has one head
            raise SkeletonError(
                f"Skeleton {name!r}: the {part.replace('_', ' ')} could end at {joints[deepest]!r} or at "
                f"{', '.join(repr(joints[index]) for index in stray[:5])}. Give `chains=` by hand, or split the "
                "file if it holds several people."
            )
        if stray:  # the toe nearest to the ankle, then the first by order: the base of the toes
            deepest = min(tied, key=lambda index: (len(_path(parents, index)), index))
        return deepest

    chains: dict[str, tuple[int, ...]] = {}
    for part, ranks in (
        ("left_arm", _ARM_RANKS), ("right_arm", _ARM_RANKS), ("left_leg", _LEG_RANKS), ("right_leg", _LEG_RANKS),
    ):  # fmt: skip
        side = part.split("_")[0]
        end = tip(ranks, side, part)
        if end is None:
            chains[part] = ()
            continue
        path = _path(parents, end)
        wrong = [joints[index] for index in path if parsed[index][0] not in ("", side)]
        if wrong:
            raise SkeletonError(
                f"Skeleton {name!r}: {joints[end]!r} is {side} by its name but hangs under {', '.join(wrong)}. "
                "Rename the joints or give `chains=` by hand."
            )
        first = next(position for position, index in enumerate(path) if parsed[index][0] == side)
        anchor = [index for index in path[:first] if not dropped[index]][-1:]
        chains[part] = tuple(anchor + [index for index in path[first:] if not dropped[index]])

    chains["torso"] = _find_torso(parents, parsed, dropped, chains, tip)
    limbs = [part for part in BODY_PARTS[1:] if len(chains[part]) >= 2]
    if not limbs or not chains["torso"]:
        unplaced = [joint for index, joint in enumerate(joints) if not any(index in c for c in chains.values())]
        raise SkeletonError(
            f"Skeleton {name!r}: no body part could be told from the joint names. Not placed: "
            f"{', '.join(unplaced[:40])}{', ...' if len(unplaced) > 40 else ''}. Names must say left or right and the "
            "bone (LeftUpLeg, l_thigh, ...); otherwise give `chains=` by hand."
        )
    return chains


def _find_torso(parents, parsed, dropped, chains, tip) -> tuple[int, ...]:
    """From where the legs meet to the head (or the neck, or the chest, as far as the names go)."""
    anchors = [chains[part][0] for part in BODY_PARTS[1:] if chains[part]]
    legs = [chains[part][0] for part in ("left_leg", "right_leg") if chains[part]]
    end = tip(_TORSO_RANKS, "", "torso")
    rank = _rank(parsed[end][1], _TORSO_RANKS) if end is not None else -1
    if anchors and rank < 3:  # no neck or head by name: as far up as the arms begin, or the deepest spine joint
        named = [index for index, (side, words) in enumerate(parsed)
                 if not side and not dropped[index] and _rank(words, _TORSO_RANKS) >= 0]  # fmt: skip
        end = max(anchors + named, key=lambda index: len(_path(parents, index)))
    if end is None:
        return ()
    up = _path(parents, end)
    if legs:
        shared = set(up)
        for leg in legs:  # the legs may hang from a pelvis beside the spine: start where they meet it
            shared &= set(_path(parents, leg))
        start = max((up.index(index) for index in shared), default=0)
    else:
        start = next((i for i, index in enumerate(up) if _rank(parsed[index][1], _TORSO_RANKS) >= 0), 0)
    return tuple(index for index in up[start:] if not dropped[index] and not parsed[index][0])


def _mirror(joints: tuple[str, ...], chains: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Index of every joint's twin on the other side (itself on the midline), by name, then by place in the chain."""
    mirror = list(range(len(joints)))
    by_key = {}
    for index, joint in enumerate(joints):
        try:
            side, words = _parse(joint)
        except SkeletonError:  # a name with both sides in a skeleton whose chains were given by hand
            continue
        digits = tuple(re.findall(r"\d+", joint))
        if side:
            by_key.setdefault((words, digits), {}).setdefault(side, []).append(index)
    for pair in by_key.values():
        if len(pair.get("left", ())) == 1 and len(pair.get("right", ())) == 1:
            left, right = pair["left"][0], pair["right"][0]
            mirror[left], mirror[right] = right, left
    for limb in ("arm", "leg"):
        left, right = chains[f"left_{limb}"], chains[f"right_{limb}"]
        if len(left) == len(right):
            for a, b in zip(left, right):
                mirror[a], mirror[b] = b, a
    return tuple(mirror)


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
    lengths = [math.dist(pose[one], pose[other]) for one, other in zip(chain[1:], chain[2:])]
    longest = max(lengths)
    return next((joint for joint, length in zip(chain[1:], lengths) if length >= LONG_BONE * longest), chain[1])


def lateral_axis(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Left minus right over hips and shoulders, `(T, 3)`, not normalised: what the facing direction follows from.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): Positions.
        skeleton (`Skeleton`): Tells the limbs.

    Raises:
        SkeletonError: The skeleton has no pair of limbs, so the facing direction is undefined.
    """
    axis = np.zeros((joints.shape[0], 3), dtype=joints.dtype)
    found = False
    pose = joints[0].tolist()  # plain numbers: numpy takes longer over so few
    for limb in ("leg", "arm"):
        left, right = skeleton.chains[f"left_{limb}"], skeleton.chains[f"right_{limb}"]
        if left and right:
            axis += joints[:, limb_root(pose, left)] - joints[:, limb_root(pose, right)]
            found = True
    if not found:
        raise SkeletonError(
            f"Skeleton {skeleton.name!r} has no pair of arms or legs, so the direction it faces is undefined."
        )
    return axis
