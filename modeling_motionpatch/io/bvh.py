"""BVH text -> world positions of its joints `(T, J, 3)`, in the file's units and axes.

The hierarchy is read token by token (any indentation, tabs, CR LF, braces on the same line); the motion block at numpy
speed, in blocks of lines. Forward kinematics loops over joints, never over frames.

Conventions: a joint's channels are applied in the order in which they are listed, so that `Zrotation Xrotation
Yrotation` is R = Rz Rx Ry on column vectors; position channels replace the joint's OFFSET, component by component.
"""

import os
import re
from dataclasses import dataclass, field

import numpy as np

from .base import (
    MAX_JOINTS,
    MotionFileError,
    RawMotion,
    check_fps,
    check_size,
    decode,
    normalize_line_ends,
    read_bytes,
    rotate_about_axis,
    warn_file,
)
from .text_numbers import count_tokens, is_number, last_line, line_blocks, parse_numbers


MAX_HEADER_BYTES = 2 << 20  # MAX_JOINTS joints, deeply indented, take half of this
_FK_VALUES = 1 << 20  # frames are transformed in blocks of this many rotation-matrix entries: they stay in the cache
_FPS_SNAP = 2e-4  # .0083333 s is 120 fps, .0333333 s is 30; 29.97 and 23.976 are farther from whole numbers
_TOKEN = re.compile(r"[{}]|[^\s{}]+")
_MOTION = re.compile(rb"(?<![^\s}])MOTION(?=\s|\Z)(?!\s*\{)", re.IGNORECASE)
_FRAMES = re.compile(rb"\s*Frames\b[ \t]*:?[ \t]*([^\r\n]*)", re.IGNORECASE)
_FRAME_TIME = re.compile(rb"\s*Frame\s*Time\b[ \t]*:?[ \t]*([^\r\n]*)", re.IGNORECASE)
_COMMENT = re.compile(rb"^[ \t]*(?:#|//)[^\n]*", re.MULTILINE)  # no part of the format, but some scripts leave them
_CHANNELS = {f"{axis}{kind}": (kind, "xyz".index(axis)) for axis in "xyz" for kind in ("position", "rotation")}


@dataclass
class _Joint:
    name: str
    parent: int
    line: int
    is_end: bool = False
    offset: tuple[float, float, float] | None = None
    channels: list[tuple[str, int]] | None = None  # ("position" | "rotation", axis)
    first_channel: int = 0  # column in the motion block


@dataclass
class _Hierarchy:
    joints: list[_Joint] = field(default_factory=list)
    num_channels: int = 0


def read_bvh(path: str | os.PathLike, *, fps: float | None = None, end_sites: bool = False) -> RawMotion:
    """Reads one BVH file.

    Args:
        path (`str` or `os.PathLike`): The file.
        fps (`float`, *optional*): Overrides the file's frame time.
        end_sites (`bool`, *optional*, defaults to `False`):
            Whether end sites become joints named `<parent>_end`. They have no rotation of their own, and no body part
            contains them.

    Returns:
        `RawMotion`: joints in the file's units and axes.

    Raises:
        MotionFileError: The file is malformed; the message names the line.

    Warns:
        MotionFileWarning: Fewer or more rows than declared, or a last row that is cut off.
    """
    data = normalize_line_ends(read_bytes(path))
    if b"#" in data or b"//" in data:
        data = _COMMENT.sub(b"", data)
    name = os.fspath(path)
    motion = _MOTION.search(data, 0, MAX_HEADER_BYTES)
    hierarchy = _parse_hierarchy(name, decode(data[: motion.start() if motion else MAX_HEADER_BYTES]))
    if motion is None:
        raise MotionFileError(f"{name}: no MOTION section within the first {MAX_HEADER_BYTES:,} bytes.")
    if not hierarchy.num_channels:
        raise MotionFileError(f"{name}: no joint has a channel, so nothing moves.")

    declared, frame_time, start, line = _parse_motion_header(name, data, motion.end())
    notes: list[str] = []
    if fps is None:
        fps = _fps_of(name, frame_time, line - 1)
    kept = [index for index, joint in enumerate(hierarchy.joints) if end_sites or not joint.is_end]
    joints = _read_frames(name, data, start, line, declared, hierarchy, kept, notes)

    place = {index: position for position, index in enumerate(kept)}
    return RawMotion(
        joints=joints,
        names=[hierarchy.joints[index].name for index in kept],
        parents=[place.get(hierarchy.joints[index].parent, -1) for index in kept],
        fps=fps,
        rest=_rest_pose(hierarchy)[kept],
        notes=notes,
    )


# --------------------------------------------------------------------------------------------------------------------
# Hierarchy


class _Tokens:
    """The header's tokens with their line numbers."""

    def __init__(self, path: str, text: str):
        self.path = path
        self.items = [
            (token, number) for number, line in enumerate(text.split("\n"), start=1) for token in _TOKEN.findall(line)
        ]
        self.position = 0

    @property
    def line(self) -> int:
        """Line of the token that was read last."""
        return self.items[self.position - 1][1] if self.position else 1

    def fail(self, message: str, line: int | None = None) -> None:
        raise MotionFileError(f"{self.path}: line {self.line if line is None else line}: {message}")

    def next(self, expected: str) -> str:
        if self.position >= len(self.items):
            self.fail(f"the hierarchy ends where {expected} should follow.")
        self.position += 1
        return self.items[self.position - 1][0]

    def peek(self) -> str | None:
        return self.items[self.position][0] if self.position < len(self.items) else None

    def number(self, expected: str) -> float:
        token = self.next(expected)
        if not is_number(token) or not np.isfinite(float(token)):
            self.fail(f"{token[:24]!r} where {expected} should be.")
        return float(token)


def _parse_hierarchy(path: str, text: str) -> _Hierarchy:
    tokens = _Tokens(path, text)
    if not tokens.items or tokens.next("HIERARCHY").upper() != "HIERARCHY":
        tokens.fail("a BVH file begins with HIERARCHY; this one does not.")
    hierarchy = _Hierarchy()
    stack: list[int] = []
    while tokens.peek() is not None:
        keyword = tokens.next("a keyword")
        upper = keyword.upper()
        if upper in ("ROOT", "JOINT", "END"):
            _open_joint(tokens, hierarchy, stack, upper)
        elif keyword == "}":
            if not stack:
                tokens.fail("a closing brace without an opening one.")
            stack.pop()
        elif not stack:
            tokens.fail(f"unexpected {keyword[:24]!r} outside of any joint.")
        elif upper == "OFFSET":
            joint = hierarchy.joints[stack[-1]]
            if joint.offset is not None:
                tokens.fail(f"joint {joint.name!r} has a second OFFSET.")
            joint.offset = tuple(tokens.number(f"the {axis} of an OFFSET") for axis in "xyz")
        elif upper == "CHANNELS":
            _parse_channels(tokens, hierarchy, hierarchy.joints[stack[-1]])
        else:
            tokens.fail(f"unexpected {keyword[:24]!r}; known are OFFSET, CHANNELS, JOINT, End Site and braces.")
    if stack:
        names = ", ".join(repr(hierarchy.joints[index].name) for index in stack[-5:])
        tokens.fail(f"the hierarchy ends before {len(stack)} braces are closed (the last of {names}).")
    if not hierarchy.joints:
        tokens.fail("the hierarchy has no ROOT.")
    _finish_names(tokens, hierarchy)
    return hierarchy


def _open_joint(tokens: _Tokens, hierarchy: _Hierarchy, stack: list[int], keyword: str) -> None:
    line = tokens.line
    if keyword == "END" and tokens.next("`Site`").upper() != "SITE":
        tokens.fail("`End` must be followed by `Site`.")
    words = []
    while (token := tokens.next("an opening brace")) != "{":
        if token == "}" or token.upper() in ("OFFSET", "CHANNELS", "ROOT", "JOINT") or len(words) > 32:
            tokens.fail(f"no opening brace after {keyword} {' '.join(words)[:48]}.")
        words.append(token)
    name = " ".join(words)
    if keyword == "ROOT" and stack:
        tokens.fail(f"ROOT {name!r} inside joint {hierarchy.joints[stack[-1]].name!r}.", line)
    if keyword == "ROOT" and hierarchy.joints:
        tokens.fail(f"a second ROOT, {name!r}: one file must hold one body. Split it.", line)
    if keyword != "ROOT" and not stack:
        tokens.fail(f"{keyword} {name!r} stands outside of the ROOT.", line)
    if keyword != "END" and not name:
        tokens.fail(f"{keyword} without a name.", line)
    parent = stack[-1] if stack else -1
    if parent >= 0 and hierarchy.joints[parent].is_end:
        tokens.fail(f"{keyword} {name!r} inside an End Site.", line)
    if len(hierarchy.joints) >= MAX_JOINTS:
        tokens.fail(f"more than {MAX_JOINTS} joints; bodies have fewer.", line)
    stack.append(len(hierarchy.joints))
    hierarchy.joints.append(_Joint(name, parent, line, is_end=keyword == "END"))


def _parse_channels(tokens: _Tokens, hierarchy: _Hierarchy, joint: _Joint) -> None:
    if joint.channels is not None:
        tokens.fail(f"joint {joint.name!r} has a second CHANNELS.")
    token = tokens.next("the number of channels")
    remaining = len(tokens.items) - tokens.position
    if not re.fullmatch(r"\+?\d{1,9}", token) or int(token) > remaining:
        tokens.fail(f"CHANNELS {token[:24]}: that many channel names do not follow.")
    joint.channels = []
    for _ in range(int(token)):
        channel = tokens.next("a channel name")
        if channel.lower() not in _CHANNELS:
            tokens.fail(
                f"{channel[:24]!r} in CHANNELS {token} of joint {joint.name!r}; known are Xposition, Yposition, "
                "Zposition, Xrotation, Yrotation, Zrotation."
            )
        kind = _CHANNELS[channel.lower()]
        if kind[0] == "position" and kind in joint.channels:
            tokens.fail(f"joint {joint.name!r} has {channel} twice.")
        joint.channels.append(kind)
    if tokens.peek() is not None and tokens.peek().lower() in _CHANNELS:
        tokens.next("")
        tokens.fail(f"joint {joint.name!r} lists more channels than the {token} that CHANNELS announces.")
    if joint.is_end and joint.channels:
        tokens.fail("an End Site with channels.")
    joint.first_channel = hierarchy.num_channels
    hierarchy.num_channels += len(joint.channels)


def _finish_names(tokens: _Tokens, hierarchy: _Hierarchy) -> None:
    """Refuses names that occur twice and names the end sites after their parents."""
    seen: dict[str, int] = {}
    for joint in hierarchy.joints:
        if joint.offset is None:
            tokens.fail(f"{'an End Site' if joint.is_end else 'joint ' + repr(joint.name)} has no OFFSET.", joint.line)
        if joint.is_end:
            continue
        if joint.name in seen:
            tokens.fail(f"joint {joint.name!r} was already named in line {seen[joint.name]}. Rename one.", joint.line)
        seen[joint.name] = joint.line
    for joint in hierarchy.joints:
        if joint.is_end:
            base = name = f"{hierarchy.joints[joint.parent].name}_end"
            number = 2
            while name in seen:
                name, number = f"{base}{number}", number + 1
            joint.name = name
            seen[name] = joint.line


def _rest_pose(hierarchy: _Hierarchy) -> np.ndarray:
    rest = np.array([joint.offset for joint in hierarchy.joints])
    rest[0] = 0
    for index, joint in enumerate(hierarchy.joints):  # parents come first in a BVH
        if joint.parent >= 0:
            rest[index] += rest[joint.parent]
    return rest


# --------------------------------------------------------------------------------------------------------------------
# Motion


def _parse_motion_header(path: str, data: bytes, start: int) -> tuple[int, str, int, int]:
    """`Frames:` and `Frame Time:` in either order -> count, frame time as text, start of the rows, their line."""
    frames = frame_time = None
    for _ in range(2):
        line = data.count(b"\n", 0, start) + 1
        if frames is None and (match := _FRAMES.match(data, start)):
            frames = decode(match[1][:64]).strip()
            if not re.fullmatch(r"\+?0*[1-9]\d{0,17}(?:\.0*)?", frames):
                line += data.count(b"\n", start, match.start(1))
                raise MotionFileError(f"{path}: line {line}: `Frames: {frames}`; a whole number above 0 is needed.")
        elif frame_time is None and (match := _FRAME_TIME.match(data, start)):
            frame_time = decode(match[1][:64]).strip()
        else:
            missing = "`Frames:`" if frames is None else "`Frame Time:`"
            raise MotionFileError(f"{path}: line {line}: {missing} is missing after MOTION.")
        start = match.end()
    start = data.find(b"\n", start) + 1 or len(data)
    return int(frames.partition(".")[0]), frame_time, start, data.count(b"\n", 0, start) + 1


def _fps_of(path: str, frame_time: str, line: int) -> float:
    if not is_number(frame_time) or not 0 < float(frame_time) < np.inf:
        raise MotionFileError(
            f"{path}: line {line}: `Frame Time: {frame_time}`; a number of seconds above 0 is needed. Pass `fps=`."
        )
    fps = 1.0 / float(frame_time)
    if abs(fps - round(fps)) <= _FPS_SNAP * fps:
        fps = float(round(fps))
    return check_fps(path, fps, f"line {line}: `Frame Time: {frame_time}`")


def _read_frames(
    path: str,
    data: bytes,
    start: int,
    line: int,
    declared: int,
    hierarchy: _Hierarchy,
    kept: list[int],
    notes: list[str],
) -> np.ndarray:
    """The rows of numbers -> joints `(T, len(kept), 3)` float32; T is the declared number or as far as they go."""
    width = hierarchy.num_channels
    body = data.rstrip()
    tail = last_line(body, start, path) if len(body) > start else b""
    tokens = tail.split()
    short = len(tokens) < width and all(is_number(token) for token in tokens[:-1])
    # The last row may lack numbers, or the file may end within one.
    cut_off = bool(tokens) and (short or (len(body) == len(data) and not is_number(tokens[-1])))
    if cut_off:
        body = body[: -len(tail)]
    blocks, frames = [], 0
    for block, first_line in line_blocks(body, path, start, line):
        counts = count_tokens(block, path)
        filled = np.flatnonzero(counts)
        wrong = filled[counts[filled] != width]
        if len(wrong):
            if frames + np.searchsorted(filled, wrong[0]) >= declared:  # beyond what the file declares: not read
                filled = filled[filled < wrong[0]]
                block = b"\n".join(block.split(b"\n")[: wrong[0]])
            elif (values := _split_rows(path, data[start:], line, declared, width)) is not None:
                check_size(path, declared, len(hierarchy.joints), width)
                notes.append(warn_file(path, "rows are split over several lines; they were joined."))
                return _forward_kinematics(hierarchy, values, kept)
            else:
                _check_tokens(block, path, first_line, int(wrong[0]))
                raise MotionFileError(
                    f"{path}: line {first_line + wrong[0]}: {counts[wrong[0]]} numbers, but the hierarchy has {width} "
                    "channels."
                )
        check_size(path, min(frames + len(filled), declared), len(hierarchy.joints), width)
        if len(filled):
            values = parse_numbers(block, len(filled) * width, path, first_line).reshape(-1, width)
            values = values[: declared - frames]
            blocks.append(_forward_kinematics(hierarchy, values, kept))
        frames += len(filled)
        if frames > declared:
            break
    if not blocks:
        raise MotionFileError(
            f"{path}: line {line}: {declared} frames are declared, but not one row of {width} numbers is complete."
        )
    joints = blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
    if len(joints) < declared:
        cut = " The last row is cut off and left out." if cut_off else ""
        notes.append(warn_file(path, f"{declared} frames are declared, but {len(joints)} were read.{cut}"))
    elif frames > declared or cut_off:
        notes.append(warn_file(path, f"more rows than the {declared} frames declared; the rest is left out."))
    return joints


def _split_rows(path: str, body: bytes, line: int, declared: int, width: int) -> np.ndarray | None:
    """Rows that are split over several lines -> `(declared, width)`.

    `None` unless every frame ends with a line and as many are there as declared: a row that lost a number is no split one.
    """
    ends = np.cumsum(count_tokens(body, path))  # numbers up to the end of each line
    if ends[-1] != declared * width or len(np.unique(ends[(ends > 0) & (ends % width == 0)])) != declared:
        return None
    return parse_numbers(body, declared * width, path, line).reshape(declared, width)


def _check_tokens(block: bytes, path: str, first_line: int, index: int) -> None:
    """Names the token that is no number, if that is what made the line's count wrong."""
    text = block.split(b"\n")[index]
    parse_numbers(text, len(text.split()), path, first_line + index)


def _forward_kinematics(hierarchy: _Hierarchy, values: np.ndarray, kept: list[int]) -> np.ndarray:
    """Channel values `(T, C)` -> positions of the kept joints `(T, len(kept), 3)` float32."""
    out = np.empty((len(values), len(kept), 3), dtype=np.float32)
    step = max(1, _FK_VALUES // (12 * len(hierarchy.joints)))
    for first in range(0, len(values), step):
        part = np.ascontiguousarray(values[first : first + step].T)  # (C, T)
        positions = _forward_kinematics_block(hierarchy, part)
        for place, index in enumerate(kept):
            out[first : first + step, place] = positions[index].T
    return out


def _forward_kinematics_block(hierarchy: _Hierarchy, values: np.ndarray) -> list[np.ndarray]:
    """Channel values `(C, T)` -> one `(3, T)` array a joint."""
    identity = [np.eye(3)[:, [k]] for k in range(3)]
    radians = np.deg2rad(values)
    sin, cos = np.sin(radians), np.cos(radians)
    has_child = {joint.parent for joint in hierarchy.joints}
    rotations: list[list[np.ndarray]] = []  # of each joint in the world, by columns, each (3, T) or (3, 1)
    positions: list[np.ndarray] = []
    for index, joint in enumerate(hierarchy.joints):
        rotation = identity if joint.parent < 0 else rotations[joint.parent]
        offset: list = list(joint.offset)
        channels = list(enumerate(joint.channels or (), start=joint.first_channel))
        for column, (kind, axis) in channels:
            if kind == "position":
                offset[axis] = values[column]
        moved = sum(rotation[axis] * offset[axis] for axis in range(3))
        position = moved if joint.parent < 0 else positions[joint.parent] + moved
        positions.append(np.broadcast_to(position, (3, values.shape[1])))
        if index in has_child:
            for column, (kind, axis) in channels:
                if kind == "rotation":
                    rotation = rotate_about_axis(rotation, axis, sin[column], cos[column])
        rotations.append(rotation)
    return positions
