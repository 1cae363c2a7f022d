"""ASF text (Acclaim skeleton) -> bones with lengths, directions, axes and degrees of freedom, in a tree."""

import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from .base import (
    MAX_JOINTS,
    MotionFileError,
    MotionFileNotFoundError,
    decode,
    normalize_line_ends,
    read_bytes,
    rotate_about_axis,
)
from .text_numbers import is_number


INCH = 0.0254  # metres
MAX_ASF_BYTES = 4 << 20  # a bone takes about 250 bytes
ROTATIONS = {"rx": 0, "ry": 1, "rz": 2}
TRANSLATIONS = {"tx": 0, "ty": 1, "tz": 2}


@dataclass
class Bone:
    """One bone: `axis` is the matrix C; `dof` in the order in which the AMC lists the values."""

    name: str
    line: int
    direction: np.ndarray | None = None
    length: float | None = None
    axis: np.ndarray = field(default_factory=lambda: np.eye(3))
    dof: list[str] = field(default_factory=list)
    parent: int = -1


@dataclass
class Acclaim:
    """An ASF skeleton."""

    bones: list[Bone]  # the root first, then in an order in which parents come before children
    root_position: np.ndarray
    metres: float | None  # per unit of length
    degrees: bool


def find_asf(path: Path) -> Path:
    """The ASF file that belongs to an AMC file.

    Raises:
        MotionFileNotFoundError: There is none, or several and none has a matching name.
    """
    try:
        found = sorted(entry for entry in path.parent.iterdir() if entry.suffix.lower() == ".asf" and entry.is_file())
    except OSError as error:
        raise MotionFileError(f"{path}: its folder cannot be listed to find the ASF: {error.strerror}.") from error
    stem = path.stem.lower()

    def belongs(entry: Path) -> bool:
        prefix = entry.stem.lower()
        return stem.startswith(prefix) and (len(stem) == len(prefix) or not stem[len(prefix)].isalnum())

    matching = [entry for entry in found if belongs(entry)]
    if matching:
        return max(matching, key=lambda entry: len(entry.stem))
    if len(found) == 1:
        return found[0]
    names = ", ".join(entry.name for entry in found[:5])
    raise MotionFileNotFoundError(
        f"{path}: an AMC file needs its ASF skeleton; "
        + (f"none of {names} has a name that it begins with" if found else "there is none beside it")
        + ". Pass `asf=`."
    )


class _Fail:
    """Raises errors that name the file and the line."""

    def __init__(self, path: str):
        self.path, self.line = path, 0

    def __call__(self, message: str, line: int | None = None) -> None:
        raise MotionFileError(f"{self.path}: line {self.line if line is None else line}: {message}")

    def numbers(self, words: list[str], count: int, what: str) -> np.ndarray:
        if len(words) < count or not all(is_number(word) for word in words[:count]):
            self(f"{what} needs {count} number{'s' if count > 1 else ''}, found {' '.join(words)[:40]!r}.")
        values = np.array([float(word) for word in words[:count]])
        if not np.isfinite(values).all():
            self(f"{what} is not finite.")
        return values


def read_asf(path: str | os.PathLike) -> Acclaim:
    """Parses an ASF file.

    Raises:
        MotionFileError: It is malformed; the message names the line.
    """
    fail = _Fail(os.fspath(path))
    text = decode(normalize_line_ends(read_bytes(path, MAX_ASF_BYTES)))
    root = Bone("root", 0, np.zeros(3), 0.0)
    root_position, length_unit, degrees = np.zeros(3), None, True
    bones: list[Bone] = []
    links: list[tuple[str, str, int]] = []
    section, bone, inside = "", None, False
    root_axis, orientation, root_line = "XYZ", np.zeros(3), 0
    bone_axes: list[tuple[Bone, np.ndarray, str, int]] = []
    for number, raw in enumerate(text.split("\n"), start=1):
        fail.line = number
        words = raw.split()
        if not words or words[0].startswith("#"):
            continue
        if words[0].startswith(":"):
            if bone is not None:
                fail(f"bone begun in line {bone.line} has no `end`.")
            if inside:
                fail("the hierarchy has no `end`.")
            section = words[0].lower()
            root_line = number if section == ":root" else root_line
            continue
        key, rest = words[0].lower(), words[1:]
        if section == ":units":
            if key == "length":
                length_unit = float(fail.numbers(rest, 1, "`length`")[0])
                if length_unit <= 0:
                    fail(f"`length {rest[0]}` must be above 0.")
            elif key == "angle":
                if not rest or rest[0].lower()[:3] not in ("deg", "rad"):
                    fail(f"`angle {' '.join(rest)}`; deg or rad are known.")
                degrees = rest[0].lower().startswith("deg")
        elif section == ":root":
            if key == "order":
                root.dof = _check_dof(fail, rest)
            elif key == "axis":
                root_axis = _check_axis(fail, rest)
            elif key == "position":
                root_position = fail.numbers(rest, 3, "`position`")
            elif key == "orientation":
                orientation = fail.numbers(rest, 3, "`orientation`")
        elif section == ":bonedata":
            if key == "begin":
                if bone is not None:
                    fail(f"bone begun in line {bone.line} has no `end`.")
                bone = Bone("", number)
            elif bone is None:
                fail(f"{words[0][:24]!r} outside of begin ... end.")
            elif key == "end":
                _check_bone(fail, bone, bones)
                bones.append(bone)
                bone = None
            elif key == "name":
                bone.name = rest[0] if rest else ""
            elif key == "direction":
                bone.direction = fail.numbers(rest, 3, "`direction`")
            elif key == "length":
                bone.length = float(fail.numbers(rest, 1, "`length`")[0])
            elif key == "axis":
                bone_axes.append((bone, fail.numbers(rest, 3, "`axis`"), _check_axis(fail, rest[3:]), number))
            elif key == "dof":
                bone.dof = _check_dof(fail, rest, rotations_only=True)
        elif section == ":hierarchy":
            if key == "begin":
                inside = True
            elif key == "end":
                inside = False
            else:
                links.extend((words[0], child, number) for child in rest)
                if len(links) > MAX_JOINTS:
                    fail(f"more than {MAX_JOINTS} bones; bodies have fewer.")
    if bone is not None:
        fail(f"the file ends inside the bone begun in line {bone.line}.")
    if inside:
        fail("the file ends inside the hierarchy.")
    if not root_line:
        fail("no :root section; this is no ASF file.")
    if not bones:
        fail("no bones in :bonedata.")
    if not root.dof:
        fail("the :root section has no `order`.", root_line)
    scale = 1.0 if not degrees else np.pi / 180
    root.axis = _axis_matrix(orientation * scale, root_axis)
    for owner, angles, order, _ in bone_axes:
        owner.axis = _axis_matrix(angles * scale, order)
    ordered = _order_bones(fail, root, bones, links)
    metres = INCH / length_unit if length_unit is not None and length_unit != 1.0 else None
    return Acclaim(ordered, root_position, metres, degrees)


def _check_dof(fail: _Fail, words: list[str], rotations_only: bool = False) -> list[str]:
    dof = [word.lower() for word in words]
    for word in dof:
        if word not in ROTATIONS and (rotations_only or word not in TRANSLATIONS):
            fail(f"degree of freedom {word[:24]!r}; {'rx, ry, rz' if rotations_only else 'TX to RZ'} are read.")
    if len(set(dof)) < len(dof):
        fail(f"a degree of freedom is named twice: {' '.join(words)}.")
    return dof


def _check_axis(fail: _Fail, words: list[str]) -> str:
    order = words[0].upper() if words else "XYZ"
    if sorted(order) != ["X", "Y", "Z"]:
        fail(f"axis order {order[:24]!r}; three letters, each of X, Y, Z once, are needed.")
    return order


def _check_bone(fail: _Fail, bone: Bone, bones: list[Bone]) -> None:
    if not bone.name:
        fail("the bone has no name.", bone.line)
    if bone.name == "root":
        fail("a bone is called `root`, as the root is.", bone.line)
    for other in bones:
        if other.name == bone.name:
            fail(f"bone {bone.name!r} was already defined in line {other.line}.", bone.line)
    if bone.direction is None or bone.length is None:
        fail(f"bone {bone.name!r} has no {'direction' if bone.direction is None else 'length'}.", bone.line)
    if len(bones) >= MAX_JOINTS - 1:
        fail(f"more than {MAX_JOINTS} bones; bodies have fewer.")


def _axis_matrix(radians: np.ndarray, order: str) -> np.ndarray:
    """Turns about fixed axes, the first letter first: `XYZ` is Rz Ry Rx."""
    columns = [np.eye(3)[:, [k]] for k in range(3)]
    for letter in reversed(order):
        axis = "XYZ".index(letter)
        columns = rotate_about_axis(columns, axis, np.sin(radians[axis]), np.cos(radians[axis]))
    return np.concatenate(columns, axis=1)


def _order_bones(fail: _Fail, root: Bone, bones: list[Bone], links: list[tuple[str, str, int]]) -> list[Bone]:
    """Parents before children, in the order of the hierarchy section walked depth first."""
    by_name = {bone.name: bone for bone in bones} | {"root": root}
    children: dict[str, list[str]] = {}
    parent_line: dict[str, int] = {}
    for parent, child, line in links:
        for name in (parent, child):
            if name not in by_name:
                fail(f"the hierarchy names {name[:48]!r}, which is no bone.", line)
        if child == "root" or child in parent_line:
            what = "is the root" if child == "root" else f"already has a parent (line {parent_line[child]})"
            fail(f"bone {child!r} {what}; the hierarchy must be a tree.", line)
        parent_line[child] = line
        children.setdefault(parent, []).append(child)
    ordered, stack = [], [("root", -1)]
    while stack:
        name, parent = stack.pop()
        bone = by_name[name]
        bone.parent = parent
        stack.extend((child, len(ordered)) for child in reversed(children.get(name, [])))
        ordered.append(bone)
    if len(ordered) <= len(bones):
        reached = {bone.name for bone in ordered}
        lost = [bone for bone in bones if bone.name not in reached]
        fail(
            f"not connected to the root: {', '.join(bone.name for bone in lost[:8])} (left out of the hierarchy, or a "
            "cycle).",
            lost[0].line,
        )
    return ordered
