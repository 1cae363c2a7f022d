"""A skeleton and statistics -> the affine map that takes positions (3, T, J) [m] to normalised points (3, T, 5 * N).

Interpolation along the chains and z-scores are both linear, so they are one matrix product and one subtraction for all
frames. T frames, J joints, N points a body part, W = 5 * N.
"""

from collections.abc import Sequence

import numpy as np

from .geometry_motionpatch import points_matrix
from .skeletons_motionpatch import Skeleton


TALL = 256  # frames, above what a model reads


class PointMap:
    """`points = channels @ factors - offsets` for motions of one skeleton; what does not depend on a motion is kept.

    Args:
        skeleton (`Skeleton`): What the J joints are.
        num_points (`int`): N.
        part_order (`Sequence[str]`): Body parts from left to right.
        interpolation (`str`): See [`~geometry_motionpatch.chain_weights`]; with `"arc_length"` the map follows the bones
            of each motion.
        mean, std (`np.ndarray` of shape `(J, 3)` or `(5 * N, 3)`, *optional*): Of joints or of points [m]; points stay in
            metres without.
        by_joint (`bool`, *optional*, defaults to `False`): Whether they are those of joints.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        num_points: int,
        part_order: Sequence[str],
        interpolation: str,
        mean: np.ndarray | None = None,
        std: np.ndarray | None = None,
        by_joint: bool = False,
    ):
        self.chains = (skeleton, num_points, tuple(part_order), interpolation)
        self.scale = self.offsets = self.joint_mean = self.fixed = None
        if mean is not None:
            scale = (1 / std.astype(np.float64)).T
            if by_joint:
                self.scale = scale[:, :, None].astype(np.float32)  # (3, J, 1)
                self.joint_mean = mean.T[:, None].astype(np.float64)  # (3, 1, J)
            else:
                present = np.repeat([bool(skeleton.chains[part]) for part in part_order], num_points)
                self.scale = scale[:, None].astype(np.float32)  # (3, 1, W)
                self.offsets = _tall((mean.T * scale * present)[:, None].astype(np.float32))
        if interpolation != "arc_length":
            factors, offsets = self._finish(points_matrix(*self.chains))
            self.fixed = factors, offsets if self.joint_mean is None else _tall(offsets)

    def of(self, channels: "np.ndarray | list[np.ndarray]"):
        """Factors and offsets for one motion `(3, T, J)`, or for each of a list.

        Returns:
            `tuple[np.ndarray, np.ndarray | None]`, or a list of such: factors `(3, J, W)`, or `(1, J, W)` without
            statistics, and offsets `(3, 1, W)`, `(3, TALL, W)` with equal rows, or `None`.
        """
        many = isinstance(channels, list)
        if self.fixed is not None:
            return [self.fixed] * len(channels) if many else self.fixed
        factors, offsets = self._finish(points_matrix(*self.chains, channels))
        if not many:
            return factors, offsets
        return [(each, offsets[row] if self.joint_mean is not None else offsets) for row, each in enumerate(factors)]

    def _finish(self, matrix: np.ndarray):
        """Matrix (..., J, W) -> factors (..., 3, J, W) and offsets."""
        factors = matrix[..., None, :, :]
        if self.scale is not None:
            factors = factors * self.scale
        offsets = self.offsets
        if self.joint_mean is not None:  # statistics of joints pass through the matrix
            offsets = np.matmul(self.joint_mean, factors).astype(np.float32)
        return factors, offsets


def subtract_offsets(points: np.ndarray, offsets: np.ndarray | None) -> None:
    """`points -= offsets` of [`PointMap.of`], for points `(3, T, W)`."""
    if offsets is not None:
        rows = points.shape[1]
        points -= offsets[:, : rows if rows <= offsets.shape[1] else 1]


def _tall(offsets: np.ndarray) -> np.ndarray:
    """(3, 1, W) -> (3, TALL, W): numpy subtracts whole blocks in half the time that rows of 80 numbers take."""
    return np.repeat(offsets, TALL, axis=1)


__all__ = ["PointMap", "subtract_offsets"]
