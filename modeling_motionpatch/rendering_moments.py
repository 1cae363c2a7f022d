"""Hits of a gallery -> the joints (T, J, 3) in metres of those moments, and joints -> what the browser's player reads.

A gallery keeps embeddings, ids and captions, not motions; a [`MotionSource`] finds the motion of an id where it lies.
"""

import re
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np

from .rendering_base import (
    OTHER_COLOR,
    PART_COLORS,
    RenderingError,
    at_the_pelvis,
    bones_of,
    check_fps,
    check_joints,
    first_heading,
)
from .skeletons_motionpatch import Skeleton, get_skeleton


MAX_SECONDS = 30.0  # of a motion without times that is shown; a moment of a gallery is about 11 s at most
PLAYER_FPS = 30.0  # frames above this rate are left out for the browser, which shows no difference
VIEW_DEGREES = 35.0  # from the person's left: a three-quarter view, as everywhere in this package
KEPT_TAKES = 8  # takes kept in memory, so that several hits of one long file read it once
_GENERATED_ID = re.compile(r"^generated-(\d{1,9})-(train|validation|test)-(\d{1,9})$")


@dataclass(frozen=True, eq=False)
class Moment:
    """A piece of a motion.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`, or `(T, P, J, 3)` for P persons): Metres, +Y up.
        skeleton (`Skeleton`): What the J joints are.
        fps (`float`): Frames a second.
        start (`float`): Where it begins in its motion [s].
    """

    joints: np.ndarray
    skeleton: Skeleton
    fps: float
    start: float = 0.0


class MotionSource:
    """Where the motions of a gallery's ids are.

    Args:
        motions (*optional*): What the gallery was built from: a folder of motion files, a `datasets.Dataset`, or a list
            of arrays, motions or paths. Nothing is read before a hit is shown. Without it, only motions of
            [`generate_motions`] are known: they are made again from their ids.
        ids (`Sequence`, *optional*): As given to [`MotionGallery.build`].
        skeleton (`str` or `Skeleton`, *optional*): Of motions that do not say.
        fps (`float`, *optional*): Of motions that do not say [1/s].

    Example:

    ```python
    >>> source = MotionSource("my_bvh_files")  # doctest: +SKIP
    >>> source.moment(gallery.search("a person waves")[0]).joints.shape  # doctest: +SKIP
    (224, 31, 3)
    ```
    """

    def __init__(self, motions=None, ids=None, skeleton="smpl22", fps: float = 20.0):
        from .retrieval.sources import takes_of

        self.skeleton, self.fps = skeleton, check_fps(fps)
        self._takes = {} if motions is None else {str(take.id): take for take in takes_of(motions, ids)}
        self._kept: OrderedDict[str, tuple] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def of(cls, motions) -> "MotionSource":
        """`motions` itself if it is a source already."""
        return motions if isinstance(motions, cls) else cls(motions)

    def moment(self, hit) -> Moment:
        """The motion of a hit, from its start to its end.

        Args:
            hit (`Hit` or `dict`): With `id`, and `start` and `end` [s], which may be `None`.

        Returns:
            `Moment`

        Raises:
            RenderingError: The motion is not in the source, or cannot be read.
        """
        joints, skeleton, fps = self._motion(hit)
        start, end = hit.get("start"), hit.get("end")
        if start is None or end is None:
            start, end = 0.0, MAX_SECONDS
        first = min(max(0, int(round(start * fps))), len(joints) - 1)
        last = max(first + 1, int(round(end * fps)))
        return Moment(joints[first:last], skeleton, fps, first / fps)

    def _motion(self, hit) -> tuple[np.ndarray, Skeleton, float]:
        name = str(hit["id"])
        with self._lock:
            if name in self._kept:
                self._kept.move_to_end(name)
                return self._kept[name]
            take = self._takes.get(name)
            if take is None:
                motion = _generated(name, hit.get("captions"))
            else:
                try:
                    joints, skeleton, fps = take.read()
                    skeleton = get_skeleton(self.skeleton if skeleton is None else skeleton)
                    motion = np.asarray(joints, np.float32), skeleton, self.fps if fps is None else check_fps(fps)
                except (ValueError, OSError) as error:
                    raise RenderingError(f"The motion {name!r} cannot be read: {error}") from error
            self._kept[name] = motion
            while len(self._kept) > KEPT_TAKES:
                self._kept.popitem(last=False)
            return motion


def _generated(name: str, captions) -> tuple[np.ndarray, Skeleton, float]:
    """A motion of [`generate_motions`] with the default skeletons, made again from its id."""
    match = _GENERATED_ID.match(name)
    if match is None:
        raise RenderingError(f"The motion {name!r} is not at hand; pass `motions=`, what the gallery was built from.")
    from .data.generated import generate_motions
    from .data.generated.dataset import DEFAULT_SKELETONS

    clip = generate_motions(1, DEFAULT_SKELETONS, int(match[1]), split=match[2], start=int(match[3]))[0]
    if captions and not set(captions) & set(clip.captions):  # of another version of the generator
        raise RenderingError(f"The motion {name!r} is generated differently now; pass `motions=`.")
    return clip.joints, clip.skeleton, clip.fps


# --------------------------------------------------------------------------------------------------------------------
# For the browser


def player_clip(moment: Moment, azimuth: float = VIEW_DEGREES) -> dict:
    """A moment -> what `static/player.js` plays: millimetres from where it begins, on the floor, as JSON can hold it.

    Args:
        moment ([`Moment`]): One or several persons.
        azimuth (`float`, *optional*, defaults to 35): Degrees of the viewer from where the first person faces at first.

    Returns:
        `dict`: `frames` (T lists of 3 * J integers), `fps`, `bones` (parent, child, colour), `heads` (neck and head of
        each person), `azimuth` [rad], `root` (joint that the camera follows), `start` [s].

    Raises:
        RenderingError: The joints do not fit the skeleton, or are not finite.
    """
    fps = check_fps(moment.fps)
    every = max(1, int(round(fps / PLAYER_FPS)))
    persons = np.asarray(moment.joints)
    persons = persons[:, None] if persons.ndim == 3 else persons
    if persons.ndim != 4:
        raise RenderingError(f"Joints must have the shape (T, J, 3) or (T, P, J, 3); these have {persons.shape}.")
    skeleton = get_skeleton(moment.skeleton)
    for person in range(persons.shape[1]):
        check_joints(persons[:, person], skeleton)
    persons = persons[::every]
    count, torso = skeleton.num_joints, skeleton.chains["torso"]
    offsets = [person * count for person in range(persons.shape[1])]
    bones = [(a + offset, b + offset, color) for offset in offsets for a, b, color in bones_of(skeleton)]
    heads = [[torso[-2] + offset, torso[-1] + offset] for offset in offsets] if len(torso) >= 3 else []
    persons = persons.astype(np.float64)
    persons = at_the_pelvis(persons, skeleton)
    joints = persons.reshape(len(persons), -1, 3)
    origin = joints[0, skeleton.pelvis].copy()
    origin[1] = joints[..., 1].min()
    return {
        "fps": fps / every,
        "start": round(float(moment.start), 3),
        "azimuth": float(np.radians(azimuth + first_heading(persons[:, 0], skeleton))),
        "root": int(skeleton.pelvis),
        "bones": [[int(a), int(b), color] for a, b, color in bones],
        "heads": [[int(a), int(b)] for a, b in heads],
        "frames": np.round((joints - origin) * 1000).astype(int).reshape(len(joints), -1).tolist(),
    }


def color_key() -> list[tuple[str, str]]:
    """(name, colour) of each body part, and of what belongs to none."""
    return [(part.replace("_", " "), color) for part, color in PART_COLORS.items()] + [("other", OTHER_COLOR)]
