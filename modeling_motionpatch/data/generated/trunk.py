"""Kinds of action of head and trunk, and of the arms with them: stretching, twisting, looking, nodding, swimming.

Hands as in `gestures.py`.
"""

import numpy as np

from .actions import SIDE, SPEEDS, action, plus, shift
from .gestures import hold, nod_head, seconds_between, strokes
from .tracks import LEFT, RIGHT, envelope


@action(
    "stretch",
    ["<stretch> both arms {dir}", "<stretch> with {their} arms {dir}", "<raise> both arms {dir} and <stretch>"],
    {"dir": ("up", "sideways")}, words={"dir": {"up": ["above {their} head", "overhead"], "sideways": ["out to the sides", "wide to the sides"]}},
    arms="both", legs=False, weight=1.2,
)  # fmt: skip
def stretch_arms(track, p):
    place = (0.02, 0.98, 0.02) if p.dir == "up" else (0.95, 0.12, -0.2)
    stretch = hold(track, (LEFT, RIGHT), place, seconds_between(track, 0.9, 1.8), 1.0, 1.0)
    back = plus(track, "spine", -0.14, 0, 0)
    end = stretch.duration
    stretch.keys("spine", [(1.0, back), (end - 1.0, back), (end, track.get("spine"))])
    nod_head(stretch, [(1.0, (-0.2, 0, 0)), (end - 1.0, (-0.2, 0, 0)), (end, (0, 0, 0))])
    track.add(stretch)


@action(
    "lean",
    ["<lean> to the {side} {count} {speed}", "<bend> {their} upper body to the {side} {count} {speed}", "<do> a side bend to the {side} {count} {speed}", "<stretch> {their} torso to {their} {side} {count}"],
    {"side": SIDE, "count": (1, 2, 3), "speed": ("", "slow")}, arms="", legs=False, weight=1.1,
)  # fmt: skip
def lean(track, p):
    for _ in range(p.count):
        time = 0.75 / p.pace * track.jitter()
        stretch = track.stretch(2 * time + 0.3)
        over = plus(track, "spine", 0, 0, 0.55 * p.sign)
        stretch.keys("spine", [(time, over), (time + 0.3, over), (stretch.duration, track.get("spine"))])
        hip = plus(track, "pelvis", 0, 0, 0.08 * p.sign)
        stretch.keys("pelvis", [(time, hip), (time + 0.3, hip), (stretch.duration, track.get("pelvis"))])
        if track.posture == "standing":
            shift(
                stretch, [(time, (-0.04 * p.sign, 0)), (time + 0.3, (-0.04 * p.sign, 0)), (stretch.duration, (0, 0))]
            )
        track.add(stretch)


@action(
    "twist",
    ["<twist> {their} torso from side to side {count} {speed}", "<rotate> {their} upper body left and right {count} {speed}", "<twist> at the waist {count} {speed}"],
    {"count": (2, 3, 4), "speed": SPEEDS}, arms="both", legs=False, weight=1.0,
)  # fmt: skip
def twist(track, p):
    period = {"": 1.5, "slow": 2.2, "fast": 1.0}[p.speed] / track.style.pace
    bent = (0.1, -0.3, 0.4)
    stretch = strokes(track, (LEFT, RIGHT), bent, [(0.5, bent)], p.count, period, 0.5, 0.5)
    first = 1 if track.rng.random() < 0.5 else -1
    spine, keys = track.get("spine"), [(0.3, track.get("spine"))]
    for begin, end in zip(stretch.beats[:-1], stretch.beats[1:]):
        keys += [
            (begin + 0.25 * (end - begin), spine + [0, 0.65 * first, 0]),
            (begin + 0.75 * (end - begin), spine + [0, -0.65 * first, 0]),
        ]
    stretch.keys("spine", keys + [(stretch.duration, spine)])
    track.add(stretch)


@action(
    "shrug",
    ["<shrug> {their} shoulders {count}", "<shrug> {count}", "<raise> {their} shoulders and palms in a shrug {count}"],
    {"count": (1, 2)}, arms="both", legs=False, weight=0.8,
)  # fmt: skip
def shrug(track, p):
    stretch = strokes(track, (LEFT, RIGHT), (0.2, -0.62, 0.3), [(0.5, (0.36, -0.28, 0.4))], p.count, 1.0, 0.35, 0.45)
    nod_head(
        stretch, [(0.5, (0.05, 0, 0.12)), (stretch.duration - 0.4, (0.05, 0, 0.12)), (stretch.duration, (0, 0, 0))]
    )
    track.add(stretch)


@action(
    "look",
    ["<look> {dir}", "<turn> {their} head {dir}", "<look> {dir} for a moment", "<glance> {dir}"],
    {"dir": ("left", "right", "up", "down")},
    words={"dir": {"left": ["to the left", "to their left"], "right": ["to the right", "to their right"], "up": ["up", "upwards"], "down": ["down", "downwards"]}},
    arms="", legs=False, weight=1.3,
)  # fmt: skip
def look(track, p):
    gaze = {"left": (0, 1.05, 0), "right": (0, -1.05, 0), "up": (-0.65, 0, 0), "down": (0.65, 0, 0)}[p.dir]
    stretch = track.stretch(1.1 + seconds_between(track, 0.5, 1.3))
    end = stretch.duration
    nod_head(stretch, [(0.5, gaze), (end - 0.5, gaze), (end, (0, 0, 0))])
    turn = plus(track, "spine", 0.25 * gaze[0], 0.25 * gaze[1], 0)
    stretch.keys("spine", [(0.55, turn), (end - 0.5, turn), (end, track.get("spine"))])
    track.add(stretch)


@action(
    "look_around",
    ["<look> around {speed}", "<look> left and right {speed}", "<turn> {their} head from side to side {speed}", "<look> around {speed} as if searching for something"],
    {"speed": ("", "slow", "fast")}, arms="", legs=False, weight=1.2,
)  # fmt: skip
def look_around(track, p):
    step = {"": 0.75, "slow": 1.15, "fast": 0.5}[p.speed] / track.style.pace
    first = 1 if track.rng.random() < 0.5 else -1
    turns = int(track.rng.integers(3, 5))
    stretch = track.stretch((turns + 1) * step)
    keys = [
        (
            (index + 0.9) * step,
            (0.1 * (-1) ** index * track.style.noise, first * (-1) ** index * 1.0 * track.jitter(), 0),
        )
        for index in range(turns)
    ]
    nod_head(stretch, keys + [(stretch.duration, (0, 0, 0))])
    spine = track.get("spine")
    stretch.keys("spine", [(time, spine + [0, 0.3 * gaze[1], 0]) for time, gaze in keys] + [(stretch.duration, spine)])
    track.add(stretch)


@action(
    "nod",
    ["<nod> {their} head {count}", "<nod> {count}", "<nod> in agreement {count}"],
    {"count": (2, 3, 4)}, arms="", legs=False, weight=0.9,
)  # fmt: skip
def nod(track, p):
    times = _nod_times(track, p.count)
    stretch = track.stretch(times[-1] + 0.2)
    keys = []
    for begin, end in zip(times[:-1], times[1:]):
        keys += [(0.5 * (begin + end), (0.5, 0, 0)), (end, (0, 0, 0))]
    nod_head(stretch, keys)
    track.add(stretch)


@action(
    "shake_head",
    ["<shake> {their} head {count}", "<shake> {their} head no {count}", "<shake> {their} head from side to side {count}"],
    {"count": (2, 3, 4)}, arms="", legs=False, weight=0.9,
)  # fmt: skip
def shake_head(track, p):
    times = _nod_times(track, p.count)
    stretch = track.stretch(times[-1] + 0.2)
    keys, first = [], (1 if track.rng.random() < 0.5 else -1)
    for begin, end in zip(times[:-1], times[1:]):
        keys += [
            (begin + 0.25 * (end - begin), (0, 0.6 * first, 0)),
            (begin + 0.75 * (end - begin), (0, -0.6 * first, 0)),
        ]
    nod_head(stretch, keys + [(stretch.duration, (0, 0, 0))])
    track.add(stretch)


def _nod_times(track, count: int) -> list[float]:
    """Start times of nods: about 0.6 s each."""
    times = [0.1]
    for _ in range(count):
        times.append(times[-1] + 0.6 * track.jitter() / track.style.pace)
    return times


@action(
    "swim",
    lambda p: {
        "crawl": ["<swim> with a front crawl {speed}", "<make> front crawl strokes {speed}", "<swim> freestyle, alternating {their} arms {speed}"],
        "breast": ["<swim> a breaststroke {speed}", "<make> breaststroke motions with both arms {speed}", "<swim> breaststroke {speed}"],
        "back": ["<swim> a backstroke {speed}", "<make> backstroke motions with {their} arms {speed}", "<swim> backstroke {speed}"],
    }[p.stroke],
    {"stroke": ("crawl", "breast", "back"), "speed": SPEEDS}, words={"stroke": {"crawl": [""], "breast": [""], "back": [""]}},
    arms="both", legs=False, weight=1.8,
)  # fmt: skip
def swim(track, p):
    period = {"": 1.5, "slow": 2.2, "fast": 1.05}[p.speed] / track.style.pace
    count = 3 if p.speed == "slow" else int(track.rng.integers(3, 5))
    rise = 0.6
    stretch = track.stretch(rise + count * period + 0.6)
    t = stretch.t
    end = stretch.duration
    on = envelope(t, end, rise)[:, None]
    cycle = np.clip((t - rise) / period, 0, count)
    bend = {"crawl": 0.6, "breast": 0.45, "back": -0.08}[p.stroke] * (1.0 if track.posture == "standing" else 0.4)
    for side in (LEFT, RIGHT):
        hand = stretch["hand"][:, 3 * side : 3 * side + 3]
        if p.stroke == "breast":
            keys = (
                (0, (-0.3, 0.0, 0.9)),
                (0.35, (0.55, 0.0, 0.72)),
                (0.6, (0.1, -0.35, 0.42)),
                (0.75, (-0.3, -0.2, 0.45)),
                (1, (-0.3, 0.0, 0.9)),
            )
            shares, places = zip(*keys)
            goal = np.stack([np.interp(cycle % 1, shares, [place[axis] for place in places]) for axis in range(3)], -1)
            goal = _smoothed(goal, track.fps)
        else:
            way = -1.0 if p.stroke == "crawl" else 1.0
            angle = 2 * np.pi * cycle + (np.pi if side == RIGHT else 0.0)
            radius = 0.92 - 0.25 * np.clip(-way * np.sin(angle) * -1, 0, 1)
            goal = radius[:, None] * np.stack(
                [0.16 + 0.12 * np.sin(angle) ** 2, -np.cos(angle), way * np.sin(angle)], -1
            )
            pole = stretch["pole"][:, 3 * side : 3 * side + 3]
            pole[:] = (1 - on) * pole + on * np.array((1.0, 0.1, -0.2))
        hand[:] = (1 - on) * track.hang + on * goal
        stretch.keys("world_weight", [(rise, 0.0)], side, 1)
    spine = track.get("spine")
    stretch.keys("spine", [(rise, spine + [bend, 0, 0]), (end - rise, spine + [bend, 0, 0]), (end, spine)])
    if p.stroke != "breast":
        stretch["spine"][:, 1] += (0.28 * np.sin(2 * np.pi * cycle) * on[:, 0]) * (1 if p.stroke == "crawl" else -1)
    stretch["head"][:, 0] -= 0.6 * (stretch["spine"][:, 0] - spine[0])
    track.add(stretch)


def _smoothed(values: np.ndarray, fps: float) -> np.ndarray:
    """A running mean over about 0.15 s."""
    width = 2 * max(1, round(0.075 * fps)) + 1
    padded = np.pad(values, ((width // 2, width // 2), (0, 0)), mode="edge")
    return np.lib.stride_tricks.sliding_window_view(padded, width, axis=0).mean(-1)
