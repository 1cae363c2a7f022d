"""A seed and an index -> one captioned clip of human motion: joints in metres, +Y up, and sentences about them.

A clip is one action, two after another, or a gesture while walking. Clip i of a split depends on (seed, split, i)
alone, not on the process, the order or how many others there are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...skeletons_motionpatch import Skeleton
from . import daily, gestures, jumps, postures, travel, trunk, wholebody  # noqa: F401 - importing them registers the actions
from .actions import ACTIONS, Action, Choices, get_action
from .body import Body, Proportions
from .captions import captions
from .postures import take_posture
from .rotations import smooth_above
from .tracks import CHANNELS, Style, Track, ease


MIN_SECONDS, MAX_SECONDS = 1.0, 12.0
SPLITS = ("train", "validation", "test")
_SHARE_THEN, _SHARE_WHILE = 0.32, 0.15  # of clips with two actions one after another, and at the same time
_SHARE_CUT = 0.4  # of clips of walking and the like that begin and end in full motion
_HELD = frozenset(("phone", "carry", "cross_arms", "hands_on_hips", "spread_arms"))  # last as long as the walk does
_ATTEMPTS = 12
_WORLD = 2.0  # metres from the origin at which clips begin


@dataclass(frozen=True)
class Plan:
    """What is done in a clip.

    Args:
        parts (tuple of (`Action`, `Choices`)): One or two.
        joined (`str`): `"then"` or `"while"` (the second meanwhile).
    """

    parts: tuple[tuple[Action, Choices], ...]
    joined: str = "then"

    @property
    def label(self) -> str:
        """The kinds, joined by ` then ` or ` while `."""
        return f" {self.joined} ".join(action.name for action, _ in self.parts)

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Plan":
        """A random plan whose parts fit together."""
        while True:
            draw = rng.random()
            if draw < _SHARE_WHILE:
                first = _draw_action(rng, lambda action: action.carries)
                second = _draw_action(rng, lambda action: not action.legs)
                joined = "while"
            elif draw < _SHARE_WHILE + _SHARE_THEN:
                first = _draw_action(rng)
                second = _draw_action(rng, lambda action, posture=first.ends: can_follow(posture, action))
                joined = "then"
            else:
                action = _draw_action(rng)
                return cls(((action, action.draw(rng)),))
            if second is None:
                continue
            parts = ((first, first.draw(rng)), (second, second.draw(rng)))
            if parts[0] != parts[1]:
                return cls(parts, joined)


def _draw_action(rng: np.random.Generator, fits=lambda action: True) -> Action | None:
    actions = [action for action in ACTIONS.values() if fits(action)]
    if not actions:
        return None
    weights = np.array([action.weight for action in actions])
    return actions[int(rng.choice(len(actions), p=weights / weights.sum()))]


def can_follow(posture: str, action: Action) -> bool:
    """Whether an action can begin in a posture: gestures can be made sitting and kneeling too."""
    return action.starts == posture or (posture in ("sitting", "kneeling") and not action.legs)


@dataclass
class GeneratedMotion:
    """One captioned clip.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): float32 metres, +Y up, floor at 0, in world coordinates.
        captions (`list[str]`): Sentences; the first tells everything that was chosen.
        label (`str`): The kind of action; two kinds are joined by ` then ` or ` while `.
        skeleton (`Skeleton`): Of the joints.
        fps (`float`): Frames a second.
        actions (`list[dict]`): Kind and choices of each part, for instance `{"kind": "wave", "side": "left"}`.
        id (`str`): Of the clip.
    """

    joints: np.ndarray
    captions: list[str]
    label: str
    skeleton: Skeleton
    fps: float = 20.0
    actions: list[dict] = field(default_factory=list)
    id: str = ""

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.joints) / self.fps


# --------------------------------------------------------------------------------------------------------------------


def _perform(plan: Plan, body: Body, style: Style, rng: np.random.Generator, fps: float) -> np.ndarray:
    """Plan -> controls `(T, C)`."""
    track = Track(body, style, rng, fps)
    take_posture(track, plan.parts[0][0].starts)
    noise = min(style.noise, 1.0)
    track.idle(noise * rng.uniform(0.0, 0.6))
    if plan.joined == "while":
        return _perform_both(plan, track)
    for index, (action, choices) in enumerate(plan.parts):
        if index:
            track.idle(noise * rng.uniform(0.0, 0.4))
        action.move(track, choices)
    track.idle(noise * rng.uniform(0.0, 0.6))
    return track.controls()


def _perform_both(plan: Plan, track: Track) -> np.ndarray:
    """A gesture on top of a way of walking."""
    (walk, how), (gesture, manner) = plan.parts
    for _ in range(4):
        scratch = Track(track.body, track.style, track.rng, track.fps)
        gesture.move(scratch, manner)
        walking = Track(track.body, track.style, track.rng, track.fps)
        walk.move(walking, how)
        if scratch.duration < 1.2 * walking.duration:
            break
    else:
        raise _DoesNotFit
    over, under = np.concatenate(scratch.pieces), np.concatenate(walking.pieces)
    length = len(under)
    if gesture.name in _HELD or len(over) > length:
        at = np.linspace(0, len(over) - 1, length)
        over = np.stack([np.interp(at, np.arange(len(over)), column) for column in over.T], axis=1)
    spare = length - len(over)
    start = int(track.rng.integers(spare + 1)) if spare else 0
    window = slice(start, start + len(over))
    t = np.arange(len(over)) / track.fps
    total = len(over) / track.fps
    on = (ease(t / 0.35) * ease((total - t) / 0.35))[:, None]
    part = under[window]
    rest = scratch.pieces[0][0]
    for channel in ("spine", "head"):
        where = CHANNELS[channel]
        part[:, where] += over[:, where] - rest[where]
    for side in gesture.used_arms(manner):
        for channel in ("hand", "pole"):
            where = slice(CHANNELS[channel].start + 3 * side, CHANNELS[channel].start + 3 * side + 3)
            part[:, where] = (1 - on) * part[:, where] + on * over[:, where]
    track.pieces, track.last = [under], under[-1].copy()
    return track.controls()


class _DoesNotFit(Exception):
    """Two actions of a plan that cannot be done at the same time: too different in length."""


def _cut(controls: np.ndarray, plan: Plan, rng: np.random.Generator, fps: float) -> np.ndarray:
    """Drops the start and the end of some clips of cyclic actions, so that not all begin and end standing."""
    margin = int(round(rng.uniform(0.45, 0.9) * fps))
    whole = all(action.cyclic for action, _ in plan.parts) and len(plan.parts) == 1
    if not whole or rng.random() > _SHARE_CUT or len(controls) < 2 * margin + 1.6 * fps:
        return controls
    return controls[margin:-margin]


def _fit(controls: np.ndarray, fps: float) -> np.ndarray:
    """At least 1 and at most 12 seconds: a still end, or the whole a little faster."""
    least, most = int(np.ceil(MIN_SECONDS * fps)), int(MAX_SECONDS * fps)
    if len(controls) < least:
        return np.concatenate([controls, np.repeat(controls[-1:], least - len(controls), axis=0)])
    if len(controls) > most:
        at = np.linspace(0, len(controls) - 1, most)
        return np.stack([np.interp(at, np.arange(len(controls)), column) for column in controls.T], axis=1)
    return controls


def _place(joints: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Somewhere in the room, heading anywhere."""
    angle = rng.uniform(-np.pi, np.pi)
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]])
    x, z = rng.uniform(-_WORLD, _WORLD, size=2)
    return joints @ turn.T + [x, 0, z]


def _above_floor(joints: np.ndarray) -> np.ndarray:
    """Lifts the frames in which a joint is below the floor, smoothly; the planted feet of others stay."""
    below = np.maximum(-joints[:, :, 1].min(axis=1), 0.0)
    if not below.any():
        return joints
    joints = joints.copy()
    joints[:, :, 1] += smooth_above(below, 2)[:, None]
    return joints


def generate_motion(
    kind: "str | Mapping | Sequence | Plan | None" = None,
    skeleton: str = "smpl22",
    rng: "np.random.Generator | int | None" = None,
    *,
    joined: str = "then",
    fps: float = 20.0,
    style: Style | None = None,
    proportions: Proportions | None = None,
    place: bool = True,
    num_captions: int = 3,
) -> GeneratedMotion:
    """Generates one captioned clip.

    Args:
        kind (`str`, `Mapping`, a sequence of up to two of them, or `None`):
            Name of an action, or a mapping with `kind` and choices of it (`{"kind": "wave", "side": "left"}`); two are
            done one after another or at the same time (`joined`). Everything is drawn when not given.
        skeleton (`str`, *optional*, defaults to `"smpl22"`): One of `GENERATED_SKELETONS`.
        rng (`np.random.Generator` or `int`, *optional*): Source of all variation, or a seed for it.
        joined (`str`, *optional*, defaults to `"then"`): `"then"`, or `"while"` for a gesture while walking.
        fps (`float`, *optional*, defaults to 20): Frames a second.
        style ([`Style`], *optional*): How the person moves; drawn by default. `Style()` is without any peculiarity or
            noise.
        proportions ([`Proportions`], *optional*): The person's body; drawn by default.
        place (`bool`, *optional*, defaults to `True`):
            Somewhere in the room and heading anywhere; otherwise the clip starts at the origin facing +Z.
        num_captions (`int`, *optional*, defaults to 3): How many wordings.

    Returns:
        [`GeneratedMotion`]

    Raises:
        ValueError: An unknown action, choice or skeleton, or two actions that cannot be joined.

    Example:

    ```python
    >>> from modeling_motionpatch.data.generated import generate_motion
    >>> clip = generate_motion({"kind": "kick", "side": "left", "dir": "forward"}, rng=0)
    >>> clip.joints.shape[1:], clip.label
    ((22, 3), 'kick')
    ```
    """
    if not fps > 0:
        raise ValueError(f"fps must be above 0, not {fps}.")
    rng = np.random.default_rng(rng)
    fixed = None if kind is None else _plan_from(kind, joined, rng)
    for attempt in range(_ATTEMPTS):
        plan = fixed or Plan.draw(rng)
        person = proportions or Proportions.draw(rng)
        manner = style or Style.draw(rng)
        body = Body(skeleton, person)
        try:
            controls = _perform(plan, body, manner, rng, fps)
        except _DoesNotFit:
            if fixed and attempt == _ATTEMPTS - 1:
                raise ValueError(f"{plan.label!r} does not fit: the gesture takes much longer than the way.") from None
            continue
        if manner.noise > 0:
            controls = _cut(controls, plan, rng, fps)
        if len(controls) <= MAX_SECONDS * fps:
            break
    joints = _above_floor(body.pose(_fit(controls, fps)))
    if place:
        joints = _place(joints, rng)
    return GeneratedMotion(
        joints=joints.astype(np.float32),
        captions=captions(plan.parts, plan.joined, rng, num_captions),
        label=plan.label,
        skeleton=body.skeleton,
        fps=float(fps),
        actions=[{"kind": action.name, **choices} for action, choices in plan.parts],
    )


def _plan_from(kind, joined: str, rng: np.random.Generator) -> Plan:
    """Names and choices -> a plan whose parts are checked."""
    if isinstance(kind, Plan):
        return kind
    if joined not in ("then", "while"):
        raise ValueError(f"joined must be 'then' or 'while', not {joined!r}.")
    given = [kind] if isinstance(kind, (str, Mapping)) else list(kind)
    if not 1 <= len(given) <= 2:
        raise ValueError(f"A clip has one action or two, not {len(given)}.")
    parts = []
    for part in given:
        part = {"kind": part} if isinstance(part, str) else dict(part)
        if "kind" not in part:
            raise ValueError(f"An action given as a mapping needs a 'kind'; this has {sorted(part)}.")
        action = get_action(part.pop("kind"))
        parts.append((action, action.draw(rng, part)))
    if len(parts) == 2:
        first, second = parts[0][0], parts[1][0]
        if joined == "while" and not (first.carries and not second.legs):
            raise ValueError(
                f"{second.name!r} cannot be done while {first.name!r}: a gesture goes with a way of walking."
            )
        if joined == "then" and not can_follow(first.ends, second):
            raise ValueError(f"{second.name!r} starts {second.starts}, but after {first.name!r} one is {first.ends}.")
    return Plan(tuple(parts), joined)


def clip_rng(seed: int, split: str, index: int) -> np.random.Generator:
    """The random numbers of one clip of a split."""
    if split not in SPLITS:
        raise ValueError(f"Unknown split {split!r}; the splits are {', '.join(SPLITS)}.")
    return np.random.default_rng(np.random.SeedSequence([int(seed), SPLITS.index(split), int(index)]))


def generate_motions(
    num: int,
    skeleton: "str | Sequence[str]" = "smpl22",
    seed: int = 0,
    *,
    split: str = "train",
    start: int = 0,
    fps: float = 20.0,
    kind=None,
    num_captions: int = 3,
) -> list[GeneratedMotion]:
    """Generates `num` captioned clips; clip i is the same whatever the others are.

    Args:
        num (`int`): How many.
        skeleton (`str` or `Sequence[str]`, *optional*, defaults to `"smpl22"`):
            Of `GENERATED_SKELETONS`; clip i has the skeleton i modulo their number.
        seed (`int`, *optional*, defaults to 0): Of everything.
        split (`str`, *optional*, defaults to `"train"`): `"train"`, `"validation"` or `"test"`: different clips.
        start (`int`, *optional*, defaults to 0): Index of the first.
        fps (`float`, *optional*, defaults to 20): Frames a second.
        kind (*optional*): As in [`generate_motion`].
        num_captions (`int`, *optional*, defaults to 3): Wordings of each.

    Returns:
        `list[GeneratedMotion]`
    """
    skeletons = [skeleton] if isinstance(skeleton, str) else list(skeleton)
    if not skeletons:
        raise ValueError("At least one skeleton is needed.")
    clips = []
    for index in range(start, start + num):
        rng = clip_rng(seed, split, index)
        name = skeletons[index % len(skeletons)]
        clip = generate_motion(kind, name, rng, fps=fps, num_captions=num_captions)
        clip.id = f"generated-{seed}-{split}-{index:06d}"
        clips.append(clip)
    return clips
