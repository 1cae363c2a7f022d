"""ASF skeleton + AMC motion (Acclaim text) -> world positions of the bones' ends `(T, J, 3)`, in the ASF's units.

Joint 0 is `root`; every other joint is the far end of the bone of that name. A bone's frame is turned by its `axis`
(C), so that its rotation against its parent is C M C^-1 with M = Rz Ry Rx for `dof rx ry rz`: the degree of freedom
named first is applied first.
"""

import os
import re
from pathlib import Path

import numpy as np

from .asf import ROTATIONS, TRANSLATIONS, Acclaim, find_asf, read_asf
from .base import (
    MotionFileError,
    RawMotion,
    check_fps,
    check_size,
    normalize_line_ends,
    read_bytes,
    rotate_about_axis,
    warn_file,
)
from .text_numbers import count_tokens, is_number, last_line, parse_numbers


DEFAULT_FPS = 120.0  # AMC states no rate; CMU and HDM05 were captured at 120
MAX_AMC_BYTES = 256 << 20  # three quarters of an hour at 120 fps; the names of all bones of all frames are compared
_FK_FRAMES = 4096
_FRAME_LINE = re.compile(rb"[ \t]*(\d+)[ \t\r]*")
_BONE_LINE = re.compile(rb"^[ \t]*([A-Za-z_]\S*)", re.MULTILINE)


def read_amc(path: str | os.PathLike, *, asf: str | os.PathLike | None = None, fps: float | None = None) -> RawMotion:
    """Reads one AMC file with the ASF skeleton that belongs to it.

    Args:
        path (`str` or `os.PathLike`): The AMC file.
        asf (`str` or `os.PathLike`, *optional*):
            The ASF file. Without it, the one beside the AMC file whose name is the longest beginning of the AMC's name
            up to a separator (`07.asf` for `07_01.amc`), or the only one in the folder.
        fps (`float`, *optional*): Frames a second; AMC does not state it, and 120 is taken.

    Returns:
        `RawMotion`: joints in the ASF's units, `units` where the ASF states them.

    Raises:
        MotionFileError: One of the files is malformed, or no ASF file is found.
    """
    path = Path(path)
    data = normalize_line_ends(read_bytes(path, MAX_AMC_BYTES))
    asf = find_asf(path) if asf is None else Path(asf)
    skeleton = read_asf(asf)
    notes = [f"skeleton from {Path(asf).name}"]
    if fps is None:
        fps = DEFAULT_FPS
        notes.append(f"AMC states no frame rate; {DEFAULT_FPS:g} frames a second were taken")
    values, degrees = _read_amc_values(str(path), data, skeleton, str(asf), notes)
    joints = _forward_kinematics(skeleton, values, skeleton.degrees if degrees is None else degrees)
    rest = _forward_kinematics(skeleton, np.zeros((1, values.shape[1])), True)[0]
    return RawMotion(
        joints=joints,
        names=[bone.name for bone in skeleton.bones],
        parents=[bone.parent for bone in skeleton.bones],
        fps=check_fps(path, fps, "the frame rate"),
        rest=rest,
        units=skeleton.metres,
        notes=notes,
    )


# --------------------------------------------------------------------------------------------------------------------
# AMC


def _read_amc_values(
    path: str, data: bytes, skeleton: Acclaim, asf: str, notes: list[str]
) -> tuple[np.ndarray, bool | None]:
    """The numbers of all complete frames, `(T, sum of dof)` in the order of `skeleton.bones`."""
    degrees, start, line = None, 0, 1
    while start < len(data):  # comments and :KEYWORDS come before the first frame number
        stop = data.find(b"\n", start) + 1 or len(data)
        text = data[start:stop].strip()
        if text[:1] == b":":
            if text.upper() in (b":DEGREES", b":RADIANS"):
                degrees = text.upper() == b":DEGREES"
        elif text and text[:1] != b"#":
            break
        start, line = stop, line + 1
    if start >= len(data):
        raise MotionFileError(f"{path}: line {line}: the file holds no frame.")
    if not _FRAME_LINE.fullmatch(text):
        shown = text[:24].decode("latin-1")
        raise MotionFileError(f"{path}: line {line}: {shown!r} where the number of the first frame should be.")

    widths = {bone.name: len(bone.dof) for bone in skeleton.bones}
    order = _first_frame(path, data, start, line, widths, asf)
    per_frame = 1 + len(order)
    body = data[start:].rstrip()
    tail = last_line(body, 0, path).split()
    if len(body) == len(data) - start and len(tail) > 1 and not is_number(tail[-1]):
        body = body[: -len(tail[-1])]  # the file ends within a number, so that the last frame is not whole
    counts = count_tokens(body, path)
    lines = np.flatnonzero(counts)  # lines that are not blank
    whole = len(lines) // per_frame
    expected = np.array([1] + [1 + widths[name] for name in order])
    matches = counts[lines[: whole * per_frame]].reshape(whole, per_frame) == expected
    good = _good_frames(matches, _BONE_LINE.findall(body), [name.encode("latin-1") for name in order])
    if good < whole or len(lines) > whole * per_frame:
        good = _stop_at(path, body, line, lines, per_frame, good, order, expected)
        notes.append(warn_file(path, f"the last frame is cut off; {good} frames were read."))
    if not good:
        raise MotionFileError(f"{path}: line {line}: not one frame is complete.")
    check_size(path, good, len(skeleton.bones), int(sum(expected[1:] - 1)))
    if good * per_frame < len(lines):
        body = b"\n".join(body.split(b"\n")[: lines[good * per_frame]])
    numbers = parse_numbers(_BONE_LINE.sub(b"", body), good * int(1 + sum(expected[1:] - 1)), path, line)
    table = numbers.reshape(good, -1)
    _check_frame_numbers(path, table[:, 0], line, per_frame, notes)
    columns, offset = {}, 1
    for name in order:
        columns[name] = list(range(offset, offset + widths[name]))
        offset += widths[name]
    wanted = [column for bone in skeleton.bones for column in columns.get(bone.name, ())]
    missing = [bone.name for bone in skeleton.bones if bone.dof and bone.name not in columns]
    if missing and good == 1:
        raise MotionFileError(f"{path}: the only frame lacks {', '.join(missing[:8])}: it is cut off.")
    if missing:
        notes.append(warn_file(path, f"no values for {', '.join(missing[:8])}; they keep their rest rotation."))
        table = np.concatenate([table, np.zeros((good, 1))], axis=1)
        wanted = [
            column
            for bone in skeleton.bones
            for column in columns.get(bone.name, [table.shape[1] - 1] * len(bone.dof))
        ]
    return table[:, wanted], degrees


def _first_frame(path: str, data: bytes, start: int, line: int, widths: dict[str, int], asf: str) -> list[str]:
    """Bone names of the first frame in order, each checked against the ASF; every later frame must repeat them."""
    order: list[str] = []
    position = data.find(b"\n", start) + 1 or len(data)
    while position < len(data):
        stop = data.find(b"\n", position) + 1 or len(data)
        text = data[position:stop]
        line += 1
        position = stop
        if not text.strip():
            continue
        if _FRAME_LINE.fullmatch(text.rstrip()):
            break
        words = text.split()
        name = words[0].decode("latin-1")
        if name not in widths:
            raise MotionFileError(f"{path}: line {line}: {name[:48]!r} is no bone of {asf}.")
        if name in order:
            raise MotionFileError(f"{path}: line {line}: bone {name!r} occurs twice in one frame.")
        if len(words) - 1 != widths[name] and position < len(data):
            raise MotionFileError(
                f"{path}: line {line}: bone {name!r} has {len(words) - 1} values, but {asf} gives it {widths[name]}."
            )
        order.append(name)
    if not order:
        raise MotionFileError(f"{path}: line {line}: the first frame has no bones.")
    return order


def _good_frames(matches: np.ndarray, names: list[bytes], order: list[bytes]) -> int:
    """How many frames from the first on have the expected names and counts."""
    whole, size = len(matches), len(order)
    if matches.all() and names[: whole * size] == order * whole:
        return whole
    for frame in range(whole):
        if not matches[frame].all() or names[frame * size : (frame + 1) * size] != order:
            return frame
    return whole


def _stop_at(
    path: str, body: bytes, first: int, lines: np.ndarray, per_frame: int, good: int, order: list[str], expected
) -> int:
    """A frame that is not as the first: accepted as the cut-off end of the file, refused anywhere else."""
    text = body.split(b"\n")
    rest = [(int(number), text[number].split()) for number in lines[good * per_frame :]]
    for place, (number, words) in enumerate(rest):
        if place == per_frame:
            break
        last = place == len(rest) - 1
        want = order[place - 1] if place else None
        name = words[0].decode("latin-1")
        if place == 0 and (len(words) != 1 or not _FRAME_LINE.fullmatch(words[0])):
            message = f"{name[:24]!r} where the number of a frame should be"
        elif place and name != want and not (last and want.startswith(name)):
            message = f"{name[:24]!r} where bone {want!r} should be"
        elif len(words) != expected[place] and not last:
            message = f"bone {name!r} has {len(words) - 1} values instead of {expected[place] - 1}"
        elif len(words) > expected[place]:
            message = f"bone {name!r} has {len(words) - 1} values instead of {expected[place] - 1}"
        else:
            continue
        raise MotionFileError(f"{path}: line {first + number}: {message}.")
    return good


def _check_frame_numbers(path: str, numbers: np.ndarray, line: int, per_frame: int, notes: list[str]) -> None:
    steps = np.diff(numbers)
    if np.any(steps <= 0):
        frame = int(np.argmax(steps <= 0)) + 1
        raise MotionFileError(
            f"{path}: frame {numbers[frame]:.0f} follows frame {numbers[frame - 1]:.0f}; numbers must increase "
            f"(near line {line + frame * per_frame})."
        )
    if np.any(steps != 1):
        notes.append(
            warn_file(path, f"{int((steps != 1).sum())} gaps in the frame numbers; frames are taken as even.")
        )


def _forward_kinematics(skeleton: Acclaim, values: np.ndarray, degrees: bool) -> np.ndarray:
    """Values `(T, sum of dof)` -> positions `(T, J, 3)` float32."""
    out = np.empty((len(values), len(skeleton.bones), 3), dtype=np.float32)
    for first in range(0, len(values), _FK_FRAMES):
        part = np.ascontiguousarray(values[first : first + _FK_FRAMES].T)
        angles = np.deg2rad(part) if degrees else part
        sin, cos = np.sin(angles), np.cos(angles)
        column, rotations, positions = 0, [], []
        for index, bone in enumerate(skeleton.bones):
            frame = [np.eye(3)[:, [k]] for k in range(3)] if index == 0 else rotations[bone.parent]
            frame = _times(frame, bone.axis)
            moved = np.zeros((3, part.shape[1]))
            turns = []
            for dof in bone.dof:
                if dof in ROTATIONS:
                    turns.append((ROTATIONS[dof], column))
                else:
                    moved[TRANSLATIONS[dof]] += part[column]
                column += 1
            for axis, place in reversed(turns):  # columns are turned from the right: the first is applied first
                frame = rotate_about_axis(frame, axis, sin[place], cos[place])
            frame = _times(frame, bone.axis.T)
            rotations.append(frame)
            if index == 0:
                position = skeleton.root_position[:, None] + moved
            else:
                tip = bone.direction * bone.length
                position = positions[bone.parent] + sum(frame[k] * tip[k] for k in range(3))
            positions.append(position)
            out[first : first + _FK_FRAMES, index] = np.broadcast_to(position, moved.shape).T
    return out


def _times(columns: list[np.ndarray], matrix: np.ndarray) -> list[np.ndarray]:
    """Columns of G -> columns of G @ matrix, for a matrix that is the same in all frames."""
    if np.array_equal(matrix, np.eye(3)):
        return columns
    return [sum(columns[k] * matrix[k, column] for k in range(3)) for column in range(3)]
