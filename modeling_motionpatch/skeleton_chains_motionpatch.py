"""Joint names and parents -> the five chains of a skeleton nobody registered, by what the names say and the topology."""

import re

from .skeleton_names_motionpatch import (
    ARM_RANKS,
    LEG_RANKS,
    LIMB_TOE,
    STAND_INS,
    TORSO_RANKS,
    SkeletonError,
    is_dropped,
    parse_joint,
    rank,
)


BODY_PARTS = ("torso", "left_arm", "right_arm", "left_leg", "right_leg")


def _path(parents: tuple[int, ...], joint: int) -> list[int]:
    """Root ... joint."""
    path = []
    while joint != -1:
        path.append(joint)
        joint = parents[joint]
    return path[::-1]


def find_chains(name: str, joints: tuple[str, ...], parents: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    parsed = [parse_joint(joint) for joint in joints]
    dropped = [is_dropped(side, words) for side, words in parsed]
    for limb, ranks in (("leg", LEG_RANKS), ("arm", ARM_RANKS)):
        _let_stand_in(limb, ranks, parsed, dropped)

    def tip(ranks: dict[str, int], side: str, part: str) -> int | None:
        """The joint at which a part ends: the highest rank, then the deepest; two branches are an ambiguity."""
        candidates = {
            index: rank(words, ranks)
            for index, (of_side, words) in enumerate(parsed)
            if of_side == side and not dropped[index] and rank(words, ranks) >= 0
        }
        if ranks is LEG_RANKS:  # an arm word wins over a leg word (`LeftHipHolsterHand` is a prop of neither)
            candidates = {i: r for i, r in candidates.items() if rank(parsed[i][1], ARM_RANKS) < 0}
        if not candidates:
            return None
        best = max(candidates.values())
        tied = [index for index, of_rank in candidates.items() if of_rank == best]
        paths = {index: _path(parents, index) for index in tied}
        deepest = max(tied, key=lambda index: len(paths[index]))
        stray = [index for index in tied if index not in paths[deepest]]
        if not stray:
            return deepest
        above = [index for index in tied if all(index in path for path in paths.values())]
        if above:  # `LeftHandItem` and `LeftHandObj` under a `LeftHand`
            return max(above, key=lambda index: len(paths[index]))
        if ranks is LEG_RANKS and best == LIMB_TOE:  # a foot may have several toes: the one nearest to the ankle, with
            return min(
                tied, key=lambda index: (len(paths[index]), len(parsed[index][1]), joints[index])
            )  # least words
        raise SkeletonError(
            f"Skeleton {name!r}: the {part.replace('_', ' ')} could end at {joints[deepest]!r} or at "
            f"{', '.join(repr(joints[index]) for index in stray[:5])}. Give `chains=` by hand, or split the "
            "file if it holds several people."
        )

    chains: dict[str, tuple[int, ...]] = {}
    for part, ranks in (
        ("left_arm", ARM_RANKS), ("right_arm", ARM_RANKS), ("left_leg", LEG_RANKS), ("right_leg", LEG_RANKS),
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
    _refuse_unreadable(name, joints, parsed, dropped, chains)
    return chains


def _let_stand_in(limb: str, ranks: dict[str, int], parsed: list, dropped: list[bool]) -> None:
    """Readmits what ends a limb in some skeletons alone: the big toe where there is no foot, the palm for the hand."""
    word, least = STAND_INS[limb]
    for side in ("left", "right"):
        named = [rank(words, ranks) for (of, words), drop in zip(parsed, dropped) if of == side and not drop]
        found = [index for index, (of, words) in enumerate(parsed) if of == side and word in words]
        if len(found) == 1 and max(named, default=-1) < least - 1:
            (index,) = found
            parsed[index] = (
                side,
                tuple({"bigtoe": "toe", "palm": "hand"}.get(each, each) for each in parsed[index][1]),
            )
            dropped[index] = is_dropped(*parsed[index])


def _refuse_unreadable(name: str, joints, parsed, dropped, chains) -> None:
    """No part at all, or a limb that seems to be there without its names telling the side, is not passed over.

    Raises:
        SkeletonError: The message lists the joints.
    """
    rule = "Names must say left or right and the bone (LeftUpLeg, l_thigh, ...); otherwise give `chains=` by hand."
    placed = {index for chain in chains.values() for index in chain}
    if not any(len(chains[part]) >= 2 for part in BODY_PARTS[1:]) or not chains["torso"]:
        unplaced = [joint for index, joint in enumerate(joints) if index not in placed]
        raise SkeletonError(
            f"Skeleton {name!r}: no body part could be told from the joint names. Not placed: "
            f"{', '.join(unplaced[:40])}{', ...' if len(unplaced) > 40 else ''}. {rule}"
        )
    for limb, ranks in (("arm", ARM_RANKS), ("leg", LEG_RANKS)):
        missing = [part for part in (f"left_{limb}", f"right_{limb}") if not chains[part]]
        sideless = [
            joints[index]
            for index, (side, words) in enumerate(parsed)
            if not side and not dropped[index] and index not in placed and rank(words, ranks) >= 2
        ]
        if missing and sideless:
            raise SkeletonError(
                f"Skeleton {name!r}: no {' and no '.join(missing).replace('_', ' ')} was found, but these joints could "
                f"be of it and do not tell their side: {', '.join(sideless[:40])}. {rule}"
            )


def _find_torso(parents, parsed, dropped, chains, tip) -> tuple[int, ...]:
    """From where the legs meet to the head (or the neck, or the chest, as far as the names go), along the tree."""
    anchors = [chains[part][0] for part in BODY_PARTS[1:] if chains[part]]
    legs = [chains[part][0] for part in ("left_leg", "right_leg") if chains[part]]
    end = tip(TORSO_RANKS, "", "torso")
    of_end = rank(parsed[end][1], TORSO_RANKS) if end is not None else -1
    if anchors and of_end < 3:  # no neck or head by name: as far up as the arms begin, or the deepest spine joint
        named = [index for index, (side, words) in enumerate(parsed)
                 if not side and not dropped[index] and rank(words, TORSO_RANKS) >= 0]  # fmt: skip
        end = max(anchors + named, key=lambda index: len(_path(parents, index)))
    if end is None:
        return ()
    up = _path(parents, end)
    if legs:
        meet = _common(_path(parents, legs[0]), _path(parents, legs[-1]))
        shared = _common(meet, up)  # the legs may hang from a pelvis beside the spine: start where they meet it
        path = up[len(shared) - 1 :]
        if len(path) < 3:  # the root is the chest or the head, and the spine lies between it and the legs
            path = meet[: len(shared) - 1 : -1] + path
    else:
        start = next((i for i, index in enumerate(up) if rank(parsed[index][1], TORSO_RANKS) >= 0), 0)
        path = up[start:]
    return tuple(index for index in path if not dropped[index] and not parsed[index][0])


def _common(one: list[int], other: list[int]) -> list[int]:
    """Root ... the last joint that two paths from the root share."""
    return [a for a, b in zip(one, other) if a == b]


def mirror_of(joints: tuple[str, ...], chains: dict[str, tuple[int, ...]]) -> tuple[int, ...]:
    """Index of every joint's twin on the other side (itself on the midline), by name, then by place in the chain."""
    mirror = list(range(len(joints)))
    by_key = {}
    for index, joint in enumerate(joints):
        try:
            side, words = parse_joint(joint)
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
