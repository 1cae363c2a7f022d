"""Kinds of action of daily life and of the head and trunk: drinking, phoning, picking up, looking around, swimming, ...

Hands as in `gestures.py`.
"""

import numpy as np

from .actions import SIDE, SIDES_OR_BOTH, SPEEDS, action, plus, shift
from .gestures import ARM_WORDS, HAND_WORDS, hold, nod_head, point_elbow, seconds_between, sized, strokes
from .tracks import LEFT, RIGHT, STANDING_HEIGHT, envelope


_MOUTH = (-0.27, 0.14, 0.40)
_EAR = (-0.12, 0.30, 0.22)


@action(
    "drink",
    ["<drink> something with {their} {side} {count}", "<bring> a cup to {their} mouth with the {side} and <drink> {count}", "<take> a drink with {their} {side} {count}",
     "<lift> a glass with the {side} and <drink> {count}", "<drink> something {count}"],
    {"side": SIDE, "count": (1, 2)}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=1.4,
)  # fmt: skip
def drink(track, p):
    ready = (-0.15, -0.35, 0.55)
    stretch = strokes(
        track, p.hands, ready, [(0.35, _MOUTH), (0.7, (-0.25, 0.19, 0.39))], p.count, 2.1 * track.jitter(), 0.7, 0.7
    )
    keys = []
    for begin, end in zip(stretch.beats[:-1], stretch.beats[1:]):
        keys += [
            (begin + 0.3 * (end - begin), (0, 0, 0)),
            (begin + 0.6 * (end - begin), (-0.4, 0, 0)),
            (end, (0, 0, 0)),
        ]
    nod_head(stretch, keys)
    track.add(stretch)


@action(
    "eat",
    ["<eat> something with {their} {side}", "<bring> food to {their} mouth with the {side} several times", "<eat> with the {side}", "<eat> something"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=0.9,
)  # fmt: skip
def eat(track, p):
    count = int(track.rng.integers(3, 5))
    track.add(strokes(track, p.hands, (-0.2, -0.45, 0.5), [(0.5, _MOUTH)], count, 1.05 * track.jitter()))


@action(
    "phone",
    ["<answer> a phone with {their} {side}", "<talk> on the phone holding it in {their} {side}", "<hold> a phone to {their} ear with the {side}", "<talk> on the phone"],
    {"side": SIDE}, words={"side": {"left": ["left hand"], "right": ["right hand"]}}, arms="side", legs=False, weight=1.4,
)  # fmt: skip
def phone(track, p):
    stretch = hold(track, p.hands, _EAR, seconds_between(track, 1.5, 3.0), 0.8, 0.8)
    tilt = (0.05, 0.1 * p.sign, 0.12 * p.sign)
    nod_head(stretch, [(0.8, tilt), (stretch.duration - 0.8, tilt), (stretch.duration, (0, 0, 0))])
    track.add(stretch)


@action(
    "scratch_head",
    ["<scratch> {their} head with {their} {side}", "<scratch> {their} head with the {side}", "<raise> {their} {side} and <scratch> {their} head", "<scratch> {their} head"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=1.2,
)  # fmt: skip
def scratch_head(track, p):
    stretch = strokes(
        track, p.hands, (-0.16, 0.52, 0.12), [(0.5, (-0.20, 0.58, 0.06))], int(track.rng.integers(4, 8)), 0.3
    )
    track.add(stretch)


@action(
    "brush_teeth",
    ["<brush> {their} teeth with {their} {side}", "<move> {their} {side} side to side in front of {their} mouth", "<brush> {their} teeth"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=0.8,
)  # fmt: skip
def brush_teeth(track, p):
    track.add(
        strokes(
            track, p.hands, (-0.20, 0.13, 0.42), [(0.5, (-0.34, 0.13, 0.42))], int(track.rng.integers(6, 11)), 0.32
        )
    )


@action(
    "wash_face",
    ["<wash> {their} face with both hands", "<rub> {their} face with both hands", "<wipe> {their} face"],
    {}, arms="both", legs=False, weight=0.7,
)  # fmt: skip
def wash_face(track, p):
    stretch = strokes(
        track, (LEFT, RIGHT), (-0.25, 0.28, 0.34), [(0.5, (-0.2, 0.05, 0.38))], int(track.rng.integers(3, 6)), 0.6
    )
    nod_head(stretch, [(0.5, (0.25, 0, 0)), (stretch.duration - 0.5, (0.25, 0, 0)), (stretch.duration, (0, 0, 0))])
    track.add(stretch)


@action(
    "wipe",
    ["<wipe> a surface with {their} {side} {speed}", "<clean> a window with {their} {side} {speed}", "<move> {their} {side} in circles in front of them {speed}",
     "<wash> a wall with the {side} {speed}", "<wipe> something {speed}"],
    {"side": SIDE, "speed": SPEEDS}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=1.0,
)  # fmt: skip
def wipe(track, p):
    period = {"": 1.0, "slow": 1.6, "fast": 0.7}[p.speed] / track.style.pace
    centre = np.array((-0.05, 0.1, 0.78))
    ring = [
        (share, centre + 0.24 * np.array((np.sin(2 * np.pi * share), np.cos(2 * np.pi * share), 0)))
        for share in (0.25, 0.5, 0.75)
    ]
    track.add(strokes(track, p.hands, centre + (0, 0.24, 0), ring, int(track.rng.integers(3, 5)), period))


@action(
    "knock",
    ["<knock> on a door with {their} {side} {count}", "<knock> {count} with the {side}", "<raise> {their} {side} and <knock> {count}", "<knock> on a door {count}"],
    {"side": SIDE, "count": (2, 3, 4)}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=1.1,
)  # fmt: skip
def knock(track, p):
    track.add(
        strokes(track, p.hands, (-0.12, 0.14, 0.58), [(0.5, (-0.12, 0.11, 0.80))], p.count, 0.45 * track.jitter())
    )


@action(
    "dribble",
    ["<dribble> a ball with {their} {side}", "<bounce> a ball with {their} {side}", "<bounce> a basketball with the {side}", "<dribble> a ball"],
    {"side": SIDE}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=1.0,
)  # fmt: skip
def dribble(track, p):
    track.add(
        strokes(
            track,
            p.hands,
            (0.12, -0.42, 0.62),
            [(0.5, (0.12, -0.76, 0.48))],
            int(track.rng.integers(4, 8)),
            0.55 * track.jitter(),
        )
    )


@action(
    "stir",
    ["<stir> something with {their} {side} {speed}", "<mix> something in a bowl with the {side} {speed}", "<stir> something {speed}"],
    {"side": SIDE, "speed": SPEEDS}, words={"side": HAND_WORDS}, arms="side", legs=False, weight=0.9,
)  # fmt: skip
def stir(track, p):
    period = {"": 0.9, "slow": 1.5, "fast": 0.6}[p.speed] / track.style.pace
    centre = np.array((-0.28, -0.45, 0.58))
    ring = [
        (share, centre + 0.13 * np.array((np.sin(2 * np.pi * share), 0, np.cos(2 * np.pi * share))))
        for share in (0.25, 0.5, 0.75)
    ]
    track.add(strokes(track, p.hands, centre + (0, 0, 0.13), ring, int(track.rng.integers(3, 6)), period))


@action(
    "pick_up",
    ["<pick> something up from the floor with {their} {side} {speed}", "<bend> down and <pick> something up with {their} {side} {speed}", "<pick> up an object with the {side} {speed}",
     "<reach> down with the {side} and <pick> something up off the ground {speed}", "<pick> something up from the ground {speed}"],
    {"side": SIDES_OR_BOTH, "speed": ("", "slow", "fast")}, words={"side": HAND_WORDS}, arms="side", legs=True, weight=2.0,
)  # fmt: skip
def pick_up(track, p):
    down = 1.05 / p.pace * track.jitter()
    up, hold_time, fall = 1.0 / p.pace * track.jitter(), 0.25, 0.7
    stretch = track.stretch(down + hold_time + up + fall)
    bottom, top, end = down + hold_time, down + hold_time + up, stretch.duration
    knees = track.rng.random()  # between bending the back and bending the knees
    height, pitch = 0.80 - 0.22 * knees, 1.75 - 0.55 * knees
    stretch.keys("height", [(down, height), (bottom, height), (top, STANDING_HEIGHT)])
    for channel, share in (("pelvis", 0.6), ("spine", 0.4)):
        low = plus(track, channel, share * pitch, 0, 0)
        stretch.keys(channel, [(down, low), (bottom, low), (top, track.get(channel))])
    shift(stretch, [(down, (0, -0.17)), (bottom, (0, -0.17)), (top, (0, 0))])
    both = p.side == "both"
    for side in p.hands:
        floor = (0.16 if both else 0.06, 0.10, 0.42)
        stretch.reach(
            side, [(0.35 * down, None), (down, floor), (bottom, floor), (bottom + 0.5 * up, None), (end, None)]
        )
        carry = (-0.12, -0.42, 0.52)
        stretch.keys(
            "hand", [(down, (0.0, -0.5, 0.85)), (bottom, (0.0, -0.5, 0.85)), (top, carry), (end, track.hang)], side
        )
    for side in {LEFT, RIGHT} - set(p.hands):
        stretch.hand(
            side, [(down, (0.15, -0.75, 0.5)), (bottom, (0.15, -0.75, 0.5)), (top, track.hang), (end, track.hang)]
        )
    for side in (LEFT, RIGHT):
        stretch.keys("knee_out", [(down, 0.2), (bottom, 0.2), (top, 0.0)], side, 1)
    track.add(stretch)


@action(
    "reach",
    ["<reach> {dir} with {their} {side} {speed}", "<reach> {dir} with the {side} {speed}", "<reach> {their} {side} {dir} {speed} to grab something", "<stretch> {their} {side} {dir} {speed}", "<reach> {dir} {speed}"],
    {"side": SIDES_OR_BOTH, "dir": ("up", "forward", "down"), "speed": ("", "slow")},
    words={"side": HAND_WORDS, "dir": {"up": ["up", "up high", "upwards"], "forward": ["forward", "out in front"], "down": ["down", "downwards"]}},
    arms="side", legs=False, weight=1.5,
)  # fmt: skip
def reach(track, p):
    place = {"up": (0.02, 0.93, 0.34), "forward": (-0.1, -0.02, 0.98), "down": (-0.05, -0.75, 0.65)}[p.dir]
    rise = 0.85 / p.pace
    stretch = hold(track, p.hands, sized(track, place), seconds_between(track, 0.3, 0.9), rise, rise)
    bend = {"up": -0.06, "forward": 0.22, "down": 0.5}[p.dir] * (1.0 if track.posture == "standing" else 0.5)
    twist = 0.0 if p.side == "both" else -0.15 * p.sign
    low = plus(track, "spine", bend, twist, 0)
    end = stretch.duration
    stretch.keys("spine", [(rise, low), (end - rise, low), (end, track.get("spine"))])
    track.add(stretch)


@action(
    "cross_arms",
    ["<cross> {their} arms", "<cross> {their} arms in front of {their} chest", "<fold> {their} arms", "<stand> with {their} arms crossed"],
    {}, arms="both", legs=False, weight=1.2,
)  # fmt: skip
def cross_arms(track, p):
    stay = seconds_between(track, 1.0, 2.2)
    stretch = hold(track, (LEFT,), (-0.52, -0.38, 0.36), stay, 0.8, 0.8)
    over = (-0.46, -0.30, 0.44)
    stretch.hand(
        RIGHT,
        [(0.4, (-0.1, -0.5, 0.5)), (0.85, over), (stretch.duration - 0.85, over), (stretch.duration, track.hang)],
    )
    track.add(stretch)


@action(
    "hands_on_hips",
    ["<put> {their} hands on {their} hips", "<place> both hands on {their} hips", "<stand> with {their} hands on {their} hips"],
    {}, arms="both", legs=False, weight=1.1,
)  # fmt: skip
def hands_on_hips(track, p):
    stretch = hold(track, (LEFT, RIGHT), (0.02, -0.76, 0.06), seconds_between(track, 1.0, 2.4), 0.7, 0.7)
    end = stretch.duration
    for side in (LEFT, RIGHT):
        point_elbow(stretch, side, (1.0, 0.0, -0.35), 0.6, end - 0.6)
    track.add(stretch)


@action(
    "arm_circles",
    ["<swing> {their} {side} in circles {dir} {count} {speed}", "<rotate> {their} {side} {dir} {count} {speed}", "<make> big circles with {their} {side} {dir} {count} {speed}",
     "<circle> the {side} {dir} {count} {speed}", "<make> circles with {their} {side} {count}"],
    {"side": SIDES_OR_BOTH, "dir": ("forward", "backward"), "count": (2, 3, 4), "speed": ("", "slow", "fast")},
    words={"side": ARM_WORDS, "dir": {"forward": ["forward", "forwards"], "backward": ["backward", "backwards"]}}, arms="side", legs=False, weight=1.3,
)  # fmt: skip
def arm_circles(track, p):
    """Forward circles go up behind and down in front."""
    period = {"": 1.15, "slow": 1.8, "fast": 0.8}[p.speed] / track.style.pace
    way = -1.0 if p.dir == "forward" else 1.0
    rise = 0.35
    stretch = track.stretch(rise + p.count * period + 0.4)
    t = stretch.t
    angle = 2 * np.pi * np.clip((t - rise) / period, 0, p.count)
    on = envelope(t, stretch.duration, rise)
    for side in p.hands:
        hand = stretch["hand"][:, 3 * side : 3 * side + 3]
        goal = 0.95 * np.stack([0.26 + 0 * angle, -np.cos(angle), way * np.sin(angle)], -1)
        hand[:] = (1 - on[:, None]) * track.hang + on[:, None] * goal
        stretch.keys("world_weight", [(rise, 0.0)], side, 1)
        pole = stretch["pole"][:, 3 * side : 3 * side + 3]
        wide = np.array((1.0, 0.0, -0.25))
        pole[:] = (1 - on[:, None]) * pole + on[:, None] * wide
    track.add(stretch)


@action(
    "flap",
    ["<flap> {their} arms like a bird {count} {speed}", "<flap> both arms up and down {count} {speed}", "<move> {their} arms like wings {count} {speed}"],
    {"count": (2, 3, 4, 5), "speed": SPEEDS}, arms="both", legs=False, weight=1.1,
)  # fmt: skip
def flap(track, p):
    period = {"": 0.9, "slow": 1.5, "fast": 0.6}[p.speed] / track.style.pace
    track.add(
        strokes(track, (LEFT, RIGHT), (0.86, -0.42, 0.1), [(0.5, (0.88, 0.38, 0.08))], p.count, period, 0.5, 0.5)
    )


@action(
    "play_guitar",
    ["<play> the guitar", "<pretend> to play a guitar", "<play> air guitar", "<strum> a guitar"],
    {}, arms="both", legs=False, cyclic=False, weight=0.9,
)  # fmt: skip
def play_guitar(track, p):
    count = int(track.rng.integers(4, 8))
    stretch = strokes(track, (RIGHT,), (-0.12, -0.48, 0.44), [(0.5, (-0.2, -0.68, 0.42))], count, 0.5, 0.7, 0.7)
    neck = (0.12, -0.22, 0.58)
    stretch.hand(LEFT, [(0.7, neck), (stretch.duration - 0.7, neck), (stretch.duration, track.hang)])
    track.add(stretch)


@action(
    "carry",
    ["<hold> a box in front of them", "<carry> something with both hands", "<hold> something in front of {their} body with both arms"],
    {}, arms="both", legs=False, weight=1.0,
)  # fmt: skip
def carry(track, p):
    track.add(hold(track, (LEFT, RIGHT), (-0.10, -0.42, 0.58), seconds_between(track, 1.4, 2.6), 0.6, 0.6))


@action(
    "spread_arms",
    ["<hold> both arms out to the sides", "<spread> {their} arms out", "<hold> {their} arms out for balance", "<hold> {their} arms straight out to the sides like a T"],
    {}, arms="both", legs=False, weight=1.0,
)  # fmt: skip
def spread_arms(track, p):
    track.add(
        hold(track, (LEFT, RIGHT), sized(track, (0.97, -0.02, 0.05)), seconds_between(track, 1.2, 2.4), 0.7, 0.7)
    )


@action(
    "put_down",
    ["<put> something down on the floor with {their} {side}", "<place> an object on the ground with the {side}", "<set> something down on the floor with {their} {side}", "<put> something down on the ground"],
    {"side": SIDES_OR_BOTH}, words={"side": HAND_WORDS}, arms="side", legs=True, weight=0.9,
)  # fmt: skip
def put_down(track, p):
    rise, down, stay, up = 0.6, 1.1 * track.jitter(), 0.25, 1.0 * track.jitter()
    stretch = track.stretch(rise + 0.4 + down + stay + up)
    ready, low, leave, end = rise + 0.4, rise + 0.4 + down, rise + 0.4 + down + stay, stretch.duration
    stretch.keys("height", [(ready, STANDING_HEIGHT), (low, 0.66), (leave, 0.66), (end, STANDING_HEIGHT)])
    for channel, share in (("pelvis", 0.6), ("spine", 0.4)):
        rest = track.get(channel)
        bent = plus(track, channel, share * 1.35, 0, 0)
        stretch.keys(channel, [(ready, rest), (low, bent), (leave, bent), (end, rest)])
    shift(stretch, [(ready, (0, 0)), (low, (0, -0.17)), (leave, (0, -0.17)), (end, (0, 0))])
    for side in p.hands:
        floor = (0.16 if p.side == "both" else 0.06, 0.10, 0.42)
        stretch.reach(
            side, [(ready + 0.4 * down, None), (low, floor), (leave, floor), (leave + 0.5 * up, None), (end, None)]
        )
        carried, out = (-0.12, -0.38, 0.55), (0.0, -0.5, 0.85)
        stretch.keys("hand", [(rise, carried), (ready, carried), (low, out), (leave, out), (end, track.hang)], side)
    for side in {LEFT, RIGHT} - set(p.hands):  # hangs down while the trunk is bent
        keys = [(ready, track.hang), (low, (0.12, -0.72, 0.55)), (leave, (0.12, -0.72, 0.55)), (end, track.hang)]
        stretch.hand(side, keys)
    track.add(stretch)
