"""HumanML3D / KIT-ML features `(T, 263)` / `(T, 251)` -> joints `(T, J, 3)`, +Y up, in the data set's length unit.

With J joints a frame holds 12 J - 1 numbers: angular velocity of the heading (1), velocity of the root over the floor
in the heading frame (2), height of the root (1), positions of the other joints in the heading frame (3 (J - 1)), their
rotations (6 (J - 1)), velocities of all joints (3 J), foot contacts (4). Positions follow from the first four groups;
the rotations repeat them and are only used to recognise normalised features.
"""

import os

import numpy as np

from .base import MotionFileError


FEATURE_LAYOUTS = {263: ("smpl22", 20.0), 251: ("kit21", 12.5)}  # width -> skeleton, frames a second
# Generated features miss unit length and the range of contacts by some per cent, z-scored ones by far more.
_ROTATION_TOLERANCE, _CONTACT_TOLERANCE = 0.25, 0.2


def features_to_joints(
    features: np.ndarray,
    *,
    mean: np.ndarray | None = None,
    std: np.ndarray | None = None,
    path: str | os.PathLike | None = None,
) -> np.ndarray:
    """Features of HumanML3D or KIT-ML back to joint positions.

    The heading is the running sum of the angular velocity, which is stored for half the angle, as in a quaternion
    about the vertical; frame t moves by what frame t - 1 stores, turned into the world by the heading of frame t.

    Args:
        features (`np.ndarray` of shape `(T, 263)` or `(T, 251)`): As in `new_joint_vecs`.
        mean, std (`np.ndarray` of shape `(263,)` or `(251,)`, *optional*):
            The data set's statistics, when the features were normalised with them, as generators give them.
        path (`str` or `os.PathLike`, *optional*): What errors call the source.

    Returns:
        `np.ndarray` of shape `(T, J, 3)`, float32: positions; the first root is over the origin, facing +Z.

    Raises:
        MotionFileError: Wrong shape or type, values that are not finite (with the frame), or normalised features
            without their statistics.

    Example:

    ```python
    >>> import numpy as np
    >>> from modeling_motionpatch.io import features_to_joints
    >>> standing = np.zeros((40, 263), dtype=np.float32)
    >>> standing[:, 3] = 0.95  # height of the pelvis [m]
    >>> features_to_joints(standing).shape
    (40, 22, 3)
    ```
    """
    where = f"{os.fspath(path)}: " if path is not None else ""
    features = np.asarray(features)
    if features.dtype.kind not in "fiu":
        raise MotionFileError(f"{where}features of type {features.dtype}; numbers are needed.")
    if features.ndim != 2 or features.shape[1] not in FEATURE_LAYOUTS:
        swapped = features.ndim == 2 and features.shape[0] in FEATURE_LAYOUTS
        hint = " Frames and features look swapped." if swapped else ""
        raise MotionFileError(
            f"{where}features of shape {features.shape}; (frames, 263) for HumanML3D or (frames, 251) for KIT-ML is "
            f"needed.{hint}"
        )
    if not len(features):
        raise MotionFileError(f"{where}features without a frame.")
    data = features.astype(np.float64)
    _check_finite(data, where)
    if (mean is None) != (std is None):
        raise MotionFileError(f"{where}`mean` and `std` belong together; one is missing.")
    if mean is not None:
        mean, std = np.asarray(mean, dtype=np.float64), np.asarray(std, dtype=np.float64)
        if mean.shape != data.shape[1:] or std.shape != data.shape[1:]:
            raise MotionFileError(f"{where}mean {mean.shape} and std {std.shape} must be ({data.shape[1]},).")
        data = data * std + mean
        _check_finite(data, where)

    num_joints = (data.shape[1] + 1) // 12
    others = num_joints - 1
    positions, rotations = np.split(data[:, 4 : 4 + 9 * others], [3 * others], axis=1)
    _check_raw(rotations, data[:, -4:], where)

    half = np.concatenate([[0.0], np.cumsum(data[:-1, 0])])
    cos, sin = np.cos(2 * half), np.sin(2 * half)

    def to_world(x: np.ndarray, z: np.ndarray, cos: np.ndarray, sin: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return cos * x - sin * z, sin * x + cos * z

    step_x, step_z = to_world(data[:-1, 1], data[:-1, 2], cos[1:], sin[1:])
    root_x = np.concatenate([[0.0], np.cumsum(step_x)])
    root_z = np.concatenate([[0.0], np.cumsum(step_z)])

    joints = np.empty((len(data), num_joints, 3))
    joints[:, 0] = np.stack([root_x, data[:, 3], root_z], axis=-1)
    local = positions.reshape(len(data), others, 3)
    x, z = to_world(local[..., 0], local[..., 2], cos[:, None], sin[:, None])
    joints[:, 1:, 0] = x + root_x[:, None]
    joints[:, 1:, 1] = local[..., 1]  # heights are kept as they are, not taken from the root
    joints[:, 1:, 2] = z + root_z[:, None]
    return joints.astype(np.float32)


def _check_finite(data: np.ndarray, where: str) -> None:
    bad = np.flatnonzero(~np.isfinite(data).all(axis=1))
    if len(bad):
        raise MotionFileError(
            f"{where}features are not finite in frame {bad[0]}"
            + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")
            + "."
        )


def _check_raw(rotations: np.ndarray, contacts: np.ndarray, where: str) -> None:
    """Refuses z-scored features, in which rotations are no unit vectors and foot contacts lie outside of 0 to 1."""
    with np.errstate(over="ignore"):
        length = np.linalg.norm(rotations.reshape(len(rotations), -1, 3), axis=-1)
    deviation = float(np.abs(length - 1).mean())
    outside = float(np.mean((contacts < -_CONTACT_TOLERANCE) | (contacts > 1 + _CONTACT_TOLERANCE)))
    if deviation > _ROTATION_TOLERANCE and outside > 0.1:
        raise MotionFileError(
            f"{where}the features look normalised: rotations are no unit vectors (mean deviation {deviation:.2f}) and "
            f"{100 * outside:.0f} % of the foot contacts lie outside of 0 to 1. Pass the data set's Mean.npy and "
            "Std.npy to features_to_joints as `mean` and `std`."
        )
