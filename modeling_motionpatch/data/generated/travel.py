"""Kinds of action that get from one place to another: walking, running, sidestepping, turning, climbing, ..."""

from dataclasses import replace

import numpy as np

from .actions import SIDE, SPEEDS, Choices, action
from .gait import (
    BACKWARDS,
    DRUNK,
    JOG,
    MARCH,
    RUN,
    SIDEWAYS,
    SNEAK,
    STAIRS,
    TIPTOE,
    TURN,
    WALK,
    Gait,
    go,
)
from .tracks import LEFT, RIGHT, Track


LENGTHS = ("", "short", "long")
_SECONDS = {"short": (1.6, 2.3), "": (2.5, 4.0), "long": (4.5, 6.5)}
_STRIDE = {"": 1.0, "slow": 0.8, "fast": 1.16}  # factor on the length of a step
_HASTE = {"": 1.0, "slow": 1.4, "fast": 0.79}  # factor on the time of a step


def _lead(track: Track) -> int:
    return LEFT if track.rng.random() < 0.5 else RIGHT


def _paced(gait: Gait, p: Choices) -> Gait:
    speed = p.get("speed", "")
    swing = {"": 1.0, "slow": 0.75, "fast": 1.35}[speed]
    return replace(gait, step_time=gait.step_time * _HASTE[speed], swing=gait.swing * swing)


def _travel(track: Track, p: Choices, gait: Gait, step: float, seconds=None, **way) -> None:
    gait = _paced(gait, p)
    low, high = _SECONDS[p.get("length", "")] if seconds is None else seconds
    time = low + (high - low) * track.rng.random()
    steps = max(3, round(time * track.style.pace / gait.step_time))
    length = step * _STRIDE[p.get("speed", "")] * track.jitter(0.07)
    way.setdefault("lead", _lead(track))
    go(track, gait, steps, length, **way)


_LONG = {"length": {"": [""], "short": ["a few steps", "a short distance"], "long": ["for a while", "a long way"]}}


@action(
    "walk",
    ["<walk> forward {speed} {length}", "<walk> {speed} forward {length}", "<walk> straight ahead {speed} {length}",
     "<walk> {speed} in a straight line {length}", "<walk> {speed}", "<stroll> forward {speed}"],
    {"speed": SPEEDS, "length": LENGTHS}, words=_LONG, carries=True, cyclic=True, weight=3.0,
)  # fmt: skip
def walk(track, p):
    _travel(track, p, WALK, 0.64)


@action(
    "walk_backwards",
    ["<walk> backwards {speed} {length}", "<walk> backward {speed} {length}", "<back> up {speed}",
     "<step> backwards {speed} {length}", "<move> back {speed}"],
    {"speed": SPEEDS, "length": ("", "short")}, words=_LONG, carries=True, cyclic=True, weight=1.5,
)  # fmt: skip
def walk_backwards(track, p):
    _travel(track, p, BACKWARDS, 0.45, direction=np.pi)


@action(
    "steps",
    ["<take> {count} {dir} {speed}", "<step> {dir} {times} {speed}", "<take> {count} {speed} {dir}"],
    {"count": (1, 2, 3, 4), "dir": ("forward", "backward", "left", "right"), "speed": SPEEDS},
    words={
        "count": {1: ["a step", "one step", "a single step"], 2: ["two steps"], 3: ["three steps"], 4: ["four steps"]},
        "dir": {"forward": ["forward", "forwards"], "backward": ["backward", "back", "backwards"],
                "left": ["to the left", "to their left"], "right": ["to the right", "to their right"]},
    },
    carries=True, weight=1.8,
)  # fmt: skip
def steps(track, p):
    """Single steps: the other foot closes up, which is not counted as a step."""
    direction = {"forward": 0.0, "backward": np.pi, "left": np.pi / 2, "right": -np.pi / 2}[p.dir]
    across = p.dir in SIDE
    gait = _paced(replace(SIDEWAYS if across else BACKWARDS if p.dir == "backward" else WALK, swing=0.12), p)
    gait = replace(gait, step_time=gait.step_time * 1.15)
    lead = {"left": LEFT, "right": RIGHT}.get(p.dir, _lead(track))
    size = (0.34 if across else 0.42 if p.dir == "backward" else 0.56) * track.jitter(0.08)
    if across:  # step, close, step, close
        go(track, gait, 2 * p.count, 0.5 * size, direction=direction, lead=lead)
    else:
        go(track, gait, p.count + 1, size * p.count / (p.count + 1), direction=direction, lead=lead)


@action(
    "run",
    ["<run> forward {speed} {length}", "<run> {speed} {length}", "<run> straight ahead {speed}", "<sprint> forward"],
    {"speed": ("", "fast"), "length": LENGTHS}, words=_LONG, carries=False, cyclic=True, weight=1.5,
)  # fmt: skip
def run(track, p):
    _travel(track, p, RUN, 0.92, seconds={"short": (1.2, 1.7), "": (1.8, 2.8), "long": (3.0, 4.2)}[p.length])


@action(
    "jog",
    ["<jog> forward {speed} {length}", "<jog> {speed} {length}", "<jog> {speed} in a straight line",
     "<jog> ahead {speed} {length}"],
    {"speed": ("", "slow"), "length": LENGTHS}, words=_LONG, carries=True, cyclic=True, weight=1.5,
)  # fmt: skip
def jog(track, p):
    _travel(track, p, JOG, 0.72)


@action(
    "jog_in_place",
    ["<jog> in place {speed}", "<run> in place {speed}", "<jog> on the spot {speed}"],
    {"speed": ("", "slow", "fast")}, cyclic=True,
)  # fmt: skip
def jog_in_place(track, p):
    _travel(track, p, replace(JOG, lift=0.24, knee=0.06, lean=0.03, heel_up=0.6), 0.0)


@action(
    "march",
    ["<march> forward {speed}", "<march> {speed} like a soldier", "<march> forward {speed} lifting {their} knees high",
     "<walk> {speed} like a soldier swinging {their} arms"],
    {"speed": ("", "slow", "fast"), "length": ("", "long")}, words={"length": {"": [""], "long": [""]}}, carries=True,
    cyclic=True,
)  # fmt: skip
def march(track, p):
    _travel(track, p, MARCH, 0.48)


@action(
    "march_in_place",
    ["<march> in place {speed}", "<march> on the spot {speed}", "<lift> {their} knees one after the other in place {speed}"],
    {"speed": ("", "slow", "fast")}, cyclic=True,
)  # fmt: skip
def march_in_place(track, p):
    _travel(track, p, MARCH, 0.0)


@action(
    "sneak",
    ["<sneak> forward {speed}", "<creep> forward {speed}", "<sneak> {speed} with bent knees",
     "<walk> {speed} in a crouch", "<tiptoe> forward {speed} crouched down"],
    {"speed": ("", "slow")}, carries=False, cyclic=True,
)  # fmt: skip
def sneak(track, p):
    _travel(track, p, SNEAK, 0.42, seconds=(3.0, 5.5))


@action(
    "tiptoe",
    ["<walk> forward on {their} toes {speed}", "<walk> on tiptoe {speed}", "<tiptoe> forward {speed}"],
    {"speed": ("", "slow", "fast")}, carries=True, cyclic=True,
)  # fmt: skip
def tiptoe(track, p):
    _travel(track, p, TIPTOE, 0.42)


@action(
    "limp",
    ["<limp> forward on {their} {side} leg {speed}", "<walk> forward {speed} with a limp in the {side} leg",
     "<walk> {speed} with an injured {side} leg", "<limp> {speed} dragging {their} {side} foot",
     "<walk> with a limp {speed}"],
    {"side": SIDE, "speed": ("", "slow")}, carries=True, cyclic=True, weight=1.3,
)  # fmt: skip
def limp(track, p):
    gait = replace(WALK, step_time=0.6, limp=-p.sign, bob=0.008, swing=0.15, toe_up=0.1)
    _travel(track, p, gait, 0.42, seconds=(3.0, 5.5))


@action(
    "stagger",
    ["<stagger> forward {speed}", "<walk> forward unsteadily {speed}", "<walk> {speed} as if drunk",
     "<stumble> forward like a drunk person {speed}", "<sway> from side to side while walking {speed}"],
    {"speed": ("", "slow")}, cyclic=True,
)  # fmt: skip
def stagger(track, p):
    _travel(track, p, DRUNK, 0.42, seconds=(3.5, 6.0), weave=0.55)


@action(
    "sidestep",
    ["<sidestep> to the {side} {speed} {length}", "<step> sideways to the {side} {speed} {length}",
     "<shuffle> to the {side} {speed} {length}", "<walk> sideways to {their} {side} {speed} {length}",
     "<walk> sideways {speed}"],
    {"side": SIDE, "speed": SPEEDS, "length": ("", "short")}, words=_LONG, carries=True, cyclic=True, weight=1.5,
)  # fmt: skip
def sidestep(track, p):
    _travel(track, p, SIDEWAYS, 0.17, direction=p.sign * np.pi / 2, lead=p.foot)


@action(
    "walk_circle",
    lambda p: [
        f"<walk> in a circle {{speed}} {w}" for w in ("to the {side}", "turning {side}", "{clock}", "in a {clock} direction")
    ] + ["<walk> in a {clock} circle {speed}", "<walk> around in a circle {speed}", "<make> a full circle to the {side} {speed}"],
    {"side": SIDE, "speed": SPEEDS}, words={"clock": {}}, carries=True, cyclic=False, weight=1.5,
)  # fmt: skip
def walk_circle(track, p):
    gait = _paced(WALK, p)
    steps_taken = int(track.rng.integers(8, 13))
    go(track, gait, steps_taken, 0.55 * track.jitter(), turn=p.sign * 2 * np.pi * track.jitter(0.03), lead=p.foot)


@action(
    "walk_curve",
    ["<walk> forward {speed} and <curve> to the {side}", "<walk> {speed} in a curve to the {side}",
     "<walk> {speed} in an arc to {their} {side}", "<walk> forward {speed} while turning {side}",
     "<walk> {speed} in a curved line"],
    {"side": SIDE, "speed": SPEEDS}, carries=True, cyclic=False, weight=1.5,
)  # fmt: skip
def walk_curve(track, p):
    angle = np.pi * (0.45 + 0.35 * track.rng.random())
    _travel(track, p, WALK, 0.6, seconds=(3.0, 4.5), turn=p.sign * angle)


@action(
    "run_curve",
    ["<run> forward and <curve> to the {side}", "<run> in a curve to the {side}", "<jog> in an arc to {their} {side}",
     "<jog> forward while turning {side}", "<jog> in a curve"],
    {"side": SIDE}, carries=False, cyclic=False,
)  # fmt: skip
def run_curve(track, p):
    angle = np.pi * (0.45 + 0.4 * track.rng.random())
    _travel(track, p, JOG, 0.75, seconds=(2.5, 4.0), turn=p.sign * angle)


@action(
    "run_circle",
    ["<run> in a circle {clock}", "<jog> in a circle to the {side}", "<jog> in a {clock} circle", "<run> around in a circle"],
    {"side": SIDE},
)  # fmt: skip
def run_circle(track, p):
    go(track, JOG, int(track.rng.integers(10, 15)), 0.62, turn=p.sign * 2 * np.pi * track.jitter(0.03), lead=p.foot)


@action(
    "zigzag",
    ["<walk> in a zigzag {speed}", "<walk> forward weaving from side to side {speed}", "<weave> forward {speed}",
     "<walk> in a winding line {speed}"],
    {"speed": ("", "slow", "fast")}, carries=True, cyclic=True, weight=0.7,
)  # fmt: skip
def zigzag(track, p):
    _travel(track, p, WALK, 0.55, seconds=(4.5, 6.5), weave=0.8)


_ANGLES = {"": 90, "half": 180, "full": 360, "small": 45}


@action(
    "turn",
    ["<turn> {angle} to the {side} {speed}", "<turn> {side} {angle} {speed}", "<turn> {angle} to {their} {side} {speed}",
     "<turn> {angle} {speed}", "<rotate> {angle} to the {side} {speed}"],
    {"side": SIDE, "angle": tuple(_ANGLES), "speed": ("", "slow", "fast")},
    words={"angle": {"": [""], "half": ["around", "180 degrees", "halfway around"], "full": ["all the way around",
           "360 degrees", "in a full circle"], "small": ["slightly", "a little"]}},
    carries=True, weight=1.8,
)  # fmt: skip
def turn(track, p):
    angle = _ANGLES[p.angle]
    gait = _paced(TURN, p)
    steps_taken = max(2, round(angle / 48))
    go(track, gait, steps_taken, 0.0, turn=p.sign * np.radians(angle) * track.jitter(0.06), lead=p.foot)


@action(
    "walk_and_return",
    ["<walk> forward {speed}, <turn> around and <walk> back", "<walk> forward {speed} then <turn> around to the {side} and <walk> back",
     "<walk> away {speed}, <turn> around over {their} {side} shoulder and <return>",
     "<walk> forward {speed}, <turn> 180 degrees to the {side} and <walk> back to the start"],
    {"side": SIDE, "speed": ("", "fast")},
)  # fmt: skip
def walk_and_return(track, p):
    gait = _paced(WALK, p)
    count = int(track.rng.integers(4, 7))
    go(track, gait, count, 0.6, lead=_lead(track))
    go(track, replace(TURN, step_time=0.42), 4, 0.0, turn=p.sign * np.pi, lead=p.foot)
    go(track, gait, count, 0.6, lead=_lead(track))


@action(
    "stairs",
    ["<walk> {dir} the stairs {speed}", "<climb> {dir} some stairs {speed}", "<go> {dir} a flight of stairs {speed}",
     "<walk> {dir} steps {speed}", "<take> {count} {dir} the stairs {speed}"],
    {"dir": ("up", "down"), "speed": ("", "slow", "fast"), "count": (4, 5, 6, 7)},
    words={"count": {4: ["four steps"], 5: ["five steps"], 6: ["six steps"], 7: ["seven steps"]},
           "dir": {"up": ["up"], "down": ["down"]}},
    carries=False, weight=1.5,
)  # fmt: skip
def stairs(track, p):
    gait = _paced(STAIRS, p)
    if p.dir == "down":
        gait = replace(gait, lean=0.02, knee=0.02, toe_up=-0.2, heel_up=0.45, lift=0.04)
    go(
        track,
        gait,
        p.count + 1,
        0.29 * p.count / (p.count + 1),
        lead=_lead(track),
        climb=0.17 if p.dir == "up" else -0.17,
    )


@action(
    "skip",
    ["<skip> forward {speed}", "<skip> {speed}", "<skip> happily forward {speed}"],
    {"speed": ("", "fast")}, cyclic=True,
)  # fmt: skip
def skip(track, p):
    gait = Gait(step_time=0.5, duty=0.4, lift=0.2, knee=0.16, bob=0.075, sway=0.01, twist=0.08, lean=0.04, swing=0.6,
                elbow=0.4, heel_up=0.7, toe_up=0.0, narrow=0.02)  # fmt: skip
    _travel(track, p, gait, 0.7, seconds=(2.5, 4.0))


@action(
    "stumble",
    ["<walk> forward and <trip> on {their} {side} foot", "<trip> over something with {their} {side} foot and <catch> {themself}",
     "<stumble> forward with the {side} foot", "<walk> and <stumble>"],
    {"side": SIDE}, weight=0.9,
)  # fmt: skip
def stumble(track, p):
    """Walks, catches on something with one foot, falls forward a little and recovers."""
    foot = p.foot
    steps_taken = int(track.rng.integers(3, 5))
    lead = foot if steps_taken % 2 else 1 - foot  # the tripping foot makes the last step
    go(track, WALK, steps_taken, 0.56, lead=lead)
    fall = replace(WALK, step_time=0.27, duty=0.55, lean=0.75, crouch=0.08, lift=0.1, swing=0.1, elbow=0.9, bob=0.01)
    go(track, fall, 3, 0.42 * track.jitter(), lead=foot)
    track.idle(0.2)
