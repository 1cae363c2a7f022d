"""What pictures and the HTML player share: checks of the input, body-part colours, bones, the direction of view."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from .skeletons_motionpatch import BODY_PARTS, Skeleton, SkeletonError, get_skeleton, lateral_axis


PART_COLORS = {  # red-ish is the person's left, blue-ish the right; distinct for the colour-blind too
    "torso": "#444444",
    "left_arm": "#e4572e",
    "right_arm": "#2e86de",
    "left_leg": "#f2a541",
    "right_leg": "#17a398",
}
OTHER_COLOR = "#aaaaaa"  # joints of no body part: fingers, end sites
BACKGROUND = "#ffffff"


class RenderingError(ValueError):
    """Joints or patches that cannot be drawn, or a file format that cannot be written here."""


# --------------------------------------------------------------------------------------------------------------------
# Input


def check_joints(joints, skeleton) -> tuple[np.ndarray, Skeleton]:
    skeleton = get_skeleton(skeleton)
    joints = np.asarray(joints, dtype=np.float64)
    if joints.ndim != 3 or joints.shape[2] != 3:
        raise RenderingError(f"Joints must have the shape (T, J, 3); these have {joints.shape}.")
    if joints.shape[0] == 0:
        raise RenderingError("The motion has no frame, so there is nothing to draw.")
    if joints.shape[1] != skeleton.num_joints:
        raise RenderingError(
            f"The motion has {joints.shape[1]} joints but the skeleton {skeleton.name!r} has {skeleton.num_joints}; "
            "pass the skeleton of the motion."
        )
    broken = np.flatnonzero(~np.isfinite(joints).all(axis=(1, 2)))
    if len(broken):
        raise RenderingError(f"Frames {broken[:10].tolist()} hold NaN or infinite positions; leave them out first.")
    return joints, skeleton


def check_fps(fps: float) -> float:
    if not (np.isfinite(fps) and fps > 0):
        raise RenderingError(f"fps must be a number above 0, not {fps}.")
    return float(fps)


def joints_above(skeleton: Skeleton) -> list[int]:
    """The joints that the pelvis hangs on, which move the whole body in some files."""
    joints, joint = [], skeleton.parents[skeleton.pelvis]
    while joint >= 0:
        joints.append(joint)
        joint = skeleton.parents[joint]
    return joints


def at_the_pelvis(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """Joints `(..., J, 3)` with those that the pelvis hangs on moved to it: they are no body parts, and may stay behind."""
    joints = joints.copy()
    joints[..., joints_above(skeleton), :] = joints[..., [skeleton.pelvis], :]
    return joints


def bones_of(skeleton: Skeleton) -> list[tuple[int, int, str]]:
    """(parent, child, colour) of every bone, but for those above the pelvis, which join a body to the world's origin."""
    above = joints_above(skeleton)
    part_of = {}
    for part in BODY_PARTS[::-1]:  # the torso last: it wins where limbs begin
        for index in skeleton.chains[part]:
            part_of[index] = part
    bones = []
    for child, parent in enumerate(skeleton.parents):
        if parent < 0 or parent in above:
            continue
        part = part_of.get(child)
        bones.append((parent, child, PART_COLORS[part] if part else OTHER_COLOR))
    return bones


# --------------------------------------------------------------------------------------------------------------------
# View


def view_matrix(azimuth: float, elevation: float) -> np.ndarray:
    """Rows: right, up and towards the viewer, `(3, 3)`, for a camera `azimuth` degrees from +Z towards +X."""
    a, e = np.radians(azimuth), np.radians(elevation)
    towards = np.array([np.sin(a) * np.cos(e), np.sin(e), np.cos(a) * np.cos(e)])
    right = np.array([np.cos(a), 0.0, -np.sin(a)])
    return np.stack([right, np.cross(towards, right), towards])


def first_heading(joints: np.ndarray, skeleton: Skeleton) -> float:
    """Degrees from +Z towards +X that the person faces in the first frame; 0 where that is undefined."""
    try:
        axis = lateral_axis(joints[:1], skeleton)[0]
    except SkeletonError:
        return 0.0
    return float(np.degrees(np.arctan2(-axis[2], axis[0]))) if np.hypot(axis[0], axis[2]) > 1e-6 else 0.0


def check_suffix(path, allowed: Sequence[str]) -> Path:
    path = Path(path)
    if path.suffix.lower() not in allowed:
        raise RenderingError(f"{path.name!r}: the file must end in {' or '.join(allowed)}.")
    return path
