"""Kinds of action that change the posture or need another one: sitting, kneeling, lying, crawling, climbing."""

import numpy as np

from .actions import SIDE, SPEEDS, action, level_gaze, place_foot, plus, shift
from .tracks import CHANNELS, LEFT, RIGHT, STANDING_HEIGHT, Track, ease, envelope
from .wholebody import upright


SIT_HEIGHT = 0.52  # of the pelvis on a chair; 1 is standing
_SIT_BACK = -0.40  # metres from standing to sitting
_THIGH_HANDS = (-0.06, -0.66, 0.44)  # hands that rest on the thighs of who sits
_KNEEL_HEIGHT = 0.56
_LIE_HEIGHT = 0.125
_LIE_BACK = -0.45


# --------------------------------------------------------------------------------------------------------------------
# Starting poses


def take_posture(track: Track, posture: str) -> None:
    """Puts a track on which nothing has happened yet into a posture."""
    if posture == "standing":
        return
    pos, yaw = track.get("pos").copy(), track.get("yaw").copy()
    if posture == "sitting":
        scratch = Track(track.body, track.style, np.random.default_rng(0), track.fps)
        _sit(scratch, 1.0)
    elif posture == "kneeling":
        scratch = Track(track.body, track.style, np.random.default_rng(0), track.fps)
        _kneel(scratch, (LEFT, RIGHT), 1.0)
    elif posture == "lying":
        scratch = Track(track.body, track.style, np.random.default_rng(0), track.fps)
        _lie(scratch, 1.0)
    elif posture == "fours":
        _on_all_fours(track)
        track.posture = posture
        return
    else:
        raise ValueError(f"Unknown posture {posture!r}.")
    track.last = scratch.last.copy()
    track.posture, track.hang = scratch.posture, scratch.hang
    assert not pos.any() and not yaw.any(), "take_posture is for the start of a track"


def _sit(track: Track, pace: float) -> None:
    time = 1.35 / pace * track.jitter()
    stretch = track.stretch(time)
    shift(stretch, [(0.9 * time, (0, _SIT_BACK))])
    stretch.keys("height", [(0.25 * time, 0.93), (0.9 * time, SIT_HEIGHT), (time, SIT_HEIGHT)])
    stretch.keys("pelvis", [(0.5 * time, plus(track, "pelvis", 0.55, 0, 0)), (time, (-0.08, 0, 0))])
    stretch.keys("spine", [(0.5 * time, plus(track, "spine", 0.25, 0, 0)), (time, (track.style.slouch + 0.08, 0, 0))])
    level_gaze(stretch, 0.5)
    for side in (LEFT, RIGHT):
        stretch.hand(side, [(0.5 * time, (0.05, -0.75, 0.45)), (time, _THIGH_HANDS)])
    track.add(stretch)
    track.posture, track.hang = "sitting", np.array(_THIGH_HANDS)


@action(
    "sit_down",
    ["<sit> down {speed}", "<sit> down on a chair {speed}", "<take> a seat {speed}", "<lower> {themself} onto a chair {speed}",
     "<sit> {speed} in a chair"],
    {"speed": SPEEDS}, ends="sitting", weight=1.6, arms="both",
)  # fmt: skip
def sit_down(track, p):
    _sit(track, p.pace)
    track.idle(0.3 + 0.5 * track.rng.random())


@action(
    "stand_up",
    ["<stand> up {speed}", "<stand> up from a chair {speed}", "<get> up from a seat {speed}", "<rise> from a chair {speed}",
     "<get> up from sitting {speed}"],
    {"speed": SPEEDS}, starts="sitting", weight=1.6, arms="both",
)  # fmt: skip
def stand_up(track, p):
    track.posture, track.hang = "standing", Track(track.body, track.style, track.rng, track.fps).hang
    time = 1.3 / p.pace * track.jitter()
    stretch = track.stretch(time)
    shift(stretch, [(0.15 * time, (0, 0)), (0.85 * time, (0, -_SIT_BACK))])
    stretch.keys("height", [(0.25 * time, SIT_HEIGHT), (0.92 * time, STANDING_HEIGHT)])
    style = track.style
    stretch.keys("pelvis", [(0.4 * time, (0.6, 0, 0)), (time, (style.lean, 0, 0))])
    stretch.keys("spine", [(0.4 * time, (style.slouch + 0.25, 0, 0)), (time, (style.slouch, 0, 0))])
    level_gaze(stretch, 0.5)
    stretch["head"][:] += ease(stretch.t / time)[:, None] * (
        -0.6 * style.slouch - 0.4 * style.lean - stretch["head"][-1, 0]
    )
    stretch["head"][:, 1:] = track.get("head")[1:]
    for side in (LEFT, RIGHT):
        stretch.hand(side, [(0.4 * time, (0.05, -0.7, 0.5)), (time, track.hang)])
    track.add(stretch)


def _kneel(track: Track, knees, pace: float) -> None:
    """Down onto one knee or both. The other foot steps forward; a knee's foot goes back and stands on its ball."""
    time = 1.3 / pace * track.jitter()
    stretch = track.stretch(time)
    one = len(knees) == 1
    stretch.keys("height", [(0.2 * time, 0.93), (time, _KNEEL_HEIGHT if one else _KNEEL_HEIGHT - 0.02)])
    stretch.keys("spine", [(0.5 * time, plus(track, "spine", 0.22, 0, 0)), (time, track.get("spine"))])
    for index, side in enumerate((LEFT, RIGHT)):
        if side in knees:
            start = 0.1 * time + (0.0 if one else 0.12 * index * time)
            place_foot(stretch, side, [(start, (0, 0, 0)), (start + 0.2 * time, (0, 0.06, -0.2)), (start + 0.45 * time, (0.01, 0.0, -0.42)),
                                       (time, (0.01, 0.0, -0.42))],
                       pitch=[(start, 0.2), (start + 0.45 * time, 1.0), (time, 1.35)])  # fmt: skip
            if one:
                stretch.keys("foot_free", [(time, 0.0)], side, 1)
        else:
            place_foot(
                stretch,
                side,
                [(0.15 * time, (0, 0, 0)), (0.35 * time, (0, 0.06, 0.16)), (0.55 * time, (0.02, 0, 0.34))],
            )
    for side in (LEFT, RIGHT):
        hand = (-0.02, -0.72, 0.5) if one and side not in knees else (0.1, -0.9, 0.15)
        stretch.hand(side, [(time, hand)])
    track.add(stretch)
    track.posture = "kneeling"


def _rise_from_kneeling(track: Track, pace: float) -> None:
    time = 1.3 / pace * track.jitter()
    stretch = track.stretch(time)
    upright(stretch, time)
    stretch.keys("height", [(0.15 * time, _KNEEL_HEIGHT), (time, STANDING_HEIGHT)])
    lean = plus(track, "spine", 0.25, 0, 0)
    stretch.keys("spine", [(0.4 * time, lean), (time, (track.style.slouch, 0, 0))])
    for index, side in enumerate((LEFT, RIGHT)):
        start = (0.12 + 0.22 * index) * time
        now = track.last[track.foot_slice(side)].copy()
        place, yaw = track.stance(side)
        middle = 0.5 * (now + place) + [0, 0.07 * track.scale, 0]
        stretch.keys("foot", [(start, now), (start + 0.18 * time, middle), (start + 0.4 * time, place)], side)
        pitch = float(track.get("foot_pitch")[side])
        stretch.keys("foot_pitch", [(start, pitch), (start + 0.38 * time, 0.0)], side, 1)
        stretch.keys("foot_yaw", [(start, float(track.get("foot_yaw")[side])), (start + 0.38 * time, yaw)], side, 1)
        stretch.hand(side, [(time, track.hang)])
    track.add(stretch)
    track.posture = "standing"


@action(
    "kneel",
    lambda p: ["<kneel> down on both knees {speed}", "<get> down on {their} knees {speed}", "<drop> to both knees {speed}"] if p.side == "both" else
    ["<kneel> down on {their} {side} knee {speed}", "<get> down on the {side} knee {speed}", "<kneel> on one knee, the {side} one, {speed}",
     "<kneel> down {speed}"],
    {"side": ("left", "right", "both"), "speed": ("", "slow")}, ends="kneeling", weight=1.5, arms="both",
    words={"side": {"left": ["left"], "right": ["right"], "both": [""]}},
)  # fmt: skip
def kneel(track, p):
    _kneel(track, p.hands, p.pace)
    track.idle(0.4 + 0.8 * track.rng.random())


@action(
    "rise",
    ["<get> up from {their} knees {speed}", "<stand> up from kneeling {speed}", "<rise> from a kneeling position {speed}"],
    {"speed": ("", "slow")}, starts="kneeling", weight=0.9, arms="both",
)  # fmt: skip
def rise(track, p):
    _rise_from_kneeling(track, p.pace)


@action(
    "kneel_and_rise",
    lambda p: [f"<kneel> down on {{their}} {{side}} knee {w} <stand> back up {{speed}}" for w in ("and", "then", "and then")]
    + ["<get> down on the {side} knee {speed} and <get> back up"],
    {"side": SIDE, "speed": ("", "slow")}, weight=0.9, arms="both",
)  # fmt: skip
def kneel_and_rise(track, p):
    _kneel(track, p.hands, p.pace)
    track.idle(0.5)
    _rise_from_kneeling(track, p.pace)


# --------------------------------------------------------------------------------------------------------------------
# Lying

# Keys of lying down: share of the time, pelvis height, pelvis back (m), pelvis pitch, spine, head, feet ahead (m) of
# where they stood, hands: (outwards, up, forwards) in the chest's frame.
_LYING = (
    (0.00, None, 0.0, None, None, None, 0.0, None),
    (0.22, 0.55, -0.22, 0.55, 0.35, -0.3, 0.0, (0.2, -0.6, 0.45)),
    (0.42, 0.17, -0.36, -0.25, 0.45, -0.1, 0.05, (0.45, -0.70, -0.25)),
    (0.62, 0.13, _LIE_BACK, -0.75, 0.35, 0.1, 0.20, (0.5, -0.65, -0.4)),
    (0.86, _LIE_HEIGHT, _LIE_BACK, -1.47, 0.02, 0.05, 0.36, (0.4, -0.8, -0.02)),
    (1.00, _LIE_HEIGHT, _LIE_BACK, -1.52, 0.0, 0.0, 0.38, (0.35, -0.88, -0.04)),
)  # fmt: skip


def _lying_keys(track: Track, duration: float, backwards: bool) -> None:
    style = track.style
    stretch = track.stretch(duration)
    rows = []
    for share, height, back, pitch, spine, head, ahead, hand in _LYING:
        rows.append((share, STANDING_HEIGHT if height is None else height, back, style.lean if pitch is None else pitch,
                     style.slouch if spine is None else spine, -0.6 * style.slouch - 0.4 * style.lean if head is None else head, ahead,
                     track.hang if hand is None else np.array(hand)))  # fmt: skip
    if backwards:
        rows = [(1 - row[0], *row[1:]) for row in rows[::-1]]
    times = [row[0] * duration for row in rows]
    offset = _LIE_BACK if backwards else 0.0
    keys = list(zip(times, rows))[1:]
    stretch.keys("height", [(t, row[1]) for t, row in keys])
    shift(stretch, [(t, (0, row[2] - offset)) for t, row in keys])
    stretch.keys("pelvis", [(t, (row[3], 0, 0)) for t, row in keys])
    stretch.keys("spine", [(t, (row[4], 0, 0)) for t, row in keys])
    stretch.keys("head", [(t, (row[5], 0, 0)) for t, row in keys])
    for side in (LEFT, RIGHT):
        lift = 0.02
        places = []
        for t, row in keys:
            place, _ = track.stance(side, ahead=row[6] - offset)
            place[1] += lift * row[6] / 0.38 * track.scale
            places.append((t, place))
        stretch.keys("foot", places, side)
        stretch.keys("foot_free", [(t, 1.0 if row[6] > 0.3 else 0.0) for t, row in keys], side, 1)
        stretch.keys("foot_pitch", [(t, 0.35 if row[6] > 0.3 else 0.0) for t, row in keys], side, 1)
        stretch.keys("knee_out", [(t, 0.12 if row[6] > 0.1 else 0.0) for t, row in keys], side, 1)
        stretch.hand(side, [(t, row[7]) for t, row in keys])
    track.add(stretch)


def _lie(track: Track, pace: float) -> None:
    _lying_keys(track, 3.2 / pace * track.jitter(), backwards=False)
    track.posture = "lying"


@action(
    "lie_down",
    ["<lie> down on {their} back {speed}", "<lie> down on the ground {speed}", "<sit> down on the floor and <lie> back {speed}",
     "<get> down and <lie> on {their} back {speed}"],
    {"speed": ("", "slow", "fast")}, ends="lying", weight=1.2, arms="both",
)  # fmt: skip
def lie_down(track, p):
    _lie(track, p.pace)
    track.idle(0.5 + 0.7 * track.rng.random())


@action(
    "get_up",
    ["<get> up from the ground {speed}", "<get> up from lying on {their} back {speed}", "<stand> up from the floor {speed}",
     "<rise> from lying down {speed}"],
    {"speed": ("", "slow", "fast")}, starts="lying", weight=1.2, arms="both",
)  # fmt: skip
def get_up(track, p):
    track.hang = Track(track.body, track.style, track.rng, track.fps).hang
    _lying_keys(track, 3.0 / p.pace * track.jitter(), backwards=True)
    track.posture = "standing"


# --------------------------------------------------------------------------------------------------------------------
# On all fours


_CRAWL_HEIGHT = 0.50
_HAND_AHEAD = 0.50
_KNEE_BEHIND = -0.36  # of the ankle, metres from where it stands


def _on_all_fours(track: Track) -> None:
    track.set("height", _CRAWL_HEIGHT)
    track.set("pelvis", (1.28, 0, 0))
    track.set("spine", (0.1, 0, 0))
    track.set("head", (-0.45, 0, 0))
    track.set("world_hand", np.tile((0.20, 0.06, _HAND_AHEAD), 2))
    track.set("world_weight", 1.0)
    track.set("hand", np.tile((0.0, -0.1, 0.9), 2))
    for side in (LEFT, RIGHT):
        place, _ = track.stance(side, ahead=_KNEE_BEHIND)
        track.last[track.foot_slice(side)] = place - [0, 0.02 * track.scale, 0]
    track.set("foot_free", 1.0)
    track.set("foot_pitch", 1.25)


@action(
    "crawl",
    ["<crawl> {dir} on {their} hands and knees {speed}", "<crawl> {dir} {speed}", "<crawl> {dir} on all fours {speed}",
     "<crawl> {speed} {dir} on the floor"],
    {"dir": ("forward", "forward", "backward"), "speed": SPEEDS}, starts="fours", ends="fours", cyclic=True, weight=1.6, arms="both",
    words={"dir": {"forward": ["forward", "forwards"], "backward": ["backward", "backwards"]}},
)  # fmt: skip
def crawl(track, p):
    """Hand and opposite knee move together; in its half of the cycle each stays where it is on the floor."""
    way = 1.0 if p.dir == "forward" else -1.0
    period = {"": 1.25, "slow": 1.9, "fast": 0.9}[p.speed] / track.style.pace
    cycles = max(2, round((2.6 + 2.2 * track.rng.random()) / period))
    stride = 0.36 * track.jitter()
    stretch = track.stretch(cycles * period)
    t = stretch.t
    yaw = float(track.get("yaw")[0])
    ahead = np.array([np.sin(yaw), np.cos(yaw)])
    base = track.get("pos").copy()
    phase = t / period
    moved = way * stride * phase
    stretch["pos"][:] = base + (moved * track.scale)[:, None] * ahead
    for side in (LEFT, RIGHT):
        for part, shifted in (("hand", 0.0), ("foot", 0.5)):
            own = phase + shifted + (0.5 if side == RIGHT else 0.0)
            whole, share = np.floor(own), own % 1.0
            swing = ease(share / 0.45)
            first = shifted + (0.5 if side == RIGHT else 0.0)
            place = way * stride * (whole + swing - first - 0.225)  # on the floor, from where the pelvis started
            lift = 0.07 * np.sin(np.pi * np.clip(share / 0.45, 0, 1)) ** 2
            blend = ease(t / 0.25)
            if part == "hand":
                world = stretch["world_hand"][:, 3 * side : 3 * side + 3]
                world[:, 2] = _HAND_AHEAD + blend * place + (1 - blend) * moved - moved
                world[:, 1] += lift * blend
            else:
                feet = stretch.data[:, track.foot_slice(side)]
                along = (blend * place + (1 - blend) * moved) * track.scale
                feet[:, 0] += along * ahead[0]
                feet[:, 2] += along * ahead[1]
                feet[:, 1] += 0.15 * lift * track.scale
    wave = np.sin(2 * np.pi * phase) * envelope(t, stretch.duration, 0.3)
    stretch["pelvis"][:, 1] += 0.05 * wave
    stretch["spine"][:, 2] += 0.08 * wave
    track.add(stretch)


# --------------------------------------------------------------------------------------------------------------------
# Climbing a ladder


@action(
    "climb_ladder",
    ["<climb> {dir} a ladder {speed}", "<go> {dir} a ladder {speed}", "<climb> {dir} the rungs of a ladder {speed}",
     "<climb> {dir} a ladder using {their} hands and feet {speed}"],
    {"dir": ("up", "down"), "speed": SPEEDS}, cyclic=False, weight=1.2, arms="both",
    words={"dir": {"up": ["up"], "down": ["down"]}},
)  # fmt: skip
def climb_ladder(track, p):
    """One rung a step; a hand and the opposite foot move together."""
    way = 1.0 if p.dir == "up" else -1.0
    step = {"": 0.75, "slow": 1.1, "fast": 0.52}[p.speed] / track.style.pace
    count = 2 * int(track.rng.integers(2, 4))
    rung = 0.27
    reach = track.stretch(0.8)
    for side in (LEFT, RIGHT):
        reach.reach(side, [(0.8, (0.20, 1.40 if side == LEFT else 1.40 - rung, 0.40))])
    reach.keys("spine", [(0.8, plus(track, "spine", 0.06, 0, 0))])
    reach.keys("head", [(0.8, plus(track, "head", -0.2 * way, 0, 0))])
    track.add(reach)
    stretch = track.stretch(count * step)
    t = stretch.t
    phase = t / step
    level0 = float(track.get("level")[0])
    rise_of = way * rung * (np.floor(phase) + ease((phase % 1.0 - 0.1) / 0.8))
    rise_of = np.where(phase >= count, way * rung * count, rise_of)
    stretch["level"][:, 0] = level0 + rise_of * track.scale
    sign_sway = np.sin(np.pi * phase) * envelope(t, stretch.duration, 0.3)
    yaw = float(track.get("yaw")[0])
    stretch["pos"][:, 0] += 0.04 * track.scale * sign_sway * np.cos(yaw)
    stretch["pos"][:, 1] -= 0.04 * track.scale * sign_sway * np.sin(yaw)
    stretch["spine"][:, 2] += 0.06 * sign_sway
    stretch["height"][:, 0] -= 0.10 * ease(t / 0.5) * ease((stretch.duration - t) / 0.5)
    for side in (LEFT, RIGHT):
        for part in ("hand", "foot"):
            odd = (side == RIGHT) == (part == "hand")  # right hand with left foot
            first = 0 if odd else 1
            up = np.zeros_like(t)
            for number in range(first, count, 2):
                goal = 2.0 if number + 2 < count + 1 and not (first == 1 and number == 1) and number != first else 1.0
                up += goal * ease((phase - number - 0.05) / 0.8)
            if up[-1] < count:  # everything ends on one level
                up *= count / max(up[-1], 1e-6)
            height = way * rung * up
            if part == "hand":
                stretch["world_hand"][:, 3 * side + 1] += height - rise_of
            else:
                feet = stretch.data[:, track.foot_slice(side)]
                moving = np.clip(np.gradient(up, t), 0, None)
                feet[:, 1] += height * track.scale
                back = 0.06 * np.clip(moving * step / 2, 0, 1) * track.scale
                feet[:, 0] -= back * np.sin(yaw)
                feet[:, 2] -= back * np.cos(yaw)
    track.add(stretch)
    down = track.stretch(0.7)
    for side in (LEFT, RIGHT):
        down.keys("hand", [(0.7, track.hang)], side)
        down.keys("world_weight", [(0.7, 0.0)], side, 1)
    upright(down, 0.7)
    track.add(down)
    track.last[CHANNELS["pole"]] = track.get("pole")
