"""Motion files of any readable kind -> `Motion`: joints `(T, J, 3)` float32 in metres, +Y up, with fps and skeleton.

The kind is told by content first and suffix second. World positions are kept as recorded; [`canonicalize`] moves them
to the origin.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from ..skeletons_motionpatch import Skeleton, SkeletonError, get_skeleton, known_skeletons
from . import world
from .base import (
    MotionFileError,
    MotionFileNotFoundError,
    MotionFileWarning,
    RawMotion,
    announce,
    check_fps,
    check_is_file,
    warn_file,
)


MOTION_SUFFIXES = (".amc", ".bvh", ".npy", ".npz")
_SNIFF_BYTES = 4096
T_POSE_NOTE = "frame 0 is a T or rest pose put before the take"  # how such a note of a motion begins
_PLAUSIBLE = 2.5  # a body larger or smaller than an adult by more than this in every unit is no person
_ACCLAIM_SKELETON = re.compile(rb"^\s*:(version|name|units|root|bonedata)\b", re.IGNORECASE | re.MULTILINE)
_ACCLAIM_MOTION = re.compile(rb"^\s*:(fully-specified|degrees|radians)\b", re.IGNORECASE | re.MULTILINE)

__all__ = [
    "MOTION_SUFFIXES",
    "Motion",
    "MotionFileError",
    "MotionFileNotFoundError",
    "MotionFileWarning",
    "find_motion_files",
    "load_motion",
    "save_motion",
]


@dataclass(frozen=True, eq=False)
class Motion:
    """A motion: where every joint is in every frame.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): World positions in metres, +Y up; kept as float32.
        fps (`float`): Frames a second.
        skeleton (`Skeleton` or `str`): What the J joints are.
        path (`str`, *optional*): The file it was read from.
        notes (`tuple[str, ...]`): What the reader found or guessed: units, upward axis, frame rate, a T pose in front.

    Raises:
        ValueError: `joints` is not `(T, J, 3)` with the skeleton's J, or `fps` is not above 0.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_motionpatch.io import Motion
    >>> Motion(np.zeros((40, 22, 3)), fps=20.0, skeleton="smpl22").duration
    2.0
    ```
    """

    joints: np.ndarray
    fps: float
    skeleton: Skeleton
    path: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self):
        joints = np.asarray(self.joints, dtype=np.float32)
        skeleton = get_skeleton(self.skeleton)
        if joints.ndim != 3 or joints.shape[1:] != (skeleton.num_joints, 3) or not len(joints):
            raise ValueError(
                f"joints of shape {joints.shape} do not belong to {skeleton.name!r}: (T, {skeleton.num_joints}, 3) with "
                "at least one frame is needed."
            )
        if not 0 < float(self.fps) < np.inf:
            raise ValueError(f"fps={self.fps!r} must be a finite number above 0.")
        for attribute, value in (
            ("joints", joints),
            ("fps", float(self.fps)),
            ("skeleton", skeleton),
            ("path", None if self.path is None else os.fspath(self.path)),
            ("notes", tuple(self.notes)),
        ):
            object.__setattr__(self, attribute, value)

    @property
    def num_frames(self) -> int:
        """T, the number of frames."""
        return len(self.joints)

    @property
    def duration(self) -> float:
        """Length in seconds."""
        return self.num_frames / self.fps

    def __repr__(self):
        source = f", path={self.path!r}" if self.path else ""
        return (
            f"Motion({self.num_frames} frames at {self.fps:g} fps, {self.skeleton.num_joints} joints of "
            f"{self.skeleton.name!r}{source})"
        )


def load_motion(
    path: str | os.PathLike,
    *,
    fps: float | None = None,
    skeleton: "str | Skeleton | None" = None,
    up: str | None = None,
    units: "str | float | None" = None,
    end_sites: bool = False,
    drop_t_pose: bool = False,
    asf: str | os.PathLike | None = None,
    body_model: str | os.PathLike | None = None,
) -> Motion:
    """Reads a motion file: BVH, AMC with its ASF, `.npy` / `.npz` joints, HumanML3D or KIT-ML features, AMASS.

    Where the file does not say in which unit and with which axis up it is, both are told from the body: the unit from
    the length of the legs, the axis from the direction in which the person stands. Every guess is listed in
    `Motion.notes`, and logged once a kind of guess.

    Args:
        path (`str` or `os.PathLike`): The file.
        fps (`float`, *optional*): Frames a second, overriding what the file says.
        skeleton (`str` or `Skeleton`, *optional*):
            What the joints are. Where the file names its joints, those of the skeleton are picked by name, in its
            order; else their number must agree. Found from the file when not given.
        up (`str`, *optional*): `"y"`, `"z"`, `"-y"`, ...: the file's upward axis, overriding the guess.
        units (`str` or `float`, *optional*):
            `"m"`, `"cm"`, `"mm"`, `"in"`, `"ft"`, `"cmu"` (of the CMU database's ASF files, 0.0564 m) or metres per
            unit, overriding the file or the guess.
        end_sites (`bool`, *optional*, defaults to `False`):
            Whether the end sites of a BVH become joints, named `<parent>_end`. They belong to no body part.
        drop_t_pose (`bool`, *optional*, defaults to `False`):
            Whether a T pose that was put before the take (frame 0, followed by a jump no body makes) is left out. It is
            reported in the notes in any case. Galleries and motion folders leave it out unless told otherwise.
        asf (`str` or `os.PathLike`, *optional*): The skeleton of an AMC file, when it does not lie beside it.
        body_model (`str` or `os.PathLike`, *optional*): Folder of SMPL-H or SMPL-X models, for AMASS.

    Returns:
        `Motion`: world positions in metres, +Y up, as recorded (not canonical).

    Raises:
        MotionFileError: The file cannot be read; the message names it and the line, frame or key.
        SkeletonError: `skeleton` is unknown.
        ValueError: `up` or `units` names nothing known.

    Warns:
        MotionFileWarning: The file was read, but not all of it, or it looks wrong (cut off, mirrored, no person's size).

    Example:

    ```python
    >>> from modeling_motionpatch import load_motion
    >>> motion = load_motion("walk.bvh")  # doctest: +SKIP
    >>> motion.joints.shape, motion.fps, motion.notes  # doctest: +SKIP
    ```
    """
    path = Path(path)
    check_is_file(path)
    wanted = None if skeleton is None else get_skeleton(skeleton)
    if units is not None:
        world.metres_per_unit(units)
    if up is not None:
        world.axis_name(up)
    if fps is not None:
        fps = check_fps(path, fps, f"fps={fps!r}")
    kind = _kind_of(path)
    if kind == "bvh":
        from .bvh import read_bvh

        raw = read_bvh(path, fps=fps, end_sites=end_sites)
    elif kind == "amc":
        from .asf_amc import read_amc

        raw = read_amc(path, asf=asf, fps=fps)
    elif kind == "npy":
        from .arrays import read_npy

        raw = read_npy(path, fps=fps, skeleton=wanted)
    else:
        from .arrays import read_npz

        raw = read_npz(path, fps=fps, skeleton=wanted, body_model=body_model)
    return _finish(str(path), raw, wanted, up, units, drop_t_pose)


def save_motion(path: str | os.PathLike, motion: Motion) -> None:
    """Writes a motion as our own `.npz`: `joints`, `fps`, `joint_names`, `parents` (and `skeleton`, as JSON).

    Args:
        path (`str` or `os.PathLike`): Where to; it must end in `.npz`. An existing file is replaced.
        motion (`Motion`): The motion.

    Raises:
        MotionFileError: Another suffix, or the joints are not finite.
    """
    from .arrays import write_npz

    path = Path(path)
    if path.suffix.lower() != ".npz":
        raise MotionFileError(f"{path}: motions are saved as .npz; give the file that suffix.")
    _check_finite(str(path), motion.joints)
    write_npz(path, motion.joints, motion.fps, motion.skeleton)


def find_motion_files(folder: str | os.PathLike) -> list[Path]:
    """All files below a folder whose suffix is in `MOTION_SUFFIXES`, sorted; hidden files and folders are left out.

    Args:
        folder (`str` or `os.PathLike`): Searched recursively, and so are folders that are linked into it; a folder that
            can be reached in several ways is searched once, under its own place where it has one below `folder`.

    Returns:
        `list[Path]`: the files.

    Raises:
        MotionFileNotFoundError: The folder does not exist.
        MotionFileError: It is no folder.

    Warns:
        MotionFileWarning: A folder below it cannot be listed.
    """
    folder = Path(folder)
    if not folder.exists():
        raise MotionFileNotFoundError(f"{folder}: no such folder.")
    if not folder.is_dir():
        raise MotionFileError(f"{folder}: is no folder; load_motion reads a single file.")
    found, seen, pending = [], set(), [str(folder)]

    def unreadable(error: OSError) -> None:
        warn_file(error.filename, f"this folder cannot be listed, so its files are left out: {error.strerror}.")

    while pending:  # links are followed last
        for place, folders, names in os.walk(pending.pop(0), onerror=unreadable):
            status = os.stat(place)
            if (status.st_dev, status.st_ino) in seen:
                folders.clear()
                continue
            seen.add((status.st_dev, status.st_ino))
            folders[:] = [name for name in folders if not name.startswith(".")]
            pending += sorted(link for name in folders if os.path.islink(link := os.path.join(place, name)))
            found.extend(
                Path(place, name)
                for name in names
                if not name.startswith(".") and os.path.splitext(name)[1].lower() in MOTION_SUFFIXES
            )
    return sorted(found)


# --------------------------------------------------------------------------------------------------------------------
# Kinds of files


def _kind_of(path: Path) -> str:
    """`"bvh"`, `"amc"`, `"npy"` or `"npz"`, by content, else by suffix."""
    try:
        with open(path, "rb") as file:
            head = file.read(_SNIFF_BYTES)
    except OSError as error:
        raise MotionFileError(f"{path}: cannot be read: {error.strerror or error}.") from error
    suffix = path.suffix.lower()
    if not head:
        raise MotionFileError(f"{path}: the file is empty.")
    if head.startswith(b"\x93NUMPY"):
        return "npy"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip()[:9].upper() == b"HIERARCHY":
        return "bvh"
    if head.startswith((b"\x1f\x8b", b"BZh", b"\xfd7zXZ", b"7z\xbc\xaf")):
        raise MotionFileError(f"{path}: is compressed; unpack it first.")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) and suffix in (".bvh", ".amc", ".asf"):
        raise MotionFileError(f"{path}: line 1: is UTF-16 text; save it as UTF-8.")
    if head.startswith(b"Kaydara FBX Binary") or suffix == ".fbx":
        raise MotionFileError(f"{path}: FBX is not read; export the take as BVH (Blender, MotionBuilder, Maya can).")
    if suffix == ".c3d":
        raise MotionFileError(
            f"{path}: C3D holds positions of markers on the skin, not of joints; solve a skeleton from them first "
            "(and export it as BVH or ASF/AMC)."
        )
    if suffix in MOTION_SUFFIXES:
        return suffix[1:]
    if _ACCLAIM_MOTION.search(head):
        return "amc"
    if suffix == ".asf" or _ACCLAIM_SKELETON.search(head):
        raise MotionFileError(f"{path}: an ASF file is a skeleton without motion; load the .amc that belongs to it.")
    raise MotionFileError(
        f"{path}: no motion file by content or suffix; {', '.join(MOTION_SUFFIXES)} are read (an .amc with its .asf)."
    )


# --------------------------------------------------------------------------------------------------------------------
# From what a file holds to a motion


def _finish(
    path: str,
    raw: RawMotion,
    wanted: Skeleton | None,
    up: str | None,
    units: "str | float | None",
    drop_t_pose: bool,
) -> Motion:
    """Settles skeleton, units and axes, and notes how."""
    _check_finite(path, raw.joints)
    notes = list(raw.notes)
    skeleton, joints, rest = _settle_skeleton(path, raw, wanted, notes)
    sample = world.sample_frames(joints)
    length, variation = world.limb_length(sample, skeleton)
    scale = _settle_units(path, raw.units, units, skeleton, length, variation, notes)
    axis = _settle_up(raw.up, up, sample, rest, skeleton, variation, notes)

    with np.errstate(over="ignore", invalid="ignore"):
        joints = world.to_y_up(np.multiply(joints, np.float32(scale), dtype=np.float32, casting="unsafe"), axis)
    if not max(joints.max(), -joints.min()) <= _MAX_METRES:
        frame = int(np.argmax(~(np.abs(joints).max(axis=(1, 2)) <= _MAX_METRES)))
        raise MotionFileError(f"{path}: frame {frame} has a joint more than {_MAX_METRES:g} m from the origin.")
    rest = None if rest is None else world.to_y_up(rest * scale, axis)
    if world.faces_backwards(world.sample_frames(joints), skeleton):
        notes.append(
            warn_file(
                path,
                "the toes point backwards, so left and right may be swapped or the axes left-handed; check the side of a "
                "raised hand.",
            )
        )
    extra = world.count_t_pose_frames(joints, raw.fps, rest, skeleton)
    if 0 < extra < len(joints):
        what = T_POSE_NOTE
        what += f", blended into it up to frame {extra - 1}" if extra > 1 else ""
        notes.append(f"{what}; " + ("left out" if drop_t_pose else "`drop_t_pose=True` leaves it out"))
        joints = joints[extra:] if drop_t_pose else joints
    return Motion(joints, raw.fps, skeleton, path, tuple(notes))


_MAX_METRES = 1e5  # 100 km: float32 still tells a centimetre; beyond, it is not the position of a body


def _check_finite(path: str, joints: np.ndarray) -> None:
    finite = np.isfinite(joints).all(axis=(1, 2))
    if not finite.all():
        bad = np.flatnonzero(~finite)
        frames = ", ".join(map(str, bad[:8])) + (", ..." if len(bad) > 8 else "")
        raise MotionFileError(f"{path}: NaN or infinite joints in frame{'s' if len(bad) > 1 else ''} {frames}.")


@lru_cache(maxsize=256)
def _skeleton_of(names: tuple[str, ...], parents: tuple[int, ...]) -> Skeleton:
    """The registered skeleton with these joints, else one found by names; the same object for files that share it."""
    for known in map(get_skeleton, known_skeletons()):
        if known.joints == names and known.parents == parents:
            return known
    return Skeleton.from_hierarchy(names, parents)


def _settle_skeleton(
    path: str, raw: RawMotion, wanted: Skeleton | None, notes: list[str]
) -> tuple[Skeleton, np.ndarray, np.ndarray | None]:
    """The skeleton, and the joints and rest pose in its order."""
    wanted = wanted or raw.skeleton
    if raw.names is None:
        assert wanted is not None  # readers of arrays without names settle it
        if raw.joints.shape[1] != wanted.num_joints:
            raise MotionFileError(
                f"{path}: {raw.joints.shape[1]} joints, but the skeleton {wanted.name!r} has {wanted.num_joints}."
            )
        return wanted, raw.joints, raw.rest
    names = tuple(raw.names)
    if wanted is None:
        try:
            return _skeleton_of(names, tuple(raw.parents)), raw.joints, raw.rest
        except SkeletonError as error:
            raise MotionFileError(
                f"{path}: {error} Pass `skeleton=` with the joints to use and their chains."
            ) from error
    if wanted.joints == names:
        return wanted, raw.joints, raw.rest
    missing = [joint for joint in wanted.joints if joint not in names]
    if missing:
        raise MotionFileError(
            f"{path}: the skeleton {wanted.name!r} has joints that the file lacks: {', '.join(missing[:8])}"
            f"{', ...' if len(missing) > 8 else ''}. The file has {', '.join(names[:12])}"
            f"{', ...' if len(names) > 12 else ''}."
        )
    order = [names.index(joint) for joint in wanted.joints]
    notes.append(f"{len(order)} of {len(names)} joints picked by name, as in {wanted.name}")
    return wanted, raw.joints[:, order], None if raw.rest is None else raw.rest[order]


def _settle_units(
    path: str,
    stated: float | None,
    given: "str | float | None",
    skeleton: Skeleton,
    length: float,
    variation: float,
    notes: list[str],
) -> float:
    """Metres per unit."""
    if given is not None:
        scale = world.metres_per_unit(given)
        notes.append(f"units: {given} as given")
        return scale
    if stated is not None:
        if (
            length
            and not 1 / _PLAUSIBLE <= length * stated / world.LEG_LENGTH <= _PLAUSIBLE
            and world.is_rigid(variation)
        ):
            notes.append(
                warn_file(path, f"the legs are {length * stated:.3g} m long in the units that the file states.")
            )
        if stated != 1.0:
            notes.append(f"units: {stated:.4g} m, as the file states")
        return stated
    if not length and any(len(chain) > 2 for chain in skeleton.chains.values()):
        notes.append(warn_file(path, "the limbs have no length: all their joints lie in one point."))
    if not length or not world.is_rigid(variation):
        notes.append("units taken as metres: no limb of constant length tells them")
        return 1.0
    unit, _ = world.guess_units(length)
    metres = length * world.UNITS[unit]
    notes.append(f"units guessed as {unit}: thigh and shin are {length:.4g} units long, {metres:.3g} m")
    if unit != "m":
        announce(f"Units of motion files guessed as {unit} from the length of the legs; `units=` overrides.")
    if not 1 / _PLAUSIBLE <= metres / world.LEG_LENGTH <= _PLAUSIBLE:
        notes.append(warn_file(path, f"no unit makes this a person (legs of {length:.3g} units); {unit} was taken."))
    return world.UNITS[unit]


def _settle_up(
    fixed: str | None,
    given: str | None,
    sample: np.ndarray,
    rest: np.ndarray | None,
    skeleton: Skeleton,
    variation: float,
    notes: list[str],
) -> str:
    """The file's upward axis."""
    if given is not None:
        notes.append(f"up: {world.axis_name(given)} as given")
        return world.axis_name(given)
    if fixed is not None:
        if fixed != "y":
            notes.append(f"up: {fixed}, as the format has it")
        return fixed
    if not world.is_rigid(variation):
        notes.append("up taken as y: no rigid body tells it")
        return "y"
    axis, reason = world.guess_up(sample, rest, skeleton)
    notes.append(f"up guessed as {axis} by {reason}")
    if axis != "y":
        announce(f"Upward axis of motion files guessed as {axis}; `up=` overrides.")
    return axis
