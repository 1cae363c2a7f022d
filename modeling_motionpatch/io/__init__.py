"""Motion files <-> joints `(T, J, 3)` in metres, +Y up; and canonicalisation as in HumanML3D."""

from .canonicalize import canonicalize
from .features import features_to_joints
from .motion import (
    MOTION_SUFFIXES,
    Motion,
    MotionFileError,
    MotionFileNotFoundError,
    MotionFileWarning,
    find_motion_files,
    load_motion,
    save_motion,
)


__all__ = [
    "MOTION_SUFFIXES",
    "Motion",
    "MotionFileError",
    "MotionFileNotFoundError",
    "MotionFileWarning",
    "canonicalize",
    "features_to_joints",
    "find_motion_files",
    "load_motion",
    "save_motion",
]
