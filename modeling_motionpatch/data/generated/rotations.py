"""Angles and points over time -> rotation matrices `(T, 3, 3)` and limb joints `(T, 3)`; +Y is up, facing is +Z."""

import numpy as np


def _turn(angle: np.ndarray, first: int, second: int) -> np.ndarray:
    """Rotation by `angle` `(T,)` radians that takes axis `first` towards axis `second`."""
    matrix = np.zeros((len(angle), 3, 3))
    matrix[:] = np.eye(3)
    matrix[:, first, first] = matrix[:, second, second] = np.cos(angle)
    matrix[:, second, first] = np.sin(angle)
    matrix[:, first, second] = -matrix[:, second, first]
    return matrix


def yaw_matrix(angle: np.ndarray) -> np.ndarray:
    """About +Y: positive turns to the person's left (+Z towards +X)."""
    return _turn(angle, 2, 0)


def turn_z(angle: np.ndarray) -> np.ndarray:
    """About +Z: +X towards +Y."""
    return _turn(angle, 0, 1)


def tilt_matrix(pitch: np.ndarray, roll: np.ndarray) -> np.ndarray:
    """Forwards by `pitch` (+Y towards +Z), then to the left by `roll` (+Y towards +X)."""
    return _turn(pitch, 1, 2) @ _turn(roll, 1, 0)


def trunk_matrix(angles: np.ndarray) -> np.ndarray:
    """Pitch, twist, roll `(T, 3)`: twisted to the left, then bent forwards and to the left."""
    return yaw_matrix(angles[:, 1]) @ tilt_matrix(angles[:, 0], angles[:, 2])


def blend_turns(first: np.ndarray, second: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """From `first` (weight 0) to `second` (1), made orthonormal again."""
    mixed = (1 - weight)[:, None, None] * first + weight[:, None, None] * second
    return frame(mixed[:, :, 2], mixed[:, :, 0])[:, :, [1, 2, 0]]


def cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Cross product over the last axis, without `np.cross`'s general checks."""
    ax, ay, az = first[..., 0], first[..., 1], first[..., 2]
    bx, by, bz = second[..., 0], second[..., 1], second[..., 2]
    return np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def frame(along: np.ndarray, normal: np.ndarray) -> np.ndarray:
    """Orthonormal columns: `along`, then `normal` as far as it is orthogonal to it, then their cross product."""
    along = along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1e-9)
    normal = normal - (normal * along).sum(-1, keepdims=True) * along
    normal = normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    return np.stack([along, normal, cross(along, normal)], axis=-1)


def two_bones(start, target, upper: float, lower: float, bend) -> tuple[np.ndarray, np.ndarray]:
    """Middle and end joint `(T, 3)` of two bones that reach from `start` for `target`, bent towards `bend`."""
    way = target - start
    distance = np.linalg.norm(way, axis=-1, keepdims=True)
    way = way / np.maximum(distance, 1e-9)
    distance = np.clip(distance, abs(upper - lower) + 0.12 * (upper + lower), 0.998 * (upper + lower))
    bend = bend - (bend * way).sum(-1, keepdims=True) * way
    bend = bend / np.maximum(np.linalg.norm(bend, axis=-1, keepdims=True), 1e-9)
    along = (upper**2 + distance**2 - lower**2) / (2 * distance)
    aside = np.sqrt(np.maximum(upper**2 - along**2, 0))
    return start + along * way + aside * bend, start + distance * way


def wrap(angle: np.ndarray) -> np.ndarray:
    """Into -pi .. pi."""
    return (angle + np.pi) % (2 * np.pi) - np.pi


def smooth_above(values: np.ndarray, radius: int) -> np.ndarray:
    """A smooth curve that is nowhere below `values`: the running maximum, then the running mean, of 2 radius + 1."""
    width = 2 * radius + 1
    padded = np.pad(values, 2 * radius, mode="edge")
    highest = np.lib.stride_tricks.sliding_window_view(padded, width).max(-1)
    return np.lib.stride_tricks.sliding_window_view(highest, width).mean(-1)
