"""Kinds of action that leave the floor: jumping, hopping, jumping jacks, skipping rope.

Flight is ballistic: the time in the air follows from the height.
"""

import numpy as np

from .actions import SIDE, SIZES, action, beats, level_gaze
from .tracks import CHANNELS, LEFT, RIGHT, STANDING_HEIGHT, Track, ease, envelope
from .wholebody import COUNTS, lift_leg, lower_leg


GRAVITY = 9.81  # m/s2


def leap(
    track: Track, height: float, way=(0.0, 0.0), legs=(LEFT, RIGHT), arms: bool = True, crouch: float = 0.17,
    turn: float = 0.0, first: bool = True, last: bool = True, spread: float = 0.0,
) -> None:  # fmt: skip
    """One jump: crouch, flight of `height` metres, landing.

    Args:
        track ([`Track`]): Stands on `legs`.
        height (`float`): Metres the pelvis rises in flight.
        way (pair of `float`): Metres to the left and forwards.
        legs (sequence of sides): Those that jump; the other foot stays in the air where it is.
        arms (`bool`): Whether the arms swing along.
        crouch (`float`): How far the pelvis goes down before.
        turn (`float`): Radians turned to the left in flight.
        first, last (`bool`): Whether the jump begins and ends a series (it ends standing only if it is the last).
        spread (`float`): Metres the feet land further out.
    """
    height = height * track.jitter(0.1) * track.scale
    flight = np.sqrt(8 * height / GRAVITY)
    down = (0.32 if first else 0.14) * track.jitter()
    push, absorb, recover = 0.18, 0.16, 0.42 if last else 0.06
    takeoff, land = down + push, down + push + flight
    stretch = track.stretch(land + absorb + recover)
    t = stretch.t
    low, high = STANDING_HEIGHT - crouch, STANDING_HEIGHT + 0.015
    now = float(track.get("height")[0])
    u = np.clip((t - takeoff) / flight, 0, 1)
    air = 4 * height * u * (1 - u)
    h = now + (low - now) * ease(t / down)
    h = np.where(t > down, low + (high - low) * np.clip((t - down) / push, 0, 1) ** 2, h)
    after = np.clip((t - land) / absorb, 0, 1)
    h = np.where(t > land, high - (high - low) * (1 - (1 - after) ** 2), h)
    rest = STANDING_HEIGHT if last else low + 0.02
    h = np.where(t > land + absorb, low + (rest - low) * ease((t - land - absorb) / recover), h)
    stretch["height"][:, 0] = h + air / track.body.pelvis_height
    goal = track.local(*way)
    move = goal - track.get("pos")
    start = track.get("pos").copy()
    early = 0.15 * ease((t - 0.5 * down) / (takeoff - 0.5 * down))  # leans into the jump before it leaves the floor
    share = np.clip(early + 0.75 * u + 0.10 * ease((t - land) / absorb), 0, 1)
    stretch["pos"][:] = start + share[:, None] * move
    yaw = float(track.get("yaw")[0])
    stretch["yaw"][:, 0] = yaw + turn * ease(u)
    for side in (LEFT, RIGHT):
        feet = stretch.data[:, track.foot_slice(side)]
        if side in legs:
            begin = track.last[track.foot_slice(side)].copy()
            end, end_yaw = track.stance(side, out=spread, pos=goal, yaw=yaw + turn)
            if len(legs) == 1:
                end[[0, 2]] = begin[[0, 2]] + move
            feet[:] = begin + ease(u)[:, None] * (end - begin)
            feet[:, 1] = begin[1] + air + 0.10 * track.scale * np.sin(np.pi * u) ** 2 * min(1.0, height / 0.25)
            stretch["foot_yaw"][:, side] += ease(u) * (end_yaw - track.get("foot_yaw")[side])
            stretch["foot_swing"][:, side] = (u > 0) & (u < 1)
            heel = 0.75 * np.clip((t - down) / push, 0, 1) ** 2
            settle = 0.3 * (1 - ease((t - land) / (0.6 * absorb)))  # lands on the ball, then on the heel
            stretch["foot_pitch"][:, side] = np.where(
                t < takeoff, heel, np.where(t < land, 0.75 - 0.45 * ease(u), settle)
            )
        else:
            feet[:] += (share[:, None] * np.array([move[0], 0, move[1]])) + air[:, None] * [0, 1, 0]
    bend = np.clip((STANDING_HEIGHT - h) / 0.3, 0, 1)
    base_pelvis, base_spine = track.style.lean, track.style.slouch
    stretch["pelvis"][:, 0] = base_pelvis + 0.7 * bend
    stretch["spine"][:, 0] = base_spine + 0.35 * bend
    level_gaze(stretch)
    if arms:
        size = track.style.size
        high_hand = (0.30, -0.1 + 0.5 * min(1.0, height / 0.35), 0.65 * size)
        for side in (LEFT, RIGHT):
            stretch.hand(side, [
                (0.8 * down, (0.2, -0.72, -0.45)), (takeoff + 0.1, high_hand), (land - 0.02, (0.4, -0.35, 0.4)),
                (land + absorb, (0.25, -0.75, 0.2)),
                (stretch.duration, track.hang if last else (0.22, -0.8, -0.1)),
            ])  # fmt: skip
    track.add(stretch)


_JUMP_HEIGHT = {"": 0.18, "small": 0.07, "large": 0.38}
_JUMP_WAY = {
    "": (0, 0),
    "up": (0, 0),
    "forward": (0, 0.65),
    "backward": (0, -0.4),
    "left": (0.45, 0),
    "right": (-0.45, 0),
}


@action(
    "jump",
    lambda p: ["<jump> {dir} {size} {count}", "<jump> {size} {dir} {count}", "<leap> {dir} {size} {count}"]
    + (["<jump> up and down {size}"] if p.count > 1 and p.dir in ("", "up") else [])
    + (["<jump> up in the air {size} {count}"] if p.dir in ("", "up") else []),
    {"dir": ("", "up", "forward", "forward", "backward", "left", "right"), "size": SIZES, "count": COUNTS},
    words={"size": {"small": ["slightly", "a little"], "large": ["high", "really high"]},
           "dir": {"": [""], "up": ["up", "straight up"], "forward": ["forward", "forwards"],
                   "backward": ["backward", "backwards"],
                   "left": ["to the left", "to their left"], "right": ["to the right", "to their right"]}},
    weight=2.2, arms="both",
)  # fmt: skip
def jump(track, p):
    for index in range(p.count):
        leap(track, _JUMP_HEIGHT[p.size], _JUMP_WAY[p.dir], first=index == 0, last=index == p.count - 1)


@action(
    "jump_spin",
    ["<jump> and <turn> {angle} to the {side} in the air", "<jump> up and <spin> {angle} to {their} {side}", "<jump> while turning {side} {angle}",
     "<do> a jump turning {angle} to the {side}"],
    {"side": SIDE, "angle": ("", "half")}, words={"angle": {"": [""], "half": ["180 degrees", "halfway around"]}}, weight=0.7, arms="both",
)  # fmt: skip
def jump_spin(track, p):
    leap(track, 0.3, turn=p.sign * (np.pi if p.angle == "half" else 0.5 * np.pi))


@action(
    "hop",
    ["<hop> {dir} on {their} {side} foot {count}", "<hop> {dir} {count} on the {side} leg", "<jump> {dir} on one leg {count}",
     "<hop> {count} {dir} with {their} {side} leg"],
    {"side": SIDE, "dir": ("in place", "forward"), "count": (2, 3, 4, 5)},
    words={"dir": {"in place": ["in place", "on the spot", ""], "forward": ["forward"]}}, weight=1.5, arms="both",
)  # fmt: skip
def hop(track, p):
    other = 1 - p.foot
    lift_leg(track, other, (-0.02, 0.34, -0.22), 0.55, pitch=0.6, bend_arms=0.25)
    for index in range(p.count):
        leap(track, 0.075, (0, 0.36 if p.dir == "forward" else 0.0), legs=(p.foot,), arms=False, crouch=0.09,
             first=index == 0, last=index == p.count - 1)  # fmt: skip
    lower_leg(track, 0.6)


@action(
    "jumping_jacks",
    ["<do> {count} {speed}", "<perform> {count} {speed}", "<do> {speed} {count}"],
    {"count": (2, 3, 4, 5, 6), "speed": ("", "slow", "fast")},
    words={"count": {2: ["two jumping jacks"], 3: ["three jumping jacks"], 4: ["four jumping jacks"],
                     5: ["five jumping jacks"], 6: ["six jumping jacks"], None: ["jumping jacks"]}},
    weight=1.5, arms="both",
)  # fmt: skip
def jumping_jacks(track, p):
    period = {"": 1.05, "slow": 1.35, "fast": 0.85}[p.speed] / track.style.pace
    times = beats(track, p.count, period)
    stretch = track.stretch(times[-1] + 0.15)
    t = stretch.t
    cycle = np.interp(t, times, np.arange(p.count + 1))
    beat = cycle % 1.0
    beat[t >= times[-1]] = 0.0
    opened = 0.5 - 0.5 * np.cos(2 * np.pi * beat)
    half = (2 * beat) % 1.0
    flight = np.clip((half - 0.25) / 0.6, 0, 1)
    air = 0.10 * 4 * flight * (1 - flight) * (t < times[-1])
    open_feet = np.where(beat < 0.5, ease((2 * beat - 0.3) / 0.55), 1 - ease((2 * beat - 1.3) / 0.55))
    open_feet[t >= times[-1]] = 0.0
    dip = 0.05 * np.cos(np.pi * np.clip(half / 0.25, 0, 1) / 2) + 0.05 * np.clip((half - 0.85) / 0.15, 0, 1)
    stretch["height"][:, 0] = STANDING_HEIGHT - dip * (t < times[-1]) + air * track.scale / track.body.pelvis_height
    size = track.style.size
    for side in (LEFT, RIGHT):
        wide, _ = track.stance(side, out=0.24)
        rest = track.last[track.foot_slice(side)].copy()
        feet = rest + open_feet[:, None] * (wide - rest)
        feet[:, 1] += (air + 0.3 * air) * track.scale
        stretch.data[:, track.foot_slice(side)] = feet
        stretch["foot_pitch"][:, side] = 0.45 * np.clip(air / 0.05, 0, 1)
        angle = np.radians(-78) + opened * np.radians(158) * min(size, 1.02)
        stretch.data[:, CHANNELS["hand"].start + 3 * side : CHANNELS["hand"].start + 3 * side + 3] = np.stack(
            [0.96 * np.cos(angle), 0.96 * np.sin(angle), 0.10 + 0 * angle], -1
        )
        hand = stretch["hand"][:, 3 * side : 3 * side + 3]
        blend = envelope(t, stretch.duration, 0.15)[:, None]
        hand[:] = (1 - blend) * track.hang + blend * hand
    track.add(stretch)


@action(
    "jump_rope",
    ["<jump> rope {speed}", "<skip> rope {speed}", "<jump> in place turning a rope with both hands {speed}"],
    {"speed": ("", "fast")}, arms="both", weight=1.0,
)  # fmt: skip
def jump_rope(track, p):
    count = int(track.rng.integers(4, 8))
    pieces = len(track.pieces)
    for index in range(count):
        leap(track, 0.05 if p.speed else 0.085, first=index == 0, last=index == count - 1, arms=False, crouch=0.045)
    added = track.pieces[max(pieces, 1) :]
    total = sum(map(len, added))
    t = np.arange(1, total + 1) / track.fps
    on = envelope(t, total / track.fps, 0.3)[:, None]
    turn = 2 * np.pi * count * t * track.fps / total
    start = 0
    for piece in added:
        where = slice(start, start + len(piece))
        for side in (LEFT, RIGHT):
            goal = np.stack(
                [0.28 + 0.07 * np.cos(turn[where]), -0.62 + 0.07 * np.sin(turn[where]), 0.32 + 0 * turn[where]], -1
            )
            hand = piece[:, CHANNELS["hand"]][:, 3 * side : 3 * side + 3]
            hand[:] = (1 - on[where]) * hand + on[where] * goal
        start += len(piece)
