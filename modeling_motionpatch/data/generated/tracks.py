"""Key poses and cycles in seconds -> controls over frames, `(T, C)`: what [`Body.pose`] reads.

An action appends stretches of time to a [`Track`]; each begins at the pose in which the one before it ended, so that
actions follow one another without a jump. Lengths are metres of a person whose pelvis is 0.93 m high (the track scales
them), angles radians, times seconds. Hands are given from the shoulder in the chest's frame, in arm lengths, with x
positive OUTWARDS on both sides, so that one action serves left and right.
"""

from dataclasses import dataclass

import numpy as np


_SIZES = {
    "pos": 2,  # x, z of the pelvis on the floor, metres
    "yaw": 1,  # heading; positive is to the left
    "height": 1,  # of the pelvis, 1 = standing straight
    "pelvis": 3,  # pitch forwards, twist to the left, roll to the left, relative to the heading
    "spine": 3,  # the same for the chest relative to the pelvis
    "head": 3,  # the same for the head relative to the chest
    "hand": 6,  # left, then right: outwards, up, forwards from the shoulder, in arm lengths, chest's frame
    "world_hand": 6,  # left, then right: outwards, up, forwards from the point of the floor under the pelvis, metres
    "world_weight": 2,  # 0 = `hand` decides, 1 = `world_hand`
    "pole": 6,  # left, then right: where the elbow points
    "foot": 6,  # left, then right: world x, lift, z of the ankle's place on the floor, metres
    "foot_yaw": 2,
    "foot_pitch": 2,  # positive: heel up (toes down)
    "foot_free": 2,  # 0 = the foot stands on the floor, 1 = it hangs from the shin
    "foot_swing": 2,  # 1 = on its way through the air: the pelvis need not be where the leg reaches it
    "knee_out": 2,  # how far the knee is turned outwards
    "level": 1,  # height of the floor one stands on, metres (stairs)
}
CHANNELS: dict[str, slice] = {}
NUM_CHANNELS = 0
for _name, _size in _SIZES.items():
    CHANNELS[_name] = slice(NUM_CHANNELS, NUM_CHANNELS + _size)
    NUM_CHANNELS += _size

LEFT, RIGHT = 0, 1
STANDING_HEIGHT = 0.985
HANG = (0.15, -0.962, 0.05)  # of a hand that hangs down
POLE = (0.3, -0.5, -0.85)  # of an elbow, unless an action says otherwise


@dataclass(frozen=True)
class Style:
    """How this person moves in this clip; the defaults are a person without any peculiarity.

    Args:
        pace (`float`): Factor on all speeds.
        size (`float`): Factor on how far gestures reach.
        swing (`float`): Factor on the swing of the arms.
        lean, slouch (`float`): Radians the trunk leans forwards, the upper back is rounded.
        width (`float`): Metres each foot stands further out.
        splay (`float`): Radians the toes point outwards.
        elbow (`float`): How far hanging hands are from the thighs and in front of them, in arm lengths.
        bounce (`float`): Factor on the ups and downs of the pelvis.
        noise (`float`): Factor on idle sway and on jitter in timing.
    """

    pace: float = 1.0
    size: float = 1.0
    swing: float = 1.0
    lean: float = 0.0
    slouch: float = 0.03
    width: float = 0.01
    splay: float = 0.12
    elbow: float = 0.0
    bounce: float = 1.0
    noise: float = 0.0

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Style":
        """One person's manner."""
        return cls(
            pace=float(np.clip(rng.normal(1, 0.07), 0.85, 1.15)),
            size=float(np.clip(rng.normal(1, 0.05), 0.88, 1.08)),
            swing=float(np.clip(rng.normal(1, 0.3), 0.3, 1.7)),
            lean=float(np.clip(rng.normal(0.0, 0.03), -0.06, 0.08)),
            slouch=float(np.clip(rng.normal(0.04, 0.06), -0.08, 0.2)),
            width=float(np.clip(rng.normal(0.015, 0.015), -0.015, 0.06)),
            splay=float(np.clip(rng.normal(0.14, 0.08), -0.05, 0.35)),
            elbow=float(np.clip(rng.normal(0.0, 0.04), -0.05, 0.1)),
            bounce=float(np.clip(rng.normal(1, 0.25), 0.5, 1.6)),
            noise=float(np.clip(rng.normal(1, 0.35), 0.3, 1.8)),
        )


def ease(u: np.ndarray) -> np.ndarray:
    """0 .. 1 -> 0 .. 1 with speed and acceleration zero at both ends (minimum jerk)."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u**2)


def ramp(t: np.ndarray, duration: float, rise: float) -> np.ndarray:
    """Share of a way covered at `t` when the speed rises for `rise` seconds, stays, and falls for as long."""
    rise = min(rise, 0.5 * duration)
    t = np.clip(t, 0.0, duration)
    speeding = np.minimum(t, rise)
    slowing = np.clip(t - (duration - rise), 0, rise)
    way = 0.5 * speeding**2 / rise + np.clip(t - rise, 0, None) - 0.5 * slowing**2 / rise
    return way / (duration - rise)


def envelope(t: np.ndarray, duration: float, rise: float) -> np.ndarray:
    """0 at both ends and 1 between, with eased flanks of `rise` seconds."""
    rise = min(rise, 0.5 * duration)
    return ease(t / rise) * ease((duration - t) / rise)


def through(times, values, t: np.ndarray) -> np.ndarray:
    """Values at `t` `(T,)` of a smooth curve through keys `(K, d)` that never overshoots (monotone cubic).

    It stands still at the first and at the last key, at each turning point and where a value is held, and flows through
    all others.
    """
    times, values = np.asarray(times, float), np.asarray(values, float)
    if len(times) == 1:
        return np.repeat(values, len(t), axis=0)
    steps = np.maximum(np.diff(times), 1e-6)[:, None]
    slopes = np.diff(values, axis=0) / steps
    tangents = np.zeros_like(values)
    before, after = slopes[:-1], slopes[1:]
    weight_before, weight_after = 2 * steps[1:] + steps[:-1], steps[1:] + 2 * steps[:-1]
    same_way = before * after > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = (weight_before + weight_after) / (weight_before / before + weight_after / after)
    tangents[1:-1] = np.where(same_way, mean, 0)
    t = np.clip(t, times[0], times[-1])
    index = np.clip(np.searchsorted(times, t, side="right") - 1, 0, len(steps) - 1)
    step = steps[index]
    u = (t[:, None] - times[index][:, None]) / step
    return (
        (1 + 2 * u) * (1 - u) ** 2 * values[index]
        + u * (1 - u) ** 2 * step * tangents[index]
        + u**2 * (3 - 2 * u) * values[index + 1]
        + u**2 * (u - 1) * step * tangents[index + 1]
    )


class Stretch:
    """A stretch of time of a [`Track`]: controls that start at the track's last pose and stay there until set.

    Attributes:
        t (`np.ndarray` of shape `(T,)`): Seconds from the start of the stretch; the last is `duration`.
        data (`np.ndarray` of shape `(T, C)`): The controls.
    """

    def __init__(self, track: "Track", duration: float):
        self.track = track
        count = max(2, round(duration * track.fps))
        self.duration = count / track.fps
        self.t = np.arange(1, count + 1) / track.fps
        self.data = np.repeat(track.last[None], count, axis=0)

    def __getitem__(self, channel: str) -> np.ndarray:
        """The controls `(T, d)` of one channel, a view."""
        return self.data[:, CHANNELS[channel]]

    def keys(self, channel: str, keys, part: int | None = None, size: int = 3) -> None:
        """Leads a channel from where it is through `keys`, a list of (seconds, value).

        `part` picks one of the two sides, whose values are `size` long.
        """
        where = CHANNELS[channel]
        if part is not None:
            where = slice(where.start + part * size, where.start + (part + 1) * size)
        now = self.track.last[where]
        times = [0.0] + [float(time) for time, _ in keys]
        values = [now] + [np.broadcast_to(np.asarray(value, float), now.shape) for _, value in keys]
        self.data[:, where] = through(times, values, self.t)

    def hand(self, side: int, keys) -> None:
        """Leads one hand: a list of (seconds, (outwards, up, forwards) in arm lengths, chest's frame)."""
        self.keys("hand", keys, side)
        self.keys("world_weight", [(min(0.3, self.duration), 0.0)], side, 1)

    def reach(self, side: int, keys) -> None:
        """Leads one hand to places in the room: (seconds, (outwards, up, forwards) in metres, or None to let go)."""
        places, weights = [], []
        for time, place in keys:
            if place is not None:
                places.append((time, place))
            weights.append((time, 0.0 if place is None else 1.0))
        first = next(place for _, place in keys if place is not None)
        where = slice(CHANNELS["world_hand"].start + 3 * side, CHANNELS["world_hand"].start + 3 * side + 3)
        if self.track.last[CHANNELS["world_weight"]][side] < 0.01:
            self.track.last[where] = first
        self.keys("world_hand", places, side)
        self.keys("world_weight", weights, side, 1)


class Track:
    """Controls of a whole clip, made of stretches.

    Args:
        body ([`Body`]): Whose lengths the controls are scaled to.
        style ([`Style`]): How the person moves.
        rng (`np.random.Generator`): Source of the variation within actions.
        fps (`float`): Frames a second.
    """

    def __init__(self, body, style: Style, rng: np.random.Generator, fps: float = 20.0):
        self.body, self.style, self.rng, self.fps = body, style, rng, fps
        self.hang = np.array(HANG) + (style.elbow, 0.0, 0.5 * style.elbow)
        self.last = np.zeros(NUM_CHANNELS)
        self.posture = "standing"
        self.pieces: list[np.ndarray] = []
        self.stand()

    @property
    def scale(self) -> float:
        """Metres of this person for one metre of the reference person."""
        return self.body.scale

    def stand(self) -> None:
        """Puts the last pose to standing at the track's place and heading."""
        self.set("height", STANDING_HEIGHT)
        self.set("pelvis", (self.style.lean, 0, 0))
        self.set("spine", (self.style.slouch, 0, 0))
        self.set("head", (-0.6 * self.style.slouch - 0.4 * self.style.lean, 0, 0))
        self.set("hand", np.tile(self.hang, 2))
        self.set("world_weight", 0.0)
        self.set("pole", np.tile(POLE, 2))
        for side in (LEFT, RIGHT):
            place, yaw = self.stance(side)
            self.last[self.foot_slice(side)] = place
            self.last[CHANNELS["foot_yaw"].start + side] = yaw
        for channel in ("foot_pitch", "foot_free", "foot_swing", "knee_out"):
            self.set(channel, 0.0)

    def set(self, channel: str, value) -> None:
        """Sets the last pose without any time passing (starting poses only)."""
        self.last[CHANNELS[channel]] = value

    def get(self, channel: str) -> np.ndarray:
        """The last pose's values of one channel."""
        return self.last[CHANNELS[channel]]

    @staticmethod
    def foot_slice(side: int) -> slice:
        """Where a foot's place is among the controls."""
        return slice(CHANNELS["foot"].start + 3 * side, CHANNELS["foot"].start + 3 * side + 3)

    def stance(self, side: int, out: float = 0.0, ahead: float = 0.0, pos=None, yaw=None) -> tuple[np.ndarray, float]:
        """World place (x, lift, z) and yaw of a foot beside the pelvis, moved by `out` and `ahead` metres."""
        sign = 1 - 2 * side
        pos = self.get("pos") if pos is None else pos
        yaw = float(self.get("yaw")[0]) if yaw is None else yaw
        x = sign * (self.body.stance_width + (self.style.width + out) * self.scale)
        z = ahead * self.scale - 0.02 * self.scale
        place = np.array([
            pos[0] + x * np.cos(yaw) + z * np.sin(yaw), self.get("level")[0], pos[1] - x * np.sin(yaw) + z * np.cos(yaw)
        ])  # fmt: skip
        return place, yaw + sign * self.style.splay

    def local(self, x: float, z: float, yaw: float | None = None) -> np.ndarray:
        """World x, z of a point `x` metres to the left of the pelvis and `z` in front of it."""
        yaw = float(self.get("yaw")[0]) if yaw is None else yaw
        x, z = x * self.scale, z * self.scale
        return self.get("pos") + [x * np.cos(yaw) + z * np.sin(yaw), -x * np.sin(yaw) + z * np.cos(yaw)]

    def stretch(self, duration: float) -> Stretch:
        """A new stretch of time, not yet part of the track (see [`Track.add`])."""
        return Stretch(self, duration)

    def add(self, stretch: Stretch) -> None:
        """Appends a stretch."""
        if not self.pieces:
            self.pieces.append(self.last[None].copy())
        self.pieces.append(stretch.data)
        self.last = stretch.data[-1].copy()

    def idle(self, duration: float) -> None:
        """Stays in the last pose."""
        if round(duration * self.fps) >= 2:
            self.add(self.stretch(duration))

    def jitter(self, spread: float = 0.08) -> float:
        """A factor about 1, for times and lengths; exactly 1 for a style without noise."""
        return float(np.exp(np.clip(self.style.noise * spread * self.rng.normal(), -0.25, 0.25)))

    @property
    def duration(self) -> float:
        """Seconds so far."""
        return max(sum(map(len, self.pieces)) - 1, 0) / self.fps

    def controls(self) -> np.ndarray:
        """All controls so far `(T, C)`, with idle sway."""
        controls = np.concatenate(self.pieces) if self.pieces else self.last[None].copy()
        lowest = min(0.0, controls[:, CHANNELS["level"]].min())  # who walked downstairs ends on the floor
        for column in (CHANNELS["level"].start, CHANNELS["foot"].start + 1, CHANNELS["foot"].start + 4):
            controls[:, column] -= lowest
        return controls + self._sway(len(controls))

    def _sway(self, count: int) -> np.ndarray:
        """Slow small movement of trunk, head, pelvis and hands `(T, C)`: nobody stands quite still."""
        sway = np.zeros((count, NUM_CHANNELS))
        if self.style.noise <= 0:
            return sway
        amplitudes = {"pos": 0.006, "pelvis": 0.008, "spine": 0.014, "head": 0.03, "hand": 0.012}
        t = np.arange(count)[:, None] / self.fps
        for channel, amplitude in amplitudes.items():
            size = _SIZES[channel]
            for low, high, share in ((0.12, 0.3, 1.0), (0.4, 0.9, 0.35)):
                frequency = self.rng.uniform(low, high, size)
                phase = self.rng.uniform(0, 2 * np.pi, size)
                wave = np.sin(2 * np.pi * frequency * t + phase)
                sway[:, CHANNELS[channel]] += self.style.noise * amplitude * share * wave
        return sway
