"""Kinds of action of arms, head and trunk that leave the feet where they are: waving, punching, drinking, ...

All but those marked `legs=True` can be done while walking. Places of hands are in arm lengths from the shoulder:
(outwards, up, forwards) in the chest's frame; the middle of the chest is about 0.35 inwards.
"""

import numpy as np

from .actions import SIDE, SIDES_OR_BOTH, SPEEDS, Choices, action, beats, place_foot, plus, shift
from .tracks import LEFT, RIGHT, STANDING_HEIGHT, Stretch, Track


HAND_WORDS = {
    "left": ["left hand", "left arm"],
    "right": ["right hand", "right arm"],
    "both": ["both hands", "both arms"],
}
ARM_WORDS = {"left": ["left arm"], "right": ["right arm"], "both": ["both arms"]}


def sized(track: Track, place, size: float = 1.0) -> np.ndarray:
    """A place of the hand, a little nearer or further for each person."""
    return np.array(place) * size * (0.5 + 0.5 * track.style.size)


def strokes(
    track: Track, sides, start, cycle, count: int, period: float, rise: float = 0.55, fall: float = 0.6, pole=None
) -> Stretch:  # fmt: skip
    """Brings the hands to `start`, leads them `count` times through `cycle`, and lets them hang again.

    Args:
        track ([`Track`]): What it becomes part of (by the caller, who may add to it first).
        sides (sequence of sides): Which hands.
        start (3 numbers): Place of the hand before and after each cycle.
        cycle (list of (share of the period, place)): Key places of one cycle; the start ends it.
        count, period: How often, and the seconds of one cycle.
        rise, fall (`float`): Seconds before and after.
        pole (3 numbers, *optional*): Where the elbows point meanwhile.
    """
    rise, fall = rise * track.jitter(), fall * track.jitter()
    times = beats(track, count, period)
    stretch = track.stretch(rise + times[-1] + fall)
    start = np.array(start)
    via = _round_the_chest(start)
    for side in sides:
        keys = [(0.5 * rise, via)] * (via is not None) + [(rise, start)]
        for begin, end in zip(times[:-1], times[1:]):
            keys += [(rise + begin + share * (end - begin), np.array(place)) for share, place in cycle]
            keys.append((rise + end, start))
        keys += [(stretch.duration - 0.5 * fall, via)] * (via is not None) + [(stretch.duration, track.hang)]
        stretch.hand(side, keys)
        if pole is not None:
            point_elbow(stretch, side, pole, rise, rise + times[-1])
    stretch.beats = [rise + time for time in times]
    return stretch


def hold(track: Track, sides, place, seconds: float, rise: float = 0.6, fall: float = 0.6) -> Stretch:
    """Brings the hands to a place, keeps them there and lets them hang again; a stretch the caller adds."""
    rise, fall = rise * track.jitter(), fall * track.jitter()
    stretch = track.stretch(rise + seconds + fall)
    place = np.array(place)
    via = _round_the_chest(place)
    end = stretch.duration
    for side in sides:
        up = [(0.5 * rise, via)] * (via is not None) + [(rise, place), (rise + seconds, place)]
        stretch.hand(side, up + [(end - 0.5 * fall, via)] * (via is not None) + [(end, track.hang)])
    return stretch


def _round_the_chest(place) -> np.ndarray | None:
    """A place on the way from hanging to a raised place, in front, so that the hand does not pass the shoulder."""
    if place[1] < -0.3 or place[0] > 0.7:
        return None
    return np.array((0.12 + 0.5 * max(place[0], 0.0), -0.4, 0.66))


def point_elbow(stretch: Stretch, side: int, pole, rise: float, until: float) -> None:
    """Points an elbow to `pole` from `rise` to `until` seconds and back to where it pointed."""
    rest = stretch.track.get("pole")[3 * side : 3 * side + 3]
    stretch.keys("pole", [(rise, pole), (until, pole), (stretch.duration, rest)], side)


def nod_head(stretch: Stretch, keys) -> None:
    """Head keys relative to the last pose: (seconds, (pitch, yaw, roll))."""
    stretch.keys("head", [(time, plus(stretch.track, "head", *change)) for time, change in keys])


def seconds_between(track: Track, low: float, high: float) -> float:
    return low + (high - low) * track.rng.random()


# --------------------------------------------------------------------------------------------------------------------
# Greeting and pointing


@action(
    "wave",
    ["<wave> with {their} {side} {speed} {size}", "<wave> {their} {side} {size} {speed}", "<raise> {their} {side} and <wave> {speed} {size}",
     "<wave> hello with the {side} {size} {speed}", "<wave> {speed} using {their} {side} {size}", "<wave> {speed}"],
    {"side": SIDES_OR_BOTH, "speed": SPEEDS, "size": ("", "large")},
    words={"side": HAND_WORDS, "size": {"": [""], "large": ["above {their} head", "high in the air"]}},
    arms="side", legs=False, weight=3.0,
)  # fmt: skip
def wave(track, p):
    centre = sized(track, (0.30, 0.86, 0.18) if p.size else (0.40, 0.30, 0.34))
    spread = np.array((0.22, -0.03, 0.0)) * track.jitter(0.2)
    count = int(track.rng.integers(3, 6))
    period = {"": 0.6, "slow": 0.95, "fast": 0.42}[p.speed] / track.style.pace
    track.add(
        strokes(
            track,
            p.hands,
            centre - spread,
            [(0.5, centre + spread)],
            count,
            period,
            0.65,
            0.7,
            pole=(0.75, -0.6, -0.2),
        )
    )


@action(
    "raise_arm",
    ["<raise> {their} {side} {dir} {count} {speed}", "<lift> {their} {side} {dir} {count} {speed}", "<raise> the {side} {dir} {count} {speed}",
     "<raise> {their} {side} {speed} {dir} and <lower> it {count}", "<lift> {their} {side} {count}"],
    {"side": SIDES_OR_BOTH, "dir": ("up", "forward", "sideways"), "count": (1, 2, 3), "speed": SPEEDS},
    words={"side": ARM_WORDS, "dir": {"up": ["up", "above {their} head", "straight up"], "forward": ["in front of them", "forward", "out in front"],
           "sideways": ["to the side", "out sideways", "out to the side"]}},
    arms="side", legs=False, weight=2.5,
)  # fmt: skip
def raise_arm(track, p):
    top = {"up": (0.10, 0.97, 0.1), "forward": (0.0, 0.0, 0.98), "sideways": (0.97, 0.02, 0.08)}[p.dir]
    via = {"up": (0.2, 0.0, 0.92), "forward": (0.1, -0.6, 0.7), "sideways": (0.75, -0.6, 0.1)}[p.dir]
    if p.dir == "up" and track.rng.random() < 0.5:
        via = (0.94, 0.0, 0.2)
    for _ in range(p.count):
        time = 0.85 / p.pace * track.jitter()
        stay = 0.35 * track.jitter(0.4)
        stretch = track.stretch(2 * time + stay)
        for side in p.hands:
            stretch.hand(side, [(0.5 * time, via), (time, sized(track, top)), (time + stay, sized(track, top)),
                                (1.5 * time + stay, via), (stretch.duration, track.hang)])  # fmt: skip
        track.add(stretch)


@action(
    "point",
    ["<point> {dir} with {their} {side}", "<point> {dir} using the {side}", "<raise> {their} {side} and <point> {dir}", "<point> {their} {side} {dir}",
     "<point> at something {dir} with the {side}", "<point> {dir}"],
    {"side": SIDE, "dir": ("forward", "sideways", "up")},
    words={"side": HAND_WORDS, "dir": {"forward": ["forward", "straight ahead", "in front of them"], "sideways": ["to the side"], "up": ["up", "upwards", "at the sky"]}},
    arms="side", legs=False, weight=1.6,
)  # fmt: skip
def point(track, p):
    place = {"forward": (-0.08, 0.08, 0.96), "sideways": (0.95, 0.08, 0.16), "up": (0.12, 0.78, 0.58)}[p.dir]
    stretch = hold(track, p.hands, sized(track, place), seconds_between(track, 0.6, 1.4), 0.55, 0.6)
    gaze = {"forward": (0, 0, 0), "sideways": (0, 0.8 * p.sign, 0), "up": (-0.45, 0.1 * p.sign, 0)}[p.dir]
    nod_head(stretch, [(0.5, gaze), (stretch.duration - 0.6, gaze), (stretch.duration, (0, 0, 0))])
    track.add(stretch)


@action(
    "salute",
    ["<salute> with {their} {side}", "<salute> with the {side}", "<bring> {their} {side} to {their} forehead to salute", "<give> a salute with the {side}", "<salute>"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False,
)  # fmt: skip
def salute(track, p):
    track.add(hold(track, p.hands, (-0.10, 0.43, 0.34), seconds_between(track, 0.7, 1.4), 0.5, 0.5))


@action(
    "shake_hands",
    ["<shake> hands with someone using {their} {side}", "<reach> out {their} {side} and <shake> hands", "<shake> someone's hand with the {side}",
     "<shake> hands"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=0.9,
)  # fmt: skip
def shake_hands(track, p):
    track.add(
        strokes(track, p.hands, (-0.2, -0.42, 0.72), [(0.5, (-0.2, -0.26, 0.72))], int(track.rng.integers(3, 5)), 0.36)
    )


@action(
    "beckon",
    ["<beckon> with {their} {side}", "<wave> someone over with {their} {side}", "<motion> for someone to come with the {side}", "<beckon> someone"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=0.8,
)  # fmt: skip
def beckon(track, p):
    track.add(
        strokes(track, p.hands, (-0.05, -0.1, 0.88), [(0.5, (-0.05, 0.12, 0.45))], int(track.rng.integers(2, 4)), 0.65)
    )


@action(
    "clap",
    ["<clap> {their} hands {size} {count} {speed}", "<clap> {size} {count} {speed}", "<clap> {speed} {size} {count}", "<bring> {their} hands together and <clap> {size} {count}"],
    {"count": (2, 3, 4, 5, 6), "size": ("", "large"), "speed": SPEEDS},
    words={"size": {"": [""], "large": ["above {their} head", "over {their} head"]}}, arms="both", legs=False, weight=2.0,
)  # fmt: skip
def clap(track, p):
    closed = (-0.33, 0.80, 0.35) if p.size else (-0.335, -0.22, 0.62)
    opened = (0.02, 0.83, 0.3) if p.size else (0.02, -0.24, 0.58)
    period = {"": 0.55, "slow": 0.9, "fast": 0.38}[p.speed] / track.style.pace
    track.add(strokes(track, (LEFT, RIGHT), opened, [(0.5, closed)], p.count, period))


# --------------------------------------------------------------------------------------------------------------------
# Fighting, throwing


@action(
    "punch",
    ["<punch> {dir} with {their} {side} {count} {speed}", "<throw> a punch {dir} with the {side} {count} {speed}", "<punch> {count} {dir} with the {side} {speed}",
     "<punch> {speed} {dir} {count} using {their} {side}", "<punch> {dir} {count}"],
    {"side": ("left", "right", "both"), "dir": ("forward", "forward", "upward"), "count": (1, 2, 3, 4), "speed": ("", "slow", "fast")},
    words={"side": {"left": ["left hand", "left fist", "left arm"], "right": ["right hand", "right fist", "right arm"], "both": ["both hands", "both fists", "both arms"]},
           "dir": {"forward": ["", "forward", "straight ahead"], "upward": ["upward", "upwards"]}},
    arms="both", legs=False, weight=2.2,
)  # fmt: skip
def punch(track, p):
    period = {"": 0.75, "slow": 1.15, "fast": 0.55}[p.speed] / track.style.pace
    guard = np.array((-0.16, -0.18, 0.42))
    hit = sized(track, (-0.22, 0.02, 0.97) if p.dir == "forward" else (-0.25, 0.42, 0.62))
    load = guard + ((0.05, -0.08, -0.12) if p.dir == "forward" else (0.1, -0.35, -0.1))
    stretch = strokes(track, p.hands, guard, [(0.28, load), (0.52, hit), (0.60, hit)], p.count, period, 0.45, 0.55)
    for side in {LEFT, RIGHT} - set(p.hands):
        stretch.hand(side, [(0.45, guard), (stretch.duration - 0.55, guard), (stretch.duration, track.hang)])
    twist = 0.0 if p.side == "both" else -0.42 * p.sign
    spine, keys = track.get("spine"), []
    for begin, end in zip(stretch.beats[:-1], stretch.beats[1:]):
        keys += [
            (begin + 0.28 * (end - begin), spine + [0.04, -0.4 * twist, 0]),
            (begin + 0.54 * (end - begin), spine + [0.10, twist, 0]),
        ]
    stretch.keys("spine", keys + [(stretch.duration, spine)])
    stretch["head"][:, 1] -= 0.8 * (stretch["spine"][:, 1] - spine[1])
    track.add(stretch)


@action(
    "box",
    ["<box> with both fists {speed}", "<throw> punches with alternating hands {speed}", "<shadow> box {speed}", "<punch> with {their} left and right hands in turn {speed}"],
    {"speed": ("", "fast")}, words={}, arms="both", legs=False, cyclic=True, weight=1.2,
)  # fmt: skip
def box(track, p):
    period = {"": 1.1, "fast": 0.75}[p.speed] / track.style.pace
    count = int(track.rng.integers(3, 6))
    guard = np.array((-0.16, -0.12, 0.42))
    hit = sized(track, (-0.25, 0.04, 0.97))
    stretch = track.stretch(0.5 + count * period + 0.6)
    first = int(track.rng.integers(2))
    spine, twists = track.get("spine"), []
    for side in (LEFT, RIGHT):
        keys = [(0.45, guard)]
        for index in range(count):
            begin = 0.5 + (index + (0.0 if side == first else 0.5)) * period
            if begin + 0.45 * period > stretch.duration - 0.55:
                break
            keys += [(begin, guard), (begin + 0.22 * period, hit), (begin + 0.45 * period, guard)]
            twists.append((begin + 0.22 * period, spine + [0.08, -0.35 * (1 - 2 * side), 0]))
        stretch.hand(side, keys + [(stretch.duration - 0.5, guard), (stretch.duration, track.hang)])
    stretch.keys("spine", sorted(twists, key=lambda key: key[0]) + [(stretch.duration, spine)])
    track.add(stretch)


@action(
    "throw",
    ["<throw> something {how} with {their} {side} {size}", "<throw> a ball {how} with the {side} {size}", "<toss> something {how} with {their} {side} {size}",
     "<throw> an object {how} {size} using {their} {side}", "<throw> something {how}"],
    {"side": SIDE, "how": ("overhand", "underhand"), "size": ("", "large")},
    words={"side": HAND_WORDS, "how": {"overhand": ["overhand", "over {their} shoulder", "overarm"], "underhand": ["underhand", "from below", "underarm"]},
           "size": {"": [""], "large": ["far", "hard", "with force"]}},
    arms="side", legs=True, weight=2.0,
)  # fmt: skip
def throw(track, p):
    over = p.how == "overhand"
    hard = 1.35 if p.size else 1.0
    wind, swing, follow, back = 0.6 * track.jitter(), 0.26 / hard**0.5, 0.3, 0.65 * track.jitter()
    stretch = track.stretch(wind + swing + follow + back)
    release, end = wind + swing, stretch.duration
    if over:
        keys = [(0.45 * wind, (0.35, -0.3, 0.1)), (wind, (0.42, 0.38, -0.28)), (wind + 0.5 * swing, (0.25, 0.7, 0.25)),
                (release, (-0.02, 0.42, 0.86)), (release + follow, (-0.35, -0.5, 0.62)), (end, track.hang)]  # fmt: skip
    else:
        keys = [(0.4 * wind, (0.15, -0.85, 0.3)), (wind, (0.2, -0.72, -0.6)), (wind + 0.5 * swing, (0.12, -0.97, 0.1)),
                (release, (0.0, -0.35, 0.9)), (release + 0.6 * follow, (-0.02, 0.12, 0.93)), (end, track.hang)]  # fmt: skip
    stretch.hand(p.foot, keys)
    spine = track.get("spine")
    twist = 0.5 * p.sign * hard if over else 0.2 * p.sign
    stretch.keys("spine", [(wind, spine + [-0.08, twist, 0]), (release, spine + [0.15 * hard, -0.6 * twist, 0]),
                           (release + follow, spine + [0.22 * hard, -0.9 * twist, 0]), (end, spine)])  # fmt: skip
    stretch["head"][:, 1] -= 0.8 * (stretch["spine"][:, 1] - spine[1])
    if track.posture == "standing":
        step = (0.02, 0, 0.32 * hard)
        place_foot(stretch, 1 - p.foot, [(0.55 * wind, (0, 0, 0)), (0.8 * wind, (0, 0.09, 0.16)), (wind + 0.04, step), (release + follow, step),
                                         (release + follow + 0.4 * back, (0, 0.06, 0.12)), (end, (0, 0, 0))])  # fmt: skip
        shift(stretch, [(wind, (0, 0.04)), (release + follow, (0, 0.2 * hard)), (end, (0, 0))])
        stretch.keys("height", [(wind, 0.965), (release, 0.94), (end, STANDING_HEIGHT)])
    track.add(stretch)


@action(
    "catch",
    ["<catch> something with {their} {side} {dir}", "<catch> a ball with {their} {side} {dir}", "<reach> out and <catch> something with the {side} {dir}", "<catch> a ball {dir}"],
    {"side": SIDES_OR_BOTH, "dir": ("", "up", "down")},
    words={"side": HAND_WORDS, "dir": {"": [""], "up": ["above {their} head", "up high"], "down": ["down low", "near {their} knees"]}},
    arms="side", legs=False, weight=1.3,
)  # fmt: skip
def catch(track, p):
    inward = -0.22 if p.side == "both" else -0.05
    reach = {"": (inward, -0.1, 0.85), "up": (inward, 0.72, 0.55), "down": (inward, -0.72, 0.62)}[p.dir]
    near = (-0.2, -0.3, 0.42)
    stretch = track.stretch(2.3 * track.jitter())
    end = stretch.duration
    for side in p.hands:
        stretch.hand(side, [(0.55, reach), (0.85, reach), (1.1, near), (end - 0.6, near), (end, track.hang)])
    if p.dir == "down" and track.posture == "standing":
        low = plus(track, "spine", 0.35, 0, 0)
        stretch.keys("spine", [(0.6, low), (0.85, low), (1.3, track.get("spine"))])
    nod_head(stretch, [(0.5, (-0.35 if p.dir == "up" else 0.1, 0, 0)), (end, (0, 0, 0))])
    track.add(stretch)


@action(
    "push",
    ["<push> something {dir} with {their} {side} {count}", "<push> {dir} with the {side} {count}", "<push> an object {dir} with {their} {side} {count}",
     "<shove> something {dir} with {their} {side} {count}", "<push> something {dir} {count}"],
    {"side": ("both", "both", "left", "right"), "dir": ("forward", "forward", "up"), "count": (1, 2, 3)},
    words={"side": HAND_WORDS, "dir": {"forward": ["forward", "away"], "up": ["up", "overhead", "upwards"]}},
    arms="side", legs=False, weight=1.4,
)  # fmt: skip
def push(track, p):
    near = (-0.12, -0.2, 0.42) if p.dir == "forward" else (0.05, 0.12, 0.3)
    far = (-0.08, -0.1, 0.96) if p.dir == "forward" else (0.02, 0.96, 0.2)
    stretch = strokes(track, p.hands, near, [(0.5, far), (0.62, far)], p.count, 1.15 * track.jitter())
    if p.dir == "forward":
        spine, keys = track.get("spine"), []
        for begin, end in zip(stretch.beats[:-1], stretch.beats[1:]):
            keys += [(begin, spine), (0.5 * (begin + end), spine + [0.16, 0, 0])]
        stretch.keys("spine", keys + [(stretch.duration, spine)])
    track.add(stretch)


@action(
    "pull",
    ["<pull> something {dir} with {their} {side} {count}", "<pull> {dir} with the {side} {count}", "<reach> out and <pull> something {dir} with {their} {side} {count}",
     "<pull> something {dir} {count}"],
    {"side": ("both", "both", "left", "right"), "dir": ("toward", "toward", "down"), "count": (1, 2, 3)},
    words={"side": HAND_WORDS, "dir": {"toward": ["towards them", "back", "toward {their} chest"], "down": ["down", "downwards from above"]}},
    arms="side", legs=False, weight=1.4,
)  # fmt: skip
def pull(track, p):
    far = (-0.08, -0.1, 0.95) if p.dir == "toward" else (0.0, 0.9, 0.35)
    near = (0.02, -0.35, 0.28) if p.dir == "toward" else (0.0, -0.1, 0.42)
    stretch = strokes(track, p.hands, far, [(0.55, near), (0.68, near)], p.count, 1.25 * track.jitter())
    if p.dir == "toward":
        spine, keys = track.get("spine"), []
        for begin, end in zip(stretch.beats[:-1], stretch.beats[1:]):
            keys += [(begin, spine + [0.1, 0, 0]), (begin + 0.6 * (end - begin), spine + [-0.12, 0, 0])]
        stretch.keys("spine", keys + [(stretch.duration, spine)])
    track.add(stretch)


@action(
    "swing_racket",
    ["<swing> a tennis racket with {their} {side} {count}", "<hit> a forehand with the {side} {count}", "<play> tennis, swinging with {their} {side} {count}",
     "<swing> {their} {side} across {their} body as if hitting a ball {count}"],
    {"side": SIDE, "count": (1, 2, 3)}, words={"side": HAND_WORDS}, arms="side", legs=True, weight=1.1,
)  # fmt: skip
def swing_racket(track, p):
    stretch = strokes(
        track,
        p.hands,
        (0.25, -0.6, 0.45),
        [(0.32, (0.75, -0.25, -0.4)), (0.55, (0.45, -0.2, 0.8)), (0.72, (-0.6, 0.15, 0.5))],
        p.count,
        1.5,
    )
    spine, keys = track.get("spine"), []
    for begin, end in zip(stretch.beats[:-1], stretch.beats[1:]):
        span = end - begin
        keys += [
            (begin + 0.32 * span, spine + [0.05, 0.55 * p.sign, 0]),
            (begin + 0.72 * span, spine + [0.1, -0.55 * p.sign, 0]),
            (end, spine),
        ]
    stretch.keys("spine", keys + [(stretch.duration, spine)])
    stretch["head"][:, 1] -= 0.7 * (stretch["spine"][:, 1] - spine[1])
    track.add(stretch)


@action(
    "swing_club",
    ["<swing> a golf club to the {side}", "<hit> a golf ball to the {side}", "<play> golf, swinging towards {their} {side}", "<swing> both arms to the {side} like a golfer"],
    {"side": SIDE}, arms="both", legs=True, weight=1.0,
)  # fmt: skip
def swing_club(track, p):
    """Both hands on one club: back over the other shoulder, then through towards `side`."""
    return _two_handed_swing(track, p, low=True)


@action(
    "swing_bat",
    ["<swing> a baseball bat to the {side}", "<swing> a bat with both hands towards {their} {side}", "<bat> a ball to the {side}"],
    {"side": SIDE}, arms="both", legs=True, weight=0.9,
)  # fmt: skip
def swing_bat(track, p):
    return _two_handed_swing(track, p, low=False)


def _two_handed_swing(track: Track, p: Choices, low: bool) -> None:
    ready, back, hit, through, end = np.cumsum([0.6, 0.65, 0.3, 0.28, 0.8]) * track.jitter()
    stretch = track.stretch(end)
    # (to the side of the aim, up, forwards) of both hands from the middle between the shoulders, in arm lengths
    places = ([(0, -0.82, 0.45), (-0.62, 0.12, 0.3), (0.02, -0.82, 0.45), (0.55, 0.2, 0.3)] if low
              else [(-0.35, -0.05, 0.4), (-0.55, 0.08, 0.15), (0.1, -0.2, 0.82), (0.6, 0.05, 0.3)])  # fmt: skip
    half = abs(track.body.rest[track.body.joint_of["left_upperarm"], 0]) / track.body.arm_length
    for side in (LEFT, RIGHT):
        out = 1 - 2 * side
        keys = [
            (time, (out * p.sign * x - half + 0.05, y, z))
            for time, (x, y, z) in zip((ready, back, hit, through), places)
        ]
        stretch.hand(side, keys + [(end, track.hang)])
    bend = 0.38 if low else 0.1
    spine, pelvis, s = track.get("spine"), track.get("pelvis"), p.sign
    stretch.keys("pelvis", [(ready, pelvis + [bend, 0, 0]), (back, pelvis + [bend, -0.3 * s, 0]), (hit, pelvis + [bend, 0.15 * s, 0]),
                            (through, pelvis + [0.5 * bend, 0.5 * s, 0]), (end, pelvis)])  # fmt: skip
    stretch.keys("spine", [(ready, spine + [0.1, 0, 0]), (back, spine + [0.1, -0.55 * s, 0]), (hit, spine + [0.1, 0.1 * s, 0]),
                           (through, spine + [0.05, 0.6 * s, 0]), (end, spine)])  # fmt: skip
    turn = stretch["spine"][:, 1] + stretch["pelvis"][:, 1]
    stretch["head"][:, 1] -= 0.6 * turn
    stretch.keys("height", [(ready, 0.95), (hit, 0.95), (end, STANDING_HEIGHT)])
    stretch.keys("foot_pitch", [(hit, 0.0), (through, 0.5), (through + 0.2, 0.5), (end, 0.0)], 1 - p.foot, 1)
    track.add(stretch)
