"""One motion or many, in any form that people pass them -> lists of arrays, skeletons and frame rates of one length."""

import os
from collections.abc import Mapping

import numpy as np

from .geometry_motionpatch import MotionInputError


PAIR = 2  # persons, or the frames of the shortest clip: an axis that is this long may be either


def as_lists(motions, skeleton=None, fps=None, num_persons: int = 1) -> tuple[list, list, list]:
    """Tells one motion from many; what is no motion at all is left to [`~geometry_motionpatch.check_joints`] to refuse.

    Args:
        motions (`array_like` of shape `(T, J, 3)`, `(T, P, J, 3)` for several persons, an object with `joints`, or many):
            Numpy arrays, torch tensors of any device and dtype, nested lists of numbers; many as a list, an iterator or a
            stacked array.
        skeleton, fps: One for all, one a motion (a list or an array), or `None` for what each motion itself says.
        num_persons (`int`, *optional*, defaults to 1): P.

    Returns:
        `tuple[list, list, list]`: arrays, skeletons as given or `None`, frame rates as given or `None`.

    Raises:
        MotionInputError: Other numbers of skeletons or rates than of motions, or two persons where one is expected.
    """
    ndim = 3 if num_persons == 1 else 4
    if hasattr(motions, "joints") or (hasattr(motions, "ndim") and motions.ndim <= ndim):
        motions = [motions]
    elif isinstance(motions, (str, bytes, os.PathLike, Mapping)) or not hasattr(motions, "__iter__"):
        motions = [motions]
    elif getattr(motions, "ndim", 0) == 4 and motions.shape[1] == PAIR < motions.shape[0]:
        raise MotionInputError(
            f"The motions have shape {tuple(motions.shape)}, which reads as {motions.shape[0]} clips of {PAIR} frames. "
            f"For {PAIR} persons a motion, make the extractor with `num_persons={PAIR}`; pass such short clips as a list."
        )
    elif is_nested_motion(motions, ndim):
        motions = [motions]
    motions = list(motions)
    skeletons = _one_each(skeleton, "skeleton", motions)
    rates = _one_each(fps, "fps", motions)
    return [_to_numpy(getattr(motion, "joints", motion)) for motion in motions], skeletons, rates


def _one_each(value, name: str, motions: list) -> list:
    """One value for all motions, one each, or what each motion has under that name."""
    if getattr(value, "ndim", 0) == 1:  # an array or a tensor, as data sets return columns
        value = value.tolist()
    if not isinstance(value, (list, tuple)):
        return [getattr(motion, name, None) if value is None else value for motion in motions]
    if len(value) != len(motions):
        raise MotionInputError(f"{len(motions)} motions but {len(value)} values of `{name}`; give one each.")
    return list(value)


def is_nested_motion(motion, ndim: int = 3) -> bool:
    """Whether lists in lists, down to numbers at the depth `ndim`, are one motion."""
    for _ in range(ndim):
        if not isinstance(motion, (list, tuple)) or not len(motion):
            return False
        motion = motion[0]
    return isinstance(motion, (int, float, np.number))


def _to_numpy(motion):
    """Torch tensors of any device or dtype -> numpy, without importing torch."""
    if hasattr(motion, "detach"):
        motion = motion.detach().cpu()
        motion = (motion.float() if motion.is_floating_point() else motion).numpy()
    return motion


__all__ = ["as_lists", "is_nested_motion"]
