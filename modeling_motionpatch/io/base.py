"""What the readers share: the error, the limits, and the raw motion a file holds before units and axes are settled."""

import logging
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np


logger = logging.getLogger(__name__)

# Limits on what a file may ask for. They bound time and memory, and lie far above real takes: an hour of 70 joints at
# 120 fps is 90 million values.
MAX_FILE_BYTES = 1 << 30  # a text file, or one array of an archive after decompression
MAX_JOINT_VALUES = 1 << 28  # T * J * 3; 1 GiB as float32
MAX_GROWTH = 16  # coordinates a number in the file; three channels a joint make 1, a few rigid joints some more
MAX_GROWN_VALUES = 1 << 24  # T * J * 3 beyond that growth
MAX_JOINTS = 1024  # bodies with fingers and face have up to about 300
MIN_FPS, MAX_FPS = 1.0, 1000.0  # outside, the frame time is in milliseconds or the fps field holds something else


class MotionFileError(ValueError):
    """A motion file that cannot be read; the message names the file and the line, frame or key."""


class MotionFileNotFoundError(MotionFileError, FileNotFoundError):
    """A motion file, or the skeleton file that belongs to it, that does not exist."""

    def __str__(self):
        return str(self.args[0]) if self.args else ""


class MotionFileWarning(UserWarning):
    """A motion file that was read, but not all of it or not as it declares itself."""


@dataclass
class RawMotion:
    """What a file holds, in its own units and axes.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): World positions in the file's units and axes.
        names (`list[str]` of length J, *optional*): Joint names; None where the format has none.
        parents (`list[int]` of length J, *optional*): Parent of each joint, -1 for the root.
        fps (`float`, *optional*): Frames a second, None where the file does not say.
        rest (`np.ndarray` of shape `(J, 3)`, *optional*): The pose with all rotations zero.
        units (`float`, *optional*): Metres per unit where the file says so.
        up (`str`, *optional*): The upward axis where the format fixes it.
        skeleton (`Skeleton`, *optional*): Where the format fixes it.
        notes (`list[str]`): What the reader wants the user to know.
    """

    joints: np.ndarray
    names: Sequence[str] | None = None
    parents: Sequence[int] | None = None
    fps: float | None = None
    rest: np.ndarray | None = None
    units: float | None = None
    up: str | None = None
    skeleton: object | None = None
    notes: list[str] = field(default_factory=list)


_announced: set[str] = set()


def announce(message: str) -> None:
    """Logs a guess at warning level, each wording once a process, so that a folder of 500 files is not 500 lines."""
    if message not in _announced:
        _announced.add(message)
        logger.warning(message)


def warn_file(path: str | os.PathLike, message: str) -> str:
    """Warns about one file and returns the message, to be kept in the notes."""
    warnings.warn(f"{path}: {message}", MotionFileWarning, stacklevel=2)
    return message


def read_bytes(path: str | os.PathLike, limit: int = MAX_FILE_BYTES) -> bytes:
    """The content of a file that is not larger than `limit` bytes.

    Raises:
        MotionFileError: It does not exist, is a folder, is too large, or the system refuses to read it.
    """
    path = Path(path)
    check_is_file(path)
    try:
        size = path.stat().st_size
        if size > limit:
            raise MotionFileError(
                f"{path}: {size:,} bytes; files of this kind above {limit:,} bytes are not read. Cut the take."
            )
        return path.read_bytes()
    except OSError as error:
        raise MotionFileError(f"{path}: cannot be read: {error.strerror or error}.") from error


def check_is_file(path: Path) -> None:
    """Raises `MotionFileNotFoundError` or `MotionFileError` unless `path` is an existing regular file."""
    if path.is_dir():
        raise MotionFileError(f"{path}: is a folder; find_motion_files lists the motion files in it.")
    if not path.exists():
        raise MotionFileNotFoundError(f"{path}: no such file.")
    if not path.is_file():  # a pipe or device would block or never end
        raise MotionFileError(f"{path}: is not a regular file.")


def decode(data: bytes) -> str:
    """Text of a header: UTF-8, else Latin-1, which accepts every byte (joint names of older exporters)."""
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def normalize_line_ends(data: bytes) -> bytes:
    """Files of classic Mac OS end lines with a bare CR; all others keep their bytes (CR LF is handled as blanks)."""
    return data.replace(b"\r", b"\n") if b"\r" in data and b"\n" not in data else data


def check_size(path: str | os.PathLike, frames: int, joints: int, width: int | None = None) -> None:
    """Refuses a motion whose positions would take too many numbers, before they are made.

    Args:
        path (`str` or `os.PathLike`): What errors call the file.
        frames (`int`): T.
        joints (`int`): J.
        width (`int`, *optional*):
            Numbers that the file has for a frame. A file whose joints hardly move could grow without bound, so that
            less is allowed where there are more than `MAX_GROWTH` coordinates a number.

    Raises:
        MotionFileError: It is too large.
    """
    grows = width is not None and 3 * joints > MAX_GROWTH * width
    limit = MAX_GROWN_VALUES if grows else MAX_JOINT_VALUES
    if frames * joints * 3 > limit:
        what = f" where {joints} joints have {width} channels" if grows else ""
        raise MotionFileError(
            f"{path}: at least {frames:,} frames of {joints} joints; at most {limit:,} coordinates are read from one "
            f"file{what}. Cut the take."
        )


def check_fps(path: str | os.PathLike, fps: float, where: str) -> float:
    """A frame rate from a file or the caller -> the same, refused when it cannot be one.

    Raises:
        MotionFileError: It is not a finite number between `MIN_FPS` and `MAX_FPS`.
    """
    try:
        value = float(fps)
    except (TypeError, ValueError):
        raise MotionFileError(f"{path}: {where} is {fps!r}; a number of frames a second is needed.") from None
    if not np.isfinite(value) or not MIN_FPS * (1 - 1e-9) <= value <= MAX_FPS:
        raise MotionFileError(
            f"{path}: {where} gives {value:g} frames a second; between {MIN_FPS:g} and {MAX_FPS:g} are accepted. "
            "Pass the true rate as `fps=`."
        )
    return value


def rotate_about_axis(columns: list[np.ndarray], axis: int, sin: np.ndarray, cos: np.ndarray) -> list[np.ndarray]:
    """G -> G R_axis(angle) for many frames at once.

    Rotating about one axis mixes the two other columns only, which costs a quarter of a matrix product and keeps the
    frames contiguous.

    Args:
        columns (`list[np.ndarray]`): The three columns of G, each `(3, T)`.
        axis (`int`): 0, 1 or 2 for x, y, z.
        sin, cos (`np.ndarray` of shape `(T,)`): Of the angle.

    Returns:
        `list[np.ndarray]`: the three columns of the product.
    """
    b, c = (axis + 1) % 3, (axis + 2) % 3
    rotated = list(columns)
    rotated[b] = cos * columns[b] + sin * columns[c]
    rotated[c] = cos * columns[c] - sin * columns[b]
    return rotated
