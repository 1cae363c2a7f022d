"""World positions at any frame rate -> canonical ones as in HumanML3D: 20 fps, floor at 0, origin, facing +Z."""

import numpy as np

from ..skeletons_motionpatch import Skeleton, get_skeleton


def canonicalize(
    joints: np.ndarray, skeleton: "str | Skeleton", fps: float, target_fps: float | None = 20.0
) -> np.ndarray:
    """Resamples a motion and moves it into the frame that the models are trained in.

    The floor (the lowest joint over all frames) goes to y = 0, the root of the first frame over the origin, and the
    first frame is turned about the vertical to face +Z; all frames move alike.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): World positions in metres, +Y up.
        skeleton (`str` or `Skeleton`): What the J joints are.
        fps (`float`): Frames a second of `joints`.
        target_fps (`float`, *optional*, defaults to 20.0): Frames a second of the result; None keeps `fps`.

    Returns:
        `np.ndarray` of shape `(T', J, 3)`, float32, in metres.

    Raises:
        ValueError: Wrong number of joints, joints that are not finite, an impossible frame rate, or a skeleton whose
            facing direction is undefined.

    Example:

    ```python
    >>> from modeling_motionpatch.io import canonicalize, load_motion
    >>> motion = load_motion("walk.bvh")  # doctest: +SKIP
    >>> joints = canonicalize(motion.joints, motion.skeleton, motion.fps)  # doctest: +SKIP
    ```
    """
    from ..geometry_motionpatch import canonicalize_joints, check_joints, resample_joints

    skeleton = get_skeleton(skeleton)
    joints = check_joints(joints, skeleton)
    if target_fps is not None:
        joints = resample_joints(joints, fps, target_fps)
    return canonicalize_joints(joints, skeleton).astype(np.float32, copy=False)
