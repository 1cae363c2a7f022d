"""`.npy` and `.npz` files -> joints `(T, J, 3)`: arrays of positions, our own format, HumanML3D features, AMASS.

Nothing is unpickled, and nothing is allocated before the file was seen to hold it: an array's declared shape is held
against its size in the file, and an archive member's uncompressed size against a limit.
"""

import ast
import json
import math
import os
import re
import struct
import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..skeletons_motionpatch import Skeleton, SkeletonError, get_skeleton, known_skeletons
from .base import (
    MAX_FILE_BYTES,
    MAX_JOINTS,
    MotionFileError,
    RawMotion,
    announce,
    check_fps,
    check_is_file,
    check_size,
)
from .features import FEATURE_LAYOUTS, features_to_joints


MAX_HEADER_CHARS = 10_000  # of an .npy header, as numpy's own limit
MAX_MEMBERS = 4096  # of an archive
# A zip member may not grow more than this when unpacked, once it is larger than _BOMB_BYTES (three hours of 22 joints at
# 20 fps). Deflate reaches 1032; motion stays below 10.
_BOMB_RATIO, _BOMB_BYTES = 100, 64 << 20
# Skeletons by their number of joints, for arrays without names, and the frame rate of the data sets that have them.
_BY_JOINTS = {
    22: ("smpl22", 20.0),
    21: ("kit21", 12.5),
    24: ("smpl24", 30.0),
    52: ("smplh52", 30.0),
    55: ("smplx55", 30.0),
    25: ("ntu25", 30.0),
    20: ("kinect20", 30.0),
    17: ("h36m17", 50.0),
}
_DEFAULT_FPS = 20.0
_MAGIC = b"\x93NUMPY"


def read_npy(path: str | os.PathLike, *, fps: float | None = None, skeleton: Skeleton | None = None) -> RawMotion:
    """Reads an `.npy` file: positions `(T, J, 3)`, or HumanML3D / KIT-ML features `(T, 263)` / `(T, 251)`.

    Args:
        path (`str` or `os.PathLike`): The file.
        fps (`float`, *optional*): Frames a second; guessed from the number of joints otherwise.
        skeleton (`Skeleton`, *optional*): What the joints are; guessed from their number otherwise.

    Returns:
        `RawMotion`: the joints with what the format fixes.

    Raises:
        MotionFileError: Not an array of a known form; the message says what was found.
    """
    check_is_file(Path(path))
    try:
        with open(path, "rb") as file:
            array = _read_array(file, os.path.getsize(path), os.fspath(path), "the array")
    except OSError as error:
        raise MotionFileError(f"{path}: cannot be read: {error.strerror or error}.") from error
    return _joints_from_array(os.fspath(path), array, "the array", fps, skeleton)


def read_npz(
    path: str | os.PathLike,
    *,
    fps: float | None = None,
    skeleton: Skeleton | None = None,
    body_model: str | os.PathLike | None = None,
) -> RawMotion:
    """Reads an `.npz` file: our own format, other archives with an array of joints or features, or AMASS.

    Args:
        path (`str` or `os.PathLike`): The file.
        fps (`float`, *optional*): Overrides the file's rate.
        skeleton (`Skeleton`, *optional*): What the joints are, where the file does not name them.
        body_model (`str` or `os.PathLike`, *optional*): For AMASS: see [`read_amass`].

    Returns:
        `RawMotion`: the joints with what the format fixes.

    Raises:
        MotionFileError: Not a known archive; the message names the key.
    """
    check_is_file(Path(path))
    archive = Archive(path)
    keys = archive.keys
    if "poses" in keys and ("trans" in keys or "betas" in keys):
        from .amass import read_amass

        return read_amass(archive, fps=fps, body_model=body_model)
    for key in ("joints", "positions", "motion", "arr_0"):
        if key in keys:
            break
    else:
        if len(keys) != 1:
            raise MotionFileError(
                f"{path}: no key `joints`; found {', '.join(sorted(keys)[:12]) or 'nothing'}. Our format has joints, "
                "fps, joint_names, parents; AMASS has poses, trans, betas."
            )
        key = keys[0]
    array = archive.read(key)
    if fps is None and "fps" in keys:
        fps = check_fps(path, _scalar(archive, "fps"), "key `fps`")
    if "joint_names" in keys or "parents" in keys:
        return _read_own(archive, key, array, fps)
    return _joints_from_array(os.fspath(path), array, f"key `{key}`", fps, skeleton)


def _scalar(archive: "Archive", key: str) -> object:
    array = archive.read(key)
    if array.size != 1 or array.dtype.kind not in "fiu":
        raise MotionFileError(
            f"{archive.path}: key `{key}` should be one number, is {array.dtype} of shape {array.shape}."
        )
    return float(array.reshape(()))


def _read_own(archive: "Archive", key: str, array: np.ndarray, fps: float | None) -> RawMotion:
    """Our own format: metres, +Y up, names and parents beside the joints."""
    path = archive.path
    for needed in ("joint_names", "parents"):
        if needed not in archive.keys:
            raise MotionFileError(f"{path}: key `{needed}` is missing beside `joints`.")
    joints = _check_joints(path, array, f"key `{key}`", None)
    names = archive.read("joint_names")
    if names.dtype.kind not in "US" or names.ndim != 1:
        raise MotionFileError(
            f"{path}: key `joint_names` should be a list of strings, is {names.dtype} of shape {names.shape}."
        )
    parents = archive.read("parents")
    if parents.dtype.kind not in "iu" or parents.ndim != 1:
        raise MotionFileError(
            f"{path}: key `parents` should be a list of integers, is {parents.dtype} of shape {parents.shape}."
        )
    for what, values in (("joint_names", names), ("parents", parents)):
        if len(values) != joints.shape[1]:
            raise MotionFileError(
                f"{path}: key `{what}` has {len(values)} entries, but `{key}` of shape {joints.shape} has "
                f"{joints.shape[1]} joints." + _swapped_hint(joints.shape, len(values))
            )
    names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in names]
    notes = []
    if fps is None:
        fps = _DEFAULT_FPS
        notes.append(f"no frame rate in the file; {fps:g} frames a second were taken")
        announce(f"Archives without `fps` are taken as {fps:g} frames a second; `fps=` overrides.")
    skeleton = None
    if "skeleton" in archive.keys:  # written by save_motion: chains given by hand survive
        text = archive.read("skeleton")
        if text.dtype.kind == "U" and text.size == 1:
            try:
                skeleton = get_skeleton(str(text.reshape(())))
            except (SkeletonError, TypeError, ValueError) as error:
                raise MotionFileError(f"{path}: key `skeleton`: {error}") from error
            if list(skeleton.joints) != names or list(skeleton.parents) != [int(parent) for parent in parents]:
                raise MotionFileError(f"{path}: key `skeleton` has other joints than `joint_names` and `parents`.")
    return RawMotion(
        joints=joints,
        names=names,
        parents=[int(parent) for parent in parents],
        fps=fps,
        units=1.0,
        up="y",
        skeleton=skeleton,
        notes=notes,
    )


# --------------------------------------------------------------------------------------------------------------------
# One array of unknown meaning


def _joints_from_array(
    path: str, array: np.ndarray, what: str, fps: float | None, skeleton: Skeleton | None
) -> RawMotion:
    if array.ndim == 2 and array.shape[1] in FEATURE_LAYOUTS:
        name, rate = FEATURE_LAYOUTS[array.shape[1]]
        joints = features_to_joints(array, path=path)
        check_size(path, len(joints), joints.shape[1])
        notes = [f"positions from {array.shape[1]} features"]
        if fps is None:
            notes.append(f"{rate:g} frames a second, as the data set of these features has")
        return RawMotion(joints, fps=fps or rate, up="y", skeleton=get_skeleton(name), notes=notes)
    joints = _check_joints(path, array, what, skeleton)
    notes = []
    name, rate = _BY_JOINTS.get(joints.shape[1], (None, _DEFAULT_FPS))
    if skeleton is None:
        if name is None:
            raise MotionFileError(
                f"{path}: {what} has {joints.shape[1]} joints without names; pass `skeleton=` (known are "
                f"{', '.join(known_skeletons())})." + _swapped_hint(joints.shape, None)
            )
        if joints.shape[0] in _BY_JOINTS and joints.shape[0] < joints.shape[1]:
            notes.append(f"shape {joints.shape} was read as (frames, joints, 3)")
        skeleton = get_skeleton(name)
        notes.append(f"{joints.shape[1]} joints without names, taken as {name}")
        announce(f"Arrays of {joints.shape[1]} joints without names are taken as {name}; `skeleton=` overrides.")
    if fps is None:
        fps = rate
        notes.append(f"no frame rate in the file; {rate:g} frames a second were taken")
        announce(
            f"Arrays of {joints.shape[1]} joints without a frame rate are taken as {rate:g} fps; `fps=` overrides."
        )
    return RawMotion(joints, fps=fps, skeleton=skeleton, notes=notes)


def _swapped_hint(shape: tuple[int, ...], num_joints: int | None) -> str:
    swapped = shape[0] == num_joints if num_joints else shape[0] in _BY_JOINTS
    return " Frames and joints look swapped: the array must be (frames, joints, 3)." if swapped else ""


def _check_joints(path: str, array: np.ndarray, what: str, skeleton: Skeleton | None) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise MotionFileError(f"{path}: {what} is of type {array.dtype}; numbers are needed.")
    shape = array.shape
    hint = ""
    if array.ndim != 3 or shape[2] != 3:
        if array.ndim == 4:
            hint = " Give one person and one motion a file."
        elif array.ndim == 3 and 3 in shape:
            hint = " The axes look permuted."
        elif array.ndim == 2 and shape[0] in FEATURE_LAYOUTS:
            hint = " Frames and features look swapped."
        elif array.ndim == 2 and shape[1] % 3 == 0 and shape[1]:
            hint = f" Reshape it if a row holds {shape[1] // 3} joints."
        raise MotionFileError(
            f"{path}: {what} has shape {shape}; positions are (frames, joints, 3), features are (frames, 263) or "
            f"(frames, 251).{hint}"
        )
    if not all(shape):
        raise MotionFileError(f"{path}: {what} has shape {shape}: it is empty.")
    if skeleton is not None and shape[1] != skeleton.num_joints:
        raise MotionFileError(
            f"{path}: {what} has {shape[1]} joints, but the skeleton {skeleton.name!r} has {skeleton.num_joints}."
            + _swapped_hint(shape, skeleton.num_joints)
        )
    if shape[1] > MAX_JOINTS:
        raise MotionFileError(
            f"{path}: {what} has {shape[1]} joints; bodies have fewer than {MAX_JOINTS}." + _swapped_hint(shape, None)
        )
    check_size(path, shape[0], shape[1])
    return array


# --------------------------------------------------------------------------------------------------------------------
# Containers


class Archive:
    """The arrays of an `.npz`, each read only when asked for and only within the limits.

    Args:
        path (`str` or `os.PathLike`): The file.

    Raises:
        MotionFileError: It is no zip archive, is truncated, or has far too many members.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = os.fspath(path)
        try:
            with zipfile.ZipFile(path) as archive:
                members = archive.infolist()
        except (zipfile.BadZipFile, OSError, EOFError, ValueError, NotImplementedError, struct.error) as error:
            raise MotionFileError(f"{path}: not a readable .npz archive: {error}.") from error
        if len(members) > MAX_MEMBERS:
            raise MotionFileError(f"{path}: {len(members)} arrays; at most {MAX_MEMBERS} are expected.")
        self._members: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            key = member.filename.removesuffix(".npy")
            if key in self._members:
                raise MotionFileError(f"{path}: key `{key}` occurs twice.")
            self._members[key] = member

    @property
    def keys(self) -> list[str]:
        """Names of the arrays."""
        return list(self._members)

    def read(self, key: str) -> np.ndarray:
        """One array.

        Raises:
            MotionFileError: It is missing, too large, holds Python objects, or its data do not match its header.
        """
        what = f"key `{key}`"
        member = self._members.get(key)
        if member is None:
            raise MotionFileError(f"{self.path}: {what} is missing; found {', '.join(sorted(self._members)[:12])}.")
        if member.file_size > MAX_FILE_BYTES:
            raise MotionFileError(
                f"{self.path}: {what} takes {member.file_size:,} bytes unpacked; at most {MAX_FILE_BYTES:,} are read."
            )
        if member.file_size > max(_BOMB_BYTES, _BOMB_RATIO * member.compress_size):
            raise MotionFileError(
                f"{self.path}: {what} grows from {member.compress_size:,} to {member.file_size:,} bytes when unpacked; "
                f"more than {_BOMB_RATIO}-fold is refused. Save it uncompressed if it is meant."
            )
        try:
            with zipfile.ZipFile(self.path) as archive, archive.open(member) as file:
                return _read_array(file, member.file_size, self.path, what)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError, NotImplementedError) as error:
            raise MotionFileError(f"{self.path}: {what} cannot be unpacked: {error}.") from error


def _read_array(file: BinaryIO, size: int, path: str, what: str) -> np.ndarray:
    """An open `.npy` stream of `size` bytes -> the array, after its header was held against the size."""
    start = file.read(12)
    if start[:6] != _MAGIC or len(start) < 12:
        raise MotionFileError(f"{path}: {what} is no .npy data: it begins with {start[:6]!r}.")
    version = tuple(start[6:8])
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise MotionFileError(f"{path}: {what} is of .npy version {version[0]}.{version[1]}; 1.0 to 3.0 are read.")
    (length,) = struct.unpack("<H", start[8:10]) if version == (1, 0) else struct.unpack("<I", start[8:12])
    if length > MAX_HEADER_CHARS:
        raise MotionFileError(f"{path}: {what} has a header of {length:,} bytes; it is broken.")
    begun = 10 if version == (1, 0) else 12
    shape, fortran, dtype = _read_header(start[begun:] + file.read(max(0, length - (12 - begun))), path, what)
    count = math.prod(shape)
    need, have = count * dtype.itemsize, size - begun - length
    if need > have:
        raise MotionFileError(
            f"{path}: {what} of shape {shape} and type {dtype} needs {need:,} bytes, but {max(have, 0):,} are there: it "
            "is truncated."
        )
    if need > MAX_FILE_BYTES:
        raise MotionFileError(f"{path}: {what} takes {need:,} bytes; at most {MAX_FILE_BYTES:,} are read.")
    data = file.read(need)
    if len(data) < need:
        raise MotionFileError(f"{path}: {what} is truncated: {len(data):,} of {need:,} bytes.")
    if isinstance(file, zipfile.ZipExtFile):
        file.read(1)  # reaches the end, where the checksum is compared
    try:
        return np.frombuffer(data, dtype=dtype).reshape(shape, order="F" if fortran else "C")
    except ValueError as error:
        raise MotionFileError(f"{path}: {what} of shape {shape} cannot be formed: {error}.") from error


def _read_header(text: bytes, path: str, what: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """The dictionary literal at the beginning of an `.npy` -> shape, Fortran order, type of plain numbers or strings."""
    try:
        # Python 2 wrote long integers as 22L.
        header = ast.literal_eval(re.sub(r"(?<=\d)L\b", "", text.decode("utf-8")).strip())
        shape, fortran, descr = header["shape"], header["fortran_order"], header["descr"]
        dtype = np.dtype(descr)
    except (ValueError, TypeError, SyntaxError, KeyError, RecursionError, MemoryError, UnicodeError) as error:
        message = str(error).splitlines()[0][:120] if str(error) else type(error).__name__
        raise MotionFileError(f"{path}: {what} has a broken header: {message}.") from error
    if dtype.hasobject:
        raise MotionFileError(
            f"{path}: {what} holds Python objects (a pickle), which could run code; save it as a plain array of numbers."
        )
    if dtype.kind not in "fiuUSb" or dtype.itemsize == 0 or dtype.shape:
        raise MotionFileError(f"{path}: {what} is of type {str(dtype)[:80]}; numbers or strings are needed.")
    if (
        not isinstance(shape, tuple)
        or any(type(n) is not int or not 0 <= n < 1 << 48 for n in shape)
        or len(shape) > 32
    ):
        raise MotionFileError(f"{path}: {what} has a broken header: shape {str(shape)[:80]} is impossible.")
    return shape, bool(fortran), dtype


def write_npz(path: Path, joints: np.ndarray, fps: float, skeleton: Skeleton) -> None:
    """Writes our own format; the file appears under its name only when it is whole."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            np.savez(
                file,
                joints=np.ascontiguousarray(joints, dtype=np.float32),
                fps=np.float64(fps),
                joint_names=np.array(skeleton.joints, dtype=np.str_),
                parents=np.array(skeleton.parents, dtype=np.int64),
                skeleton=np.array(json.dumps(skeleton.to_dict())),
            )
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
