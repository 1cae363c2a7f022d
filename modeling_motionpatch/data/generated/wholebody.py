"""Kinds of action of legs and trunk: kicking, squatting, sitting, kneeling, lying, bowing, ..."""

import numpy as np

from .actions import SIDE, SIZES, SPEEDS, action, level_gaze, place_foot, plus, shift
from .tracks import LEFT, RIGHT, STANDING_HEIGHT, Stretch, Track, envelope


COUNTS = (1, 2, 3, 4)


def lift_leg(track: Track, foot: int, place, seconds: float, pitch: float = 0.5, bend_arms: float = 0.0) -> None:
    """Shifts the weight onto the other leg and brings `foot` to `place` (out, lift, ahead)."""
    stretch = track.stretch(seconds)
    sign = 1 - 2 * foot
    shift(stretch, [(0.7 * seconds, (-sign * 0.085, 0.0))])
    place_foot(stretch, foot, [(0.3 * seconds, (0, 0, 0)), (seconds, place)],
               free=[(0.3 * seconds, 0.0), (0.6 * seconds, 1.0)], pitch=[(0.3 * seconds, 0.15), (seconds, pitch)])  # fmt: skip
    stretch.keys("spine", [(seconds, plus(track, "spine", 0.02, 0, sign * 0.05))])
    if bend_arms:
        for side in (LEFT, RIGHT):
            stretch.hand(side, [(seconds, (0.14 + bend_arms, -0.95 + 0.75 * bend_arms, 0.12))])
    track.add(stretch)


def lower_leg(track: Track, seconds: float) -> None:
    """Both feet beside the pelvis again, hands down, trunk upright."""
    stretch = track.stretch(seconds)
    for side in (LEFT, RIGHT):
        place, yaw = track.stance(side)
        pos = _between_feet(track)
        if track.get("foot_free")[side] > 0.5:
            other = 1 - side
            planted = track.last[track.foot_slice(other)]
            sign, heading = 1 - 2 * side, float(track.get("yaw")[0])
            width = 2 * (track.body.stance_width + track.style.width * track.scale)
            place = planted + [sign * width * np.cos(heading), 0, -sign * width * np.sin(heading)]
            pos = 0.5 * (place + planted)[[0, 2]] + 0.02 * track.scale * np.array([np.sin(heading), np.cos(heading)])
            stretch.keys("foot", [(0.75 * seconds, place)], side)
            stretch.keys("foot_free", [(0.3 * seconds, 1.0), (0.72 * seconds, 0.0)], side, 1)
            stretch.keys("foot_pitch", [(0.6 * seconds, 0.1), (0.8 * seconds, 0.0)], side, 1)
            stretch.keys("foot_yaw", [(0.7 * seconds, yaw)], side, 1)
            stretch.keys("pos", [(seconds, pos)])
        stretch.keys("knee_out", [(seconds, 0.0)], side, 1)
        stretch.hand(side, [(seconds, track.hang)])
    upright(stretch, seconds)
    track.add(stretch)


def _between_feet(track: Track) -> np.ndarray:
    feet = [track.last[track.foot_slice(side)] for side in (LEFT, RIGHT)]
    return 0.5 * (feet[0] + feet[1])[[0, 2]]


def upright(stretch: Stretch, at: float) -> None:
    """Trunk, head and pelvis back to how the person stands, `at` seconds."""
    style = stretch.track.style
    stretch.keys("height", [(at, STANDING_HEIGHT)])
    stretch.keys("pelvis", [(at, (style.lean, 0, 0))])
    stretch.keys("spine", [(at, (style.slouch, 0, 0))])
    stretch.keys("head", [(at, (-0.6 * style.slouch - 0.4 * style.lean, 0, 0))])


# --------------------------------------------------------------------------------------------------------------------
# On both feet


def bend_down(
    track: Track, height: float, pitch: float, down: float, hold: float, up: float, hands=None, back: float = 0.0,
    spine: float = 0.3, heels: float = 0.0, knees: float = 0.1,
) -> None:  # fmt: skip
    """Goes down to `height` with the trunk bent by `pitch`, stays, and comes up again."""
    stretch = track.stretch(down + hold + up)
    bottom = down + hold
    stretch.keys("height", [(down, height), (bottom, height + 0.001), (bottom + up, STANDING_HEIGHT)])
    low = plus(track, "pelvis", pitch * (1 - spine), 0, 0)
    stretch.keys("pelvis", [(down, low), (bottom, low), (bottom + up, track.get("pelvis"))])
    low = plus(track, "spine", pitch * spine, 0, 0)
    stretch.keys("spine", [(down, low), (bottom, low), (bottom + up, track.get("spine"))])
    level_gaze(stretch, 0.55)
    shift(stretch, [(down, (0, back)), (bottom, (0, back)), (bottom + up, (0, 0))])
    for side in (LEFT, RIGHT):
        stretch.keys("knee_out", [(down, knees), (bottom, knees), (bottom + up, 0.0)], side, 1)
        if heels:
            stretch.keys("foot_pitch", [(down, heels), (bottom, heels), (bottom + up, 0.0)], side, 1)
        if hands is not None:
            stretch.hand(side, [(down, hands), (bottom, hands), (bottom + up, track.hang)])
    track.add(stretch)


@action(
    "squat",
    ["<squat> {size} {count} {speed}", "<squat> down {size} {count} {speed}", "<crouch> down {size} {count} and <come> back up",
     "<bend> {their} knees and <squat> {size} {count}"],
    {"count": (1, 2, 3), "size": SIZES, "speed": SPEEDS},
    words={"size": {"small": ["slightly", "halfway"], "large": ["deeply", "all the way down"]}}, weight=1.5, arms="both",
)  # fmt: skip
def squat(track, p):
    height = {"": 0.62, "small": 0.8, "large": 0.47}[p.size]
    for _ in range(p.count):
        time = (STANDING_HEIGHT - height) * 2.1 * track.jitter() / p.pace
        deep = (STANDING_HEIGHT - height) / 0.5
        bend_down(track, height, 0.72 * deep, 0.35 + time, 0.25 * track.jitter(0.3), 0.3 + time,
                  hands=(-0.1, 0.35 * deep, 0.8 * track.style.size), back=-0.14 * deep, knees=0.3, heels=0.0)  # fmt: skip


@action(
    "bow",
    ["<bow> {size} {count} {speed}", "<bow> {speed} {size} {count}", "<bend> forward at the waist {size} {count}", "<take> a bow {speed} {count}",
     "<lean> forward and <bow> {size} {count}"],
    {"count": (1, 2, 3), "size": SIZES, "speed": SPEEDS},
    words={"size": {"small": ["slightly", "a little"], "large": ["deeply", "low"]}}, weight=1.3,
)  # fmt: skip
def bow(track, p):
    pitch = {"": 0.8, "small": 0.38, "large": 1.35}[p.size] * track.jitter(0.06)
    for _ in range(p.count):
        time = (0.45 + 0.35 * pitch) / p.pace * track.jitter()
        bend_down(track, STANDING_HEIGHT - 0.01, pitch, time, 0.35 * track.jitter(0.3), time * 1.1,
                  back=-0.10 * pitch, spine=0.42, knees=0.0)  # fmt: skip


@action(
    "touch_toes",
    ["<bend> down to touch {their} toes {count} {speed}", "<touch> {their} toes {count} {speed}", "<reach> down to {their} feet {count}",
     "<bend> over and <touch> {their} feet {count} {speed}"],
    {"count": (1, 2, 3), "speed": ("", "slow")}, weight=1.0, arms="both",
)  # fmt: skip
def touch_toes(track, p):
    for _ in range(p.count):
        time = 1.0 / p.pace * track.jitter()
        bend_down(track, STANDING_HEIGHT - 0.03, 1.95, time, 0.3 * track.jitter(0.3), time,
                  hands=(-0.1, -0.55, 0.8), back=-0.2, spine=0.55, knees=0.0)  # fmt: skip


@action(
    "lunge",
    ["<lunge> forward with {their} {side} leg {count} {speed}", "<do> lunges with the {side} leg {count}",
     "<step> forward into a lunge with the {side} foot {count} {speed}", "<lunge> forward {count}"],
    {"side": SIDE, "count": (1, 2, 3), "speed": ("", "slow")}, weight=1.2,
)  # fmt: skip
def lunge(track, p):
    foot, other = p.foot, 1 - p.foot
    for _ in range(p.count):
        time = 0.75 / p.pace * track.jitter()
        hold, ahead = 0.3 * track.jitter(0.3), 0.72 * track.jitter(0.05)
        stretch = track.stretch(2 * time + hold)
        bottom = time + hold
        end = stretch.duration
        shift(stretch, [(time, (0, 0.5 * ahead)), (bottom, (0, 0.5 * ahead)), (end, (0, 0))])
        stretch.keys("height", [(time, 0.68), (bottom, 0.68), (end, STANDING_HEIGHT)])
        step = 0.62 * time
        place_foot(stretch, foot, [(0.05 * time, (0, 0, 0)), (0.5 * step, (0, 0.09, 0.5 * ahead)), (step, (0, 0, ahead)),
                                   (bottom + 0.35 * time, (0, 0, ahead)), (bottom + 0.6 * time, (0, 0.09, 0.5 * ahead)),
                                   (end, (0, 0, 0))],
                   pitch=[(0.1 * time, 0.0), (step, -0.15), (step + 0.08, 0.0), (end, 0.0)])  # fmt: skip
        stretch.keys("foot_pitch", [(0.3 * time, 0.0), (time, 0.85), (bottom, 0.85), (end, 0.0)], other, 1)
        for side in (LEFT, RIGHT):
            stretch.hand(side, [(time, (0.16, -0.9, 0.1)), (end, track.hang)])
        track.add(stretch)


@action(
    "sway",
    ["<sway> from side to side {speed}", "<rock> from side to side {speed}", "<shift> {their} weight from side to side {speed}",
     "<sway> {their} hips left and right {speed}"],
    {"speed": ("", "slow", "fast")}, cyclic=True,
)  # fmt: skip
def sway(track, p):
    period = {"": 1.9, "slow": 2.7, "fast": 1.3}[p.speed]
    count = max(2, round((3 + 2 * track.rng.random()) / period))
    stretch = track.stretch(count * period)
    wave = np.sin(2 * np.pi * stretch.t / period) * envelope(stretch.t, stretch.duration, 0.4)
    yaw = float(track.get("yaw")[0])
    offset = 0.10 * track.scale * wave
    stretch["pos"][:, 0] += offset * np.cos(yaw)
    stretch["pos"][:, 1] -= offset * np.sin(yaw)
    stretch["pelvis"][:, 2] += -0.07 * wave
    stretch["spine"][:, 2] += 0.16 * wave
    stretch["height"][:, 0] -= 0.02 * np.abs(wave)
    for side in (LEFT, RIGHT):
        stretch["hand"][:, 3 * side] += 0.06 * wave * (1 - 2 * side)
    track.add(stretch)


@action(
    "dance",
    ["<dance> {speed}", "<dance> in place {speed}", "<dance> {speed} moving {their} arms", "<groove> from side to side and <swing> {their} arms {speed}"],
    {"speed": ("", "slow", "fast")}, cyclic=True, weight=1.3, arms="both",
)  # fmt: skip
def dance(track, p):
    rng = track.rng
    period = {"": 1.05, "slow": 1.6, "fast": 0.75}[p.speed] * track.jitter()
    count = 2 * max(2, round((2.0 + rng.random()) / period))
    stretch = track.stretch(count * period)
    t = stretch.t
    on = envelope(t, stretch.duration, 0.5)
    cycle = t / period
    wave, twice = np.sin(np.pi * cycle), np.sin(2 * np.pi * cycle)
    yaw = float(track.get("yaw")[0])
    move = 0.11 * track.scale * wave * on
    stretch["pos"][:, 0] += move * np.cos(yaw)
    stretch["pos"][:, 1] -= move * np.sin(yaw)
    stretch["height"][:, 0] -= on * (0.05 - 0.035 * np.cos(4 * np.pi * cycle))
    stretch["pelvis"][:, 1] += 0.2 * on * twice * rng.uniform(0.5, 1.3)
    stretch["spine"][:, 1] -= 0.3 * on * twice
    stretch["spine"][:, 2] += 0.15 * on * wave
    stretch["head"][:, 2] += 0.12 * on * np.sin(2 * np.pi * cycle + 0.6)
    height, reach, lag = rng.uniform(-0.55, 0.35), rng.uniform(0.25, 0.5), rng.uniform(-0.6, 0.6)
    together = 1 if rng.random() < 0.5 else -1
    for side in (LEFT, RIGHT):
        phase = np.pi * cycle + lag + (0 if together > 0 or side == LEFT else np.pi)
        goal = np.stack(
            [reach + 0.15 * np.sin(phase), height + 0.28 * np.sin(2 * phase), 0.45 + 0.12 * np.cos(phase)], -1
        )
        hand = stretch["hand"][:, 3 * side : 3 * side + 3]
        hand[:] = (1 - on[:, None]) * hand + on[:, None] * goal
        tap = np.clip(np.sin(np.pi * cycle + (0 if side == RIGHT else np.pi)), 0, 1) ** 2
        stretch["foot_pitch"][:, side] = 0.5 * tap * on
    track.add(stretch)


# --------------------------------------------------------------------------------------------------------------------
# On one foot


_KICKS = {
    "forward": ((0.0, 0.22, -0.25), {"small": (0, 0.26, 0.60), "": (0, 0.60, 0.74), "large": (0, 1.0, 0.74)}),
    "sideways": ((0.0, 0.35, 0.05), {"small": (0.45, 0.28, 0.0), "": (0.62, 0.52, 0.02), "large": (0.68, 0.8, 0.05)}),
    "backward": ((0.0, 0.3, 0.15), {"small": (0, 0.2, -0.5), "": (0, 0.42, -0.62), "large": (0, 0.66, -0.62)}),
}


@action(
    "kick",
    ["<kick> {dir} {size} with {their} {side} leg {count} {speed}", "<kick> {their} {side} leg {dir} {size} {count} {speed}",
     "<do> a {size} {side} kick {dir} {count}", "<kick> {dir} {size} with the {side} foot {count} {speed}",
     "<kick> {dir} {count}"],
    {"side": SIDE, "dir": ("forward", "forward", "sideways", "backward"), "size": SIZES, "count": (1, 2, 3), "speed": ("", "slow", "fast")},
    words={"dir": {"forward": ["forward", "in front of them", "to the front"], "sideways": ["to the side", "sideways"],
                   "backward": ["backward", "backwards", "behind them"]},
           "size": {"small": ["low"], "large": ["high"]}},
    weight=2.5,
)  # fmt: skip
def kick(track, p):
    foot, sign = p.foot, p.sign
    wind, tops = _KICKS[p.dir]
    top = np.array(tops[p.size]) * (1, track.jitter(0.05), 1)
    high = {"small": 0.4, "": 1.0, "large": 1.6}[p.size]
    for _index in range(p.count):
        slow = {"": 1.0, "slow": 1.6, "fast": 0.8}[p.speed] / track.style.pace * track.jitter()
        w, k, b = 0.42 * slow, 0.24 * slow, 0.5 * slow
        stretch = track.stretch(w + k + 0.06 + b)
        hit, end = w + k, stretch.duration
        aside = (-sign * 0.085, -0.02)
        shift(stretch, [(0.8 * w, aside), (hit + 0.1, aside), (end, (0, 0))])
        place_foot(stretch, foot, [(0.25 * w, (0, 0, 0)), (w, wind), (hit, top), (hit + 0.06, top), (hit + 0.55 * b, (0.0, 0.2, 0.0)),
                                   (end - 0.05, (0, 0, 0))],
                   free=[(0.25 * w, 0), (0.7 * w, 1), (hit + 0.6 * b, 1), (end - 0.05, 0)],
                   pitch=[(0.25 * w, 0.2), (w, 0.35), (hit, 0.25), (end - 0.05, 0)])  # fmt: skip
        lean = {
            "forward": (-0.14 * high, 0, 0),
            "sideways": (0.05, 0, -sign * 0.22 * high),
            "backward": (0.28 * high, 0, 0),
        }[p.dir]
        stretch.keys(
            "pelvis", [(w, track.get("pelvis")), (hit, plus(track, "pelvis", *lean)), (end, track.get("pelvis"))]
        )
        lean = {"forward": (0.12, -sign * 0.15, 0), "sideways": (0.05, 0, -sign * 0.12), "backward": (0.15, 0, 0)}[
            p.dir
        ]
        stretch.keys(
            "spine",
            [(w, plus(track, "spine", 0.08, 0, 0)), (hit, plus(track, "spine", *lean)), (end, track.get("spine"))],
        )
        stretch.keys("height", [(w, 0.955), (hit, 0.965), (end, STANDING_HEIGHT)])
        level_gaze(stretch, 0.5)
        for side in (LEFT, RIGHT):
            ahead = 0.35 if side != foot else -0.1
            stretch.hand(side, [(w, (0.3, -0.55, 0.4)), (hit, (0.4, -0.6, ahead)), (end, track.hang)])
        track.add(stretch)


@action(
    "knee_raise",
    ["<raise> {their} {side} knee {size} {count} {speed}", "<lift> {their} {side} knee up {size} {count} {speed}",
     "<bring> {their} {side} knee up {size} {count}", "<lift> {their} {side} leg {count}"],
    {"side": SIDE, "count": (1, 2, 3), "size": ("", "large"), "speed": ("", "slow")},
    words={"size": {"large": ["high", "to the chest"]}}, weight=1.2,
)  # fmt: skip
def knee_raise(track, p):
    foot, sign = p.foot, p.sign
    lift = (0.0, 0.62, 0.30) if p.size == "large" else (0.0, 0.40, 0.24)
    for _ in range(p.count):
        time = 0.55 / p.pace * track.jitter()
        stretch = track.stretch(2 * time + 0.15)
        end = stretch.duration
        shift(stretch, [(0.6 * time, (-sign * 0.08, 0)), (time + 0.2, (-sign * 0.08, 0)), (end, (0, 0))])
        place_foot(stretch, foot, [(0.2 * time, (0, 0, 0)), (time, lift), (time + 0.12, lift), (end - 0.03, (0, 0, 0))],
                   free=[(0.2 * time, 0), (0.6 * time, 1), (time + 0.5 * time, 1), (end - 0.03, 0)],
                   pitch=[(0.2 * time, 0.2), (time, 0.25), (end, 0.0)])  # fmt: skip
        for side in (LEFT, RIGHT):
            stretch.hand(side, [(time, (0.2, -0.9, 0.2 if side != foot else 0.0)), (end, track.hang)])
        track.add(stretch)


@action(
    "balance",
    ["<balance> on {their} {side} leg {hold}", "<stand> on {their} {side} foot {hold}", "<stand> on one leg, the {side} one, {hold}",
     "<lift> {their} {other} foot and <balance> on the {side} leg {hold}", "<balance> on one foot {hold}"],
    {"side": SIDE, "hold": ("", "long")}, words={"hold": {"": [""], "long": ["for a long time", "for a while"]}},
    weight=1.2, arms="both",
)  # fmt: skip
def balance(track, p):
    other = 1 - p.foot
    lift_leg(track, other, (-0.04, 0.36, 0.04), 0.8, pitch=0.4, bend_arms=0.62 * track.style.size)
    stretch = track.stretch((4.0 if p.hold == "long" else 1.6) * track.jitter(0.15))
    on = envelope(stretch.t, stretch.duration, 0.3)
    rng = track.rng
    for channel, column, amplitude in (("spine", 2, 0.07), ("spine", 0, 0.04), ("pelvis", 1, 0.06)):
        wave = np.sin(2 * np.pi * rng.uniform(0.4, 0.8) * stretch.t + rng.uniform(0, 6)) * on
        stretch[channel][:, column] += amplitude * wave * (1.0 if column == 0 else p.sign)
    for side in (p.foot, other):
        wave = np.sin(2 * np.pi * rng.uniform(0.5, 0.9) * stretch.t + rng.uniform(0, 6)) * on
        stretch["hand"][:, 3 * side + 1] += 0.1 * wave
    track.add(stretch)
    lower_leg(track, 0.8)


@action(
    "stomp",
    ["<stomp> {their} {side} foot {count}", "<stamp> with {their} {side} foot {count}", "<stomp> on the ground with the {side} foot {count}",
     "<stomp> {count}"],
    {"side": SIDE, "count": COUNTS}, weight=0.9,
)  # fmt: skip
def stomp(track, p):
    foot, sign = p.foot, p.sign
    for _ in range(p.count):
        stretch = track.stretch(0.8 * track.jitter() / track.style.pace)
        end = stretch.duration
        shift(stretch, [(0.3 * end, (-sign * 0.07, 0)), (0.7 * end, (-sign * 0.05, 0)), (end, (0, 0))])
        place_foot(stretch, foot, [(0.15 * end, (0, 0, 0)), (0.5 * end, (0, 0.24, 0.1)), (0.64 * end, (0, 0, 0.0))],
                   pitch=[(0.15 * end, 0.1), (0.5 * end, 0.1), (0.64 * end, 0.0)])  # fmt: skip
        stretch.keys("height", [(0.5 * end, 0.98), (0.66 * end, 0.95), (end, STANDING_HEIGHT)])
        stretch.keys("spine", [(0.66 * end, plus(track, "spine", 0.12, 0, 0)), (end, track.get("spine"))])
        track.add(stretch)
