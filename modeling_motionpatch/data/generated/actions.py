"""The registry of action kinds: what each is called, which choices it has, how people put it, how it moves.

The kinds themselves are in `travel.py` (getting about), `wholebody.py` (legs and trunk) and `gestures.py` (arms and
head); importing the package registers them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from .tracks import LEFT, RIGHT, Stretch, Track


SPEEDS = ("", "slow", "fast")
SPEED_FACTOR = {"": 1.0, "slow": 0.62, "fast": 1.55}
SIDE = ("left", "right")
SIDES_OR_BOTH = ("left", "right", "both")
SIZES = ("", "small", "large")


class Choices(dict):
    """The choices made for one action (`side="left"`, `count=2`, ...), readable as attributes."""

    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def pace(self) -> float:
        """Factor on speeds."""
        return SPEED_FACTOR[self.get("speed", "")]

    @property
    def foot(self) -> int:
        """The side as an index (`LEFT` or `RIGHT`)."""
        return RIGHT if self.get("side") == "right" else LEFT

    @property
    def sign(self) -> float:
        """1 for left, -1 for right: the direction of x and of turns."""
        return -1.0 if self.get("side") == "right" else 1.0

    @property
    def hands(self) -> tuple[int, ...]:
        """The sides that act."""
        return {"left": (LEFT,), "right": (RIGHT,)}.get(self.get("side", "both"), (LEFT, RIGHT))


@dataclass(frozen=True)
class Action:
    """One kind of action.

    Args:
        name (`str`): The kind; what the `label` column says.
        move (`Callable[[Track, Choices], None]`): Appends the motion to a track.
        options (`Mapping[str, Sequence]`): Choice -> its values.
        sayings (`Sequence[str]`, or a function of the choices that returns one): Verb phrases, as `captions.py` reads
            them.
        words (`Mapping[str, Mapping]`): Choice -> value -> wordings, where they differ from those of `captions.py`.
        starts, ends (`str`): Posture before and after.
        arms (`str`): `""` leaves the arms alone, `"side"` uses the arm of the chosen side, `"both"` both.
        legs (`bool`): Whether legs or the pelvis's place are used; an action that has arms only can go with travel.
        carries (`bool`): It travels, and an arm action can be done meanwhile.
        cyclic (`bool`): It has no beginning and no end of its own, so that a clip may be cut anywhere.
        weight (`float`): How often it is drawn, relative to the others.
    """

    name: str
    move: Callable[[Track, Choices], None]
    options: Mapping[str, Sequence] = field(default_factory=dict)
    sayings: "Sequence[str] | Callable[[Choices], Sequence[str]]" = ()
    words: Mapping[str, Mapping] = field(default_factory=dict)
    starts: str = "standing"
    ends: str = "standing"
    arms: str = ""
    legs: bool = True
    carries: bool = False
    cyclic: bool = False
    weight: float = 1.0

    def draw(self, rng: np.random.Generator, given: Mapping | None = None) -> Choices:
        """Choices of this action; those in `given` are kept.

        Raises:
            ValueError: `given` has a choice or a value this action does not know.
        """
        given = dict(given or {})
        for key, value in given.items():
            if key not in self.options:
                raise ValueError(
                    f"The action {self.name!r} has no choice {key!r}; it has {', '.join(self.options) or 'none'}."
                )
            if value not in self.options[key]:
                raise ValueError(f"{self.name!r} knows {key} = {list(self.options[key])}, not {value!r}.")
        drawn = {key: values[int(rng.integers(len(values)))] for key, values in self.options.items()}
        return Choices({**drawn, **given})

    def phrases(self, choices: Choices) -> Sequence[str]:
        """The sayings that fit the choices."""
        return self.sayings(choices) if callable(self.sayings) else self.sayings

    def used_arms(self, choices: Choices) -> frozenset[int]:
        """The sides whose arms it moves."""
        if not self.arms:
            return frozenset()
        return frozenset(choices.hands) if self.arms == "side" else frozenset((LEFT, RIGHT))


ACTIONS: dict[str, Action] = {}


def action(name: str, sayings, options: Mapping[str, Sequence] | None = None, **rest):
    """Decorator that registers `move(track, choices)` as the action `name`."""

    def register(move):
        ACTIONS[name] = Action(name, move, dict(options or {}), sayings, **rest)
        return move

    return register


def get_action(name: str) -> Action:
    """The action of that name.

    Raises:
        ValueError: There is none; the message lists them.
    """
    if name not in ACTIONS:
        raise ValueError(f"Unknown action {name!r}; there are {', '.join(sorted(ACTIONS))}.")
    return ACTIONS[name]


# --------------------------------------------------------------------------------------------------------------------
# What several actions need


def place_foot(stretch: Stretch, side: int, keys, free=None, pitch=None, yaw: float = 0.0) -> None:
    """Leads a foot through places relative to the pelvis's first place and heading.

    Args:
        stretch ([`Stretch`]): What to fill in.
        side (`int`): `LEFT` or `RIGHT`.
        keys (list of (seconds, (out, lift, ahead))): Metres from where the foot stands at rest.
        free (list of (seconds, 0 or 1), *optional*): Whether the foot hangs from the shin.
        pitch (list of (seconds, radians), *optional*): Heel up, or, for a free foot, toes stretched.
        yaw (`float`): Radians the foot is turned outwards more than at rest.
    """
    track, sign = stretch.track, 1 - 2 * side
    placed = []
    for time, (out, lift, ahead) in keys:
        place, _ = track.stance(side, out=out, ahead=ahead)
        place[1] += lift * track.scale
        placed.append((time, place))
    stretch.keys("foot", placed, side)
    if free:
        stretch.keys("foot_free", free, side, 1)
    if pitch:
        stretch.keys("foot_pitch", pitch, side, 1)
    if yaw:
        rest = float(track.get("foot_yaw")[side])
        stretch.keys("foot_yaw", [(keys[0][0], rest + sign * yaw), (keys[-1][0], rest)], side, 1)


def shift(stretch: Stretch, keys) -> None:
    """Moves the pelvis: a list of (seconds, (left, ahead)) in metres from its first place."""
    stretch.keys("pos", [(time, stretch.track.local(left, ahead)) for time, (left, ahead) in keys])


def plus(track: Track, channel: str, *change: float) -> np.ndarray:
    """The track's last values of a channel with something added."""
    return track.get(channel) + np.array(change)


def beats(track: Track, count: int, period: float) -> list[float]:
    """Start times of `count` repetitions of about `period` seconds and the end of the last: `count + 1` times."""
    times = [0.0]
    for _ in range(count):
        times.append(times[-1] + period * track.jitter(0.05))
    return times


def level_gaze(stretch: Stretch, share: float = 0.6) -> None:
    """Lets the head make up for `share` of the forward bend of pelvis and trunk."""
    track = stretch.track
    bend = stretch["pelvis"][:, 0] + stretch["spine"][:, 0] - track.get("pelvis")[0] - track.get("spine")[0]
    stretch["head"][:, 0] -= share * bend
