"""A joint's name in any vendor's spelling -> its side and its words, and what the words say about the body.

`LeftUpLeg`, `lThigh`, `L_Hip`, `thigh.R`, `mixamorig:LeftArm`, `jLeftKnee`, `左ひざ` ... are read; nothing here knows of
hierarchies. A side is read from the name or is none; it is never guessed.
"""

import re


class SkeletonError(ValueError):
    """A hierarchy that is malformed, ambiguous, or in which no body part was found."""


LEG_RANKS = {  # how far down the leg a word is; the chain ends at the highest rank present
    **dict.fromkeys(("hip", "hips", "hipjoint", "buttock", "pelvis", "thigh", "femur", "upleg", "upperleg"), 1),
    **dict.fromkeys(("leg", "knee", "shin", "calf", "tibia", "shank", "lowerleg", "lowleg", "crus", "loleg"), 2),
    **dict.fromkeys(("ankle",), 3),
    **dict.fromkeys(("foot", "feet"), 4),
    **dict.fromkeys(("toe", "toes", "toebase", "ball"), 5),
}
ARM_RANKS = {
    **dict.fromkeys(("collar", "clavicle", "clav", "scapula", "shoulder", "shldr", "sho", "collarbone"), 1),
    **dict.fromkeys(("inshoulder",), 1),
    **dict.fromkeys(("arm", "upperarm", "uparm", "humerus", "bicep"), 2),
    **dict.fromkeys(("elbow", "forearm", "lowerarm", "lowarm", "loarm", "radius", "ulna"), 3),
    **dict.fromkeys(("wrist", "carpus"), 4),
    **dict.fromkeys(("hand",), 5),
}
TORSO_RANKS = {
    **dict.fromkeys(("hip", "hips", "pelvis", "waist", "root", "base", "hipcenter", "cog", "lowerbody"), 0),
    **dict.fromkeys(("spine", "abdomen", "belly", "stomach", "back", "lowerback", "lumbar"), 1),
    **dict.fromkeys(("upperback", "chest", "thorax", "torso", "ribcage", "trunk", "sternum", "vertebra"), 2),
    **dict.fromkeys(("upperbody",), 2),
    **dict.fromkeys(("neck", "lowerneck", "upperneck", "necktwist"), 3),
    **dict.fromkeys(("head", "skull"), 4),
}
LIMB_TOE = 5  # rank of the toes: a foot may have several
STAND_INS = {"leg": ("bigtoe", 5), "arm": ("palm", 5)}  # ends of a limb where it has no foot or hand of that name
DROPPED = frozenset(  # fingers, face, end sites, helpers, props: never part of a chain
    "thumb index middle ring pinky little finger fingers inhand carpal metacarpal metacarpals palm palms prop1 prop2 "
    "digit digits phalanx phalanges knuckle knuckles "
    "eye eyes eyelid eyelids brow brows eyebrow jaw chin nose ear ears mouth lip lips teeth tooth tongue cheek face "
    "breast breasts bust pec pecs pectoral boob hair skirt cloth cape tail wing wings feather antenna horn beard "
    "end endsite site nub tip top twist twst roll rolls helper corrective ik pole target ctrl control effector eff "
    "goal hint marker locator offset null weapon prop gun sword shield socket attach attachment camera light item slot "
    "mount holster pocket handle hat helmet backpack footsteps bigtoe smalltoe heel dummy "
    "handtip handthumb toeend headend headtop nipple genital glute muscle physics".split()
)
_WORDS = frozenset(LEG_RANKS) | frozenset(ARM_RANKS) | frozenset(TORSO_RANKS) | DROPPED | {"rear"}
_LEFT = frozenset(("l", "left", "lft", "lt", "lf"))
_RIGHT = frozenset(("r", "right", "rgt", "rt", "rht"))
_MIDLINE = frozenset(("waist", "spine", "neck", "back", "abdomen"))  # `lwaist` is the lower one: there is no left one
_SHORT = {"uarm": "upperarm", "farm": "forearm", "uleg": "upperleg"}
_LOWER = {"larm": "lowerarm", "lleg": "lowerleg"}  # where the name tells the side by a word of its own: `r_larm`
_TOKEN = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_VERTEBRA = re.compile(  # Xsens: L5, T12, jL5S1, jC1Head, with whatever stands around it
    r"(?:^|[-_. ])j?[LTC]\d{1,2}(?:[LTCS]\d{1,2}|(head))?(?=$|[-_. ])", re.IGNORECASE
)
_MOTIVE = re.compile(r"(?<![A-Za-z])([LR])([UFL])(?=(?:Arm|Leg)(?![a-z]))")  # LUArm, LFArm of Motive
_MOTIVE_WORDS = {"U": "Upper", "F": "Fore", "L": "Lower"}
_COMPOUNDS = (  # two tokens that make one word; the longer reading decides the rank (`UpLeg` is no `Leg`)
    ("up", "leg"), ("upper", "leg"), ("lower", "leg"), ("low", "leg"), ("lo", "leg"), ("up", "arm"), ("upper", "arm"),
    ("fore", "arm"), ("lower", "arm"), ("low", "arm"), ("lo", "arm"), ("hip", "joint"), ("toe", "base"),
    ("upper", "back"), ("lower", "back"), ("lower", "neck"), ("upper", "neck"), ("end", "site"), ("hand", "tip"),
    ("big", "toe"), ("small", "toe"), ("toe", "end"), ("head", "end"), ("head", "top"), ("hip", "center"),
    ("upper", "body"), ("lower", "body"), ("neck", "twist"),
)  # fmt: skip
_JAPANESE = (  # MikuMikuDance; longer words first, since 足首 (ankle) begins with 足 (leg)
    ("左", "left"), ("右", "right"), ("上半身", "upper_body"), ("下半身", "lower_body"), ("足首", "ankle"),
    ("手首", "wrist"), ("つま先", "toe"), ("ひざ", "knee"), ("ひじ", "elbow"), ("捩", "twist"), ("指", "finger"),
    ("ＩＫ", "ik"), ("IK", "ik"), ("目", "eye"), ("首", "neck"), ("頭", "head"), ("肩", "shoulder"), ("腕", "arm"),
    ("足", "leg"), ("腰", "waist"), ("先", "end"), ("キャンセル", "helper"), ("補助", "helper"),
)  # fmt: skip


def parse_joint(joint: str) -> tuple[str, tuple[str, ...]]:
    """A joint's name -> its side (`"left"`, `"right"` or `""`) and its remaining lower-case words.

    Raises:
        SkeletonError: The name says left and right.

    Example:

    ```python
    >>> parse_joint("mixamorig:LeftUpLeg"), parse_joint("spine_01")
    (('left', ('upleg',)), ('', ('spine', '01')))
    ```
    """
    bare = re.split(r"[:|]", joint)[-1]  # Maya namespaces and paths: mixamorig:LeftArm, Armature|Hips
    vertebra = _VERTEBRA.search(bare)
    if vertebra:  # L5 has no left side, but Toe_L5 has
        around = _TOKEN.findall(bare[: vertebra.start()] + "_" + bare[vertebra.end() :])
        if not any(_split_side(token.lower())[1] in _WORDS for token in around):
            return "", ("head",) if vertebra[1] else ("vertebra", bare)
    if not bare.isascii():
        for word, english in _JAPANESE:
            bare = bare.replace(word, f"_{english}_")
    bare = _MOTIVE.sub(lambda match: f"{match[1]}_{_MOTIVE_WORDS[match[2]]}", bare)
    split = [_split_side(token.lower()) for token in _TOKEN.findall(bare)]
    sides = [side for side, word in split if side and not word]  # by words of their own
    words = []
    for side, word in split:
        if sides and side and side[0] + word in _LOWER:
            word = _LOWER[side[0] + word]
        elif side and word:  # fused, as in `lfemur`
            sides = [*sides, side]
        if word:
            words.append(_SHORT.get(word, word))
    for first, second in _COMPOUNDS:
        for index in range(len(words) - 1):
            if words[index : index + 2] == [first, second]:
                words[index : index + 2] = [first + second]
    if len(set(sides)) > 1:
        raise SkeletonError(f"Joint {joint!r} reads as left and as right; rename it.")
    return (sides[0] if sides else ""), tuple(words)


def _split_side(token: str) -> tuple[str, str]:
    """`"lfemur"` -> `("left", "femur")`; a word that is no side in front of a body word stays whole."""
    if token in _LEFT:
        return "left", ""
    if token in _RIGHT:
        return "right", ""
    if token in _WORDS or token in _SHORT:
        return "", token
    for side, letters in (("left", ("left", "l")), ("right", ("right", "r"))):
        for letter in letters:
            for word, fits in ((token[len(letter) :], token.startswith(letter)),
                               (token[: -len(letter)], token.endswith(letter))):  # fmt: skip
                if fits and (word in _WORDS or word in _SHORT):
                    return ("", word) if len(letter) == 1 and word in _MIDLINE else (side, word)
    return "", token


def rank(words: tuple[str, ...], ranks: dict[str, int]) -> int:
    """The highest rank of the words, or -1."""
    return max((ranks.get(word, -1) for word in words), default=-1)


def is_dropped(side: str, words: tuple[str, ...]) -> bool:
    """Whether a joint is a finger, a helper, a prop or an end site, which no chain visits.

    `mid` is a finger on a hand (lMid1) but the middle of the spine in Kinect's names (SpineMid).
    """
    return bool(DROPPED.intersection(words)) or (bool(side) and "mid" in words and rank(words, ARM_RANKS) < 0)
