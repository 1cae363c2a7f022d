"""Footsteps along a path -> controls over frames: every way of getting about on two feet.

Steps are planned first (when each foot leaves the floor and where it comes down); between landing and leaving a foot
does not move at all. Pelvis, trunk and arms follow the phase of the steps.
"""

from dataclasses import dataclass

import numpy as np

from .tracks import CHANNELS, LEFT, RIGHT, STANDING_HEIGHT, Stretch, Track, ease, envelope, ramp, through


@dataclass
class Gait:
    """A way of stepping. Lengths in metres of the reference person, angles in radians, times in seconds.

    Args:
        step_time (`float`): From one footfall to the next.
        duty (`float`): Share of a foot's cycle in which it stands; below 0.5 there is a flight phase.
        lift (`float`): How high a foot is lifted.
        knee (`float`): How far a lifted foot is carried in front of the straight way (high knees; negative: behind).
        bob, sway, twist, roll (`float`): Of the pelvis: up and down, sideways over the standing foot, about +Y, and
            sideways tilt of the trunk.
        lean, crouch (`float`): Trunk forwards; pelvis lowered by this share of its height.
        swing, elbow (`float`): Of the arms: half the way of the hand in arm lengths; how far it is bent up (0 hangs).
        heel_up, toe_up (`float`): Foot pitch when it leaves and when it lands.
        narrow (`float`): Metres each foot is put further inwards.
        tiptoe (`float`): Foot pitch while standing.
        limp (`float`): -1 .. 1: how much the right (negative: left) leg is spared.
        same_side (`bool`): Arm and leg of a side go forward together, as in skipping they do not.
    """

    step_time: float = 0.52
    duty: float = 0.6
    lift: float = 0.07
    knee: float = 0.0
    bob: float = 0.018
    sway: float = 0.022
    twist: float = 0.09
    roll: float = 0.02
    lean: float = 0.0
    crouch: float = 0.0
    swing: float = 0.3
    elbow: float = 0.12
    heel_up: float = 0.55
    toe_up: float = 0.25
    narrow: float = 0.015
    tiptoe: float = 0.0
    limp: float = 0.0
    wobble: float = 0.0


def go(
    track: Track,
    gait: Gait,
    steps: int,
    step_length: float,
    direction: float = 0.0,
    turn: float = 0.0,
    lead: int = LEFT,
    climb: float = 0.0,
    weave: float = 0.0,
    turn_first: bool = False,
) -> Stretch:
    """Takes `steps` steps and ends standing; returns the stretch, which is already part of the track.

    Args:
        track ([`Track`]): Stands at the start.
        gait ([`Gait`]): How.
        steps (`int`): How many footfalls.
        step_length (`float`): Metres the pelvis covers in one step.
        direction (`float`): Of the way relative to the heading: 0 forwards, pi backwards, pi / 2 to the left.
        turn (`float`): Radians turned to the left over the whole way.
        lead (`int`): The foot that steps first.
        climb (`float`): Metres up (negative: down) in one step; the last step only closes up.
        weave (`float`): Radians the way swings from side to side (staggering, zigzag).
    """
    style = track.style
    step_time = gait.step_time / style.pace
    duty = gait.duty
    phases = 0.5 * (steps - 1) + (1 - duty)  # in cycles of two steps
    duration = max(2 * step_time * phases + 0.25, 0.5)
    stretch = track.stretch(duration)
    t, total = stretch.t, stretch.duration
    rise = min(0.45, 0.4 * total)

    # The way of the pelvis and the phase of the steps. The phase starts faster than the body does.
    times = np.concatenate([[0.0], t])
    share = ramp(times, total, rise)
    phase = phases * (0.5 * share + 0.5 * times / total)
    progress = share if not turn_first else ease(times / total)
    yaw = track.get("yaw")[0] + turn * (ease(times / total) if steps <= 4 else progress)
    distance = steps * step_length * track.scale
    way = yaw + direction
    if weave:
        way = way + weave * np.sin(2 * np.pi * (phase / 2.4 + 0.1))
    speed = np.diff(share, prepend=0.0) * distance
    path = track.get("pos") + np.cumsum(speed[:, None] * np.stack([np.sin(way), np.cos(way)], -1), axis=0)
    level = track.get("level")[0] + np.zeros(len(times))

    stretch["pos"][:] = path[1:]
    stretch["yaw"][:] = yaw[1:, None]

    start_level = track.get("level")[0]
    for foot in (LEFT, RIGHT):
        _steps_of(track, stretch, gait, foot, lead, steps, phases, times, phase, path, yaw, climb, start_level)
    if climb:
        ahead = 0.1 if climb > 0 else -0.15  # who climbs lifts the body early, who descends lowers it late
        level = start_level + np.clip(phase / 0.5 + ahead, 0, steps - 1) * climb * track.scale
        kernel = np.hanning(2 * max(2, round(0.25 * track.fps)) + 1)[1:-1]
        padded = np.pad(level, len(kernel) // 2, mode="edge")
        level = np.convolve(padded, kernel / kernel.sum(), mode="valid")
        stretch["level"][:, 0] = level[1:]

    _upper_body(track, stretch, gait, lead, phase[1:])
    track.add(stretch)
    if climb:
        track.last[CHANNELS["level"]] = start_level + (steps - 1) * climb * track.scale
    return stretch


def _steps_of(track, stretch, gait, foot, lead, steps, phases, times, phase, path, yaw, climb, start_level) -> None:
    """Fills in the controls of one foot."""
    style, duty = track.style, gait.duty
    t = stretch.t
    place = track.last[track.foot_slice(foot)].copy()
    foot_yaw = float(track.get("foot_yaw")[foot])
    spared = gait.limp * (1 if foot == RIGHT else -1)
    height = gait.lift * (1 - 0.5 * max(spared, 0)) * track.scale
    places = np.repeat(place[None], len(t), axis=0)
    yaws = np.full(len(t), foot_yaw)
    pitches = [(0.0, float(track.get("foot_pitch")[foot]))]
    first = 0 if foot == lead else 1
    swing = 1 - duty
    for step in range(first, steps, 2):
        leaves, lands = 0.5 * step, 0.5 * step + swing
        if spared > 0:  # the foot of the spared leg comes down late and leaves early
            lands += 0.25 * spared * duty * 0.5
        elif spared < 0:
            leaves += 0.12 * spared * duty
            leaves = max(leaves, 0.0)
        start, end = np.interp((leaves, lands), phase, times)
        last = step >= steps - 2
        # A foot is put down half way between where the pelvis is when it lands and where it is when it leaves again.
        leaves_again = phases if last else min(0.5 * step + 1.0, phases)
        until = float(np.interp(leaves_again, phase, times))
        ends = (until, until) if last else (end, until)
        pelvis = np.array([np.mean(np.interp(ends, times, path[:, axis])) for axis in (0, 1)])
        heading = float(np.mean(np.interp(ends, times, yaw)))
        wobble = gait.wobble * track.rng.normal()
        out = wobble - (gait.narrow if not last else 0.4 * gait.narrow)
        goal, goal_yaw = track.stance(foot, out=out, ahead=0, pos=pelvis, yaw=heading)
        goal[1] = start_level + min(step + 1, steps - 1) * climb * track.scale
        u = np.clip((t - start) / max(end - start, 1e-6), 0, 1)
        moving = (t > start) & (t < end)
        after = t >= end
        share = u * u * (3 - 2 * u)
        new = (1 - share)[:, None] * place + share[:, None] * goal
        hump = np.sin(np.pi * np.clip(u, 0, 1) ** 0.85) ** 1.3
        edge = np.clip(u * 1.5, 0, 1) if climb > 0 else np.clip(1.5 * u - 0.5, 0, 1) if climb < 0 else u
        new[:, 1] = place[1] + (goal[1] - place[1]) * ease(edge) + height * hump
        ahead = gait.knee * np.sin(np.pi * u) ** 2 * track.scale
        turned = np.interp(t, times, yaw)
        new[:, 0] += ahead * np.sin(turned)
        new[:, 2] += ahead * np.cos(turned)
        places[moving] = new[moving]
        stretch["foot_swing"][moving, foot] = 1.0
        places[after] = goal
        new_yaw = foot_yaw + share * (goal_yaw - foot_yaw)
        yaws[moving] = new_yaw[moving]
        yaws[after] = goal_yaw
        push, strike = gait.heel_up, gait.toe_up
        early = start - 0.3 * duty * 2 * gait.step_time / style.pace
        if early > pitches[-1][0] + 0.02:
            pitches.append((early, gait.tiptoe))
        if start > pitches[-1][0] + 0.02:
            pitches.append((start, max(push, gait.tiptoe) if step > 1 else max(0.5 * push, gait.tiptoe)))
        pitches.append((start + 0.45 * (end - start), 0.5 * push + gait.tiptoe))
        pitches.append((end, gait.tiptoe - strike * (0.4 if last else 1.0)))
        pitches.append((end + 0.12 * gait.step_time / 0.5, gait.tiptoe))
        place, foot_yaw = goal, goal_yaw
    pitches.append((max(pitches[-1][0] + 0.12, t[-1]), 0.0))
    stretch.data[:, track.foot_slice(foot)] = places
    stretch["foot_yaw"][:, foot] = yaws
    times_of, values = zip(*pitches)
    stretch["foot_pitch"][:, foot] = through(times_of, np.array(values)[:, None], t)[:, 0]


def _upper_body(track: Track, stretch: Stretch, gait: Gait, lead: int, phase: np.ndarray) -> None:
    """Pelvis, trunk, head and arms in time with the steps."""
    style, t = track.style, stretch.t
    on = envelope(t, stretch.duration, min(0.45, 0.35 * stretch.duration))
    swing_share = 1 - gait.duty
    sign = 1.0 if lead == LEFT else -1.0
    swing = np.cos(2 * np.pi * (phase - swing_share))  # 1 when the leading leg is in front
    over = np.cos(2 * np.pi * (phase - 0.5 * swing_share))  # 1 in the middle of the leading leg's swing
    twice = np.cos(4 * np.pi * (phase - 0.5 * swing_share))
    heading = stretch["yaw"][:, 0]
    sway = -sign * gait.sway * track.scale * over * on
    stretch["pos"][:, 0] += sway * np.cos(heading)
    stretch["pos"][:, 1] -= sway * np.sin(heading)
    bob = gait.bob * style.bounce * (twice - (1 if gait.duty >= 0.5 else 0.0))
    dip = 0.0
    if gait.limp:
        spared = RIGHT if gait.limp > 0 else LEFT
        side = 1.0 if lead != spared else -1.0  # the spared leg stands while the other one swings
        dip = abs(gait.limp) * np.clip(side * over, 0, 1)
        stretch["spine"][:, 2] += on * dip * 0.22 * (1 if spared == LEFT else -1)
        stretch["spine"][:, 0] += on * dip * 0.10
    stretch["height"][:, 0] = STANDING_HEIGHT + on * (bob - gait.crouch - 0.05 * dip)
    twist = -sign * gait.twist * swing * on
    stretch["pelvis"][:, 1] += twist
    stretch["spine"][:, 1] += -1.7 * twist
    stretch["head"][:, 1] += 0.7 * twist
    stretch["pelvis"][:, 0] += 0.35 * gait.lean * on
    stretch["spine"][:, 0] += 0.65 * gait.lean * on
    stretch["head"][:, 0] += -0.7 * gait.lean * on
    stretch["spine"][:, 2] += sign * gait.roll * over * on
    if gait.wobble:
        drunk = np.sin(2 * np.pi * (phase / 2.4 + 0.1)) * on
        stretch["spine"][:, 2] += 2.5 * gait.wobble * drunk
        stretch["spine"][:, 0] += 1.5 * gait.wobble * on * (1 + np.sin(2 * np.pi * phase / 1.7))
    amplitude = gait.swing * style.swing
    for side in (LEFT, RIGHT):
        forward = -swing if side == lead else swing
        hand = stretch["hand"][:, 3 * side : 3 * side + 3]
        arc = amplitude * forward
        bend = gait.elbow
        goal = np.stack([
            track.hang[0] + 0.02 - 0.10 * bend * (1 + forward),
            -0.95 + 0.55 * bend + 0.5 * np.abs(arc) ** 2 + 0.25 * bend * arc,
            0.10 + 0.42 * bend + arc + 0.1 * np.abs(arc),
        ], axis=-1)  # fmt: skip
        hand[:] = (1 - on)[:, None] * hand + on[:, None] * goal


WALK = Gait()
RUN = Gait(
    step_time=0.34, duty=0.36, lift=0.17, knee=0.0, bob=0.035, sway=0.012, twist=0.14, lean=0.16, crouch=0.05, swing=0.36,
    elbow=0.95, heel_up=0.9, toe_up=0.12, narrow=0.04,
)  # fmt: skip
JOG = Gait(
    step_time=0.37, duty=0.42, lift=0.12, bob=0.028, sway=0.014, twist=0.11, lean=0.08, crouch=0.04, swing=0.22,
    elbow=0.9, heel_up=0.8, toe_up=0.1, narrow=0.03,
)  # fmt: skip
SNEAK = Gait(
    step_time=0.85, duty=0.66, lift=0.16, knee=0.06, bob=0.015, sway=0.03, twist=0.06, lean=0.42, crouch=0.16, swing=0.12,
    elbow=1.0, heel_up=0.4, toe_up=0.0, tiptoe=0.15, narrow=0.02,
)  # fmt: skip
MARCH = Gait(
    step_time=0.55, duty=0.62, lift=0.30, knee=0.26, bob=0.012, sway=0.018, twist=0.05, swing=0.55, elbow=0.1,
    heel_up=0.25, toe_up=0.0, narrow=0.0,
)  # fmt: skip
BACKWARDS = Gait(
    step_time=0.6, duty=0.62, lift=0.06, bob=0.015, sway=0.02, twist=0.05, swing=0.12, elbow=0.2, heel_up=0.15,
    toe_up=-0.25,
)  # fmt: skip
SIDEWAYS = Gait(
    step_time=0.5, duty=0.62, lift=0.06, bob=0.015, sway=0.01, twist=0.0, swing=0.03, elbow=0.2, heel_up=0.15, toe_up=0.0,
    narrow=-0.05,
)  # fmt: skip
TIPTOE = Gait(
    step_time=0.5, duty=0.62, lift=0.08, bob=0.012, sway=0.02, twist=0.04, swing=0.05, elbow=0.45, heel_up=0.7,
    toe_up=0.0, tiptoe=0.5,
)  # fmt: skip
STAIRS = Gait(
    step_time=0.62, duty=0.62, lift=0.09, knee=0.03, bob=0.005, sway=0.03, twist=0.04, lean=0.12, swing=0.18, elbow=0.3,
    heel_up=0.35, toe_up=0.0,
)  # fmt: skip
DRUNK = Gait(
    step_time=0.6, duty=0.64, lift=0.06, bob=0.02, sway=0.05, twist=0.1, lean=0.1, crouch=0.03, swing=0.3, elbow=0.3,
    heel_up=0.35, toe_up=0.1, wobble=0.07, narrow=-0.02,
)  # fmt: skip
TURN = Gait(
    step_time=0.45, duty=0.62, lift=0.05, bob=0.01, sway=0.015, twist=0.0, swing=0.06, elbow=0.15, heel_up=0.2,
    toe_up=0.0,
)  # fmt: skip
