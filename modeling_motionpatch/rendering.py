"""Joints (T, J, 3) in metres, +Y up -> pictures and animations: PNG strip, GIF, MP4, an HTML player; patches -> PNG.

Skeletons are drawn with PIL in a fixed three-quarter view, body parts in five colours, on a floor grid; nothing opens a
window and no browser script is loaded from elsewhere. `render_html` writes one file that plays anywhere.
"""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .rendering_base import (
    BACKGROUND,
    OTHER_COLOR,
    PART_COLORS,
    RenderingError,
    at_the_pelvis,
    bones_of,
    check_fps,
    check_joints,
    check_suffix,
    first_heading,
    view_matrix,
)
from .rendering_html import motion_html, render_html
from .skeletons_motionpatch import BODY_PARTS, Skeleton


__all__ = [
    "PART_COLORS",
    "RenderingError",
    "draw_frames",
    "motion_html",
    "render_animation",
    "render_html",
    "render_patches",
    "render_strip",
]


_GRID = "#dddddd"
_TRAIL = "#c9a0dc"
_SUPERSAMPLING = 2  # pictures are drawn twice as large and reduced, which smooths the lines
_FOLLOW_METRES = 3.0  # ways longer than this are filmed by a camera that goes along
_LINE_HEIGHT = 20  # pixels of a line of text above a strip
_GIF_TICK = 10  # ms; what GIF times are multiples of


def _pil():
    """PIL's Image, ImageDraw, or a sentence about the extra that has it."""
    try:
        from PIL import Image, ImageDraw
    except ImportError:
        raise ImportError(
            "Drawing needs Pillow: pip install 'modeling-motionpatch[viz]' (or pip install pillow). "
            "render_html works without it."
        ) from None
    return Image, ImageDraw


# --------------------------------------------------------------------------------------------------------------------
# Drawing


class _Canvas:
    """An image in metres."""

    def __init__(self, size, low, high, margin: float = 0.06):
        self.Image, self.ImageDraw = _pil()
        self.size = (max(16, int(size[0])), max(16, int(size[1])))
        width, height = (value * _SUPERSAMPLING for value in self.size)
        self.image = self.Image.new("RGB", (width, height), BACKGROUND)
        self.draw = self.ImageDraw.Draw(self.image)
        span = np.maximum(np.asarray(high) - low, 1e-3)
        self.scale = float(min((1 - 2 * margin) * np.array([width, height]) / span))
        middle = 0.5 * (np.asarray(high) + low)
        self.offset = np.array([width / 2 - middle[0] * self.scale, height / 2 + middle[1] * self.scale])

    def at(self, points: np.ndarray) -> np.ndarray:
        return np.stack([points[..., 0], -points[..., 1]], -1) * self.scale + self.offset

    def line(self, points, color, width) -> None:
        xy = [tuple(point) for point in self.at(np.asarray(points))]
        self.draw.line(xy, fill=color, width=max(1, round(width * _SUPERSAMPLING)), joint="curve")

    def dot(self, point, color, radius) -> None:
        x, y = self.at(np.asarray(point))
        r = radius * _SUPERSAMPLING
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=color)

    def text(self, xy, text, color="#333333") -> float:
        """Text that is broken into lines where the picture ends; returns the width of its last line in pixels."""
        from PIL import ImageFont

        font = ImageFont.load_default(size=11 * _SUPERSAMPLING)
        lines, room = [""], self.image.width - 2 * xy[0] * _SUPERSAMPLING
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if font.getlength(longer) <= room or not lines[-1]:
                lines[-1] = longer
            else:
                lines.append(word)
        self.draw.text((xy[0] * _SUPERSAMPLING, xy[1] * _SUPERSAMPLING), "\n".join(lines), fill=color, font=font)
        return font.getlength(lines[-1]) / _SUPERSAMPLING

    def finish(self):
        return self.image.reduce(_SUPERSAMPLING)


def _draw_pose(canvas: _Canvas, pose: np.ndarray, view: np.ndarray, bones, width: float) -> None:
    """One frame, the bones far from the viewer first."""
    seen = pose @ view.T
    order = sorted(bones, key=lambda bone: seen[bone[0], 2] + seen[bone[1], 2])
    for parent, child, color in order:
        canvas.line([seen[parent, :2], seen[child, :2]], color, width if color != OTHER_COLOR else 0.5 * width)
        canvas.dot(seen[child, :2], color, 0.55 * width)


def _draw_head(canvas: _Canvas, pose: np.ndarray, view: np.ndarray, skeleton: Skeleton) -> None:
    """A ring about the last joint of the torso, if there is a neck under it."""
    torso = skeleton.chains["torso"]
    if len(torso) < 3:
        return
    top, under = pose[torso[-1]], pose[torso[-2]]
    length = float(np.linalg.norm(top - under))
    if length < 1e-6:
        return
    centre = (top + 0.25 * (top - under)) @ view.T
    x, y = canvas.at(centre[:2])
    r = 0.10 * canvas.scale
    canvas.draw.ellipse(
        (x - r, y - r, x + r, y + r), outline=PART_COLORS["torso"], width=max(1, canvas.image.height // 220)
    )


def _floor_lines(low, high, step: float) -> list[np.ndarray]:
    """A grid of lines on the floor that covers x and z from `low` to `high`, as (2, 3) arrays."""
    first = np.floor(np.asarray(low) / step) * step
    last = np.ceil(np.asarray(high) / step) * step
    lines = [np.array([[x, 0, first[1]], [x, 0, last[1]]]) for x in np.arange(first[0], last[0] + 0.5 * step, step)]
    lines += [np.array([[first[0], 0, z], [last[0], 0, z]]) for z in np.arange(first[1], last[1] + 0.5 * step, step)]
    return lines


# --------------------------------------------------------------------------------------------------------------------
# Pictures


def render_strip(
    joints: np.ndarray,
    skeleton: "str | Mapping | Skeleton" = "smpl22",
    path: "str | Path" = "strip.png",
    num_frames: int = 8,
    *,
    height: int = 220,
    azimuth: float = 35.0,
    elevation: float = 12.0,
    title: str | None = None,
    fps: float | None = None,
    key: bool = False,
) -> Path:
    """Draws frames of a motion side by side.

    Each frame is centred on the person, so that a long way does not make the figure small; the floor and a trail on it
    show the way.

    Args:
        joints (`np.ndarray` of shape `(T, J, 3)`): Metres, +Y up.
        skeleton (`str`, `Mapping` or [`Skeleton`], *optional*, defaults to `"smpl22"`): What the joints are.
        path (`str` or `Path`): A `.png` file to write.
        num_frames (`int`, *optional*, defaults to 8): How many frames, evenly spaced, first and last among them.
        height (`int`, *optional*, defaults to 220): Pixels.
        azimuth, elevation (`float`, *optional*, default to 35 and 12):
            Degrees of the viewer from the direction the person faces at first (positive: from the person's left) and
            above the floor.
        title (`str`, *optional*): A line above, such as the caption.
        fps (`float`, *optional*): Writes seconds instead of frame numbers below.
        key (`bool`, *optional*, defaults to `False`): Writes the names of the body parts that the skeleton has above, each
            in its colour.

    Returns:
        `Path`: The file.

    Raises:
        RenderingError: Joints that do not fit the skeleton, are empty or not finite, or a wrong suffix.
    """
    path = check_suffix(path, (".png",))
    joints, skeleton = check_joints(joints, skeleton)
    if num_frames < 1:
        raise RenderingError(f"num_frames must be at least 1, not {num_frames}.")
    Image, _ = _pil()
    view = view_matrix(azimuth + first_heading(joints, skeleton), elevation)
    bones = bones_of(skeleton)
    joints = at_the_pelvis(joints, skeleton)
    frames = np.unique(np.linspace(0, len(joints) - 1, min(num_frames, len(joints))).round().astype(int))
    roots = joints[:, skeleton.pelvis].copy()
    centred = joints.copy()
    centred[:, :, [0, 2]] -= roots[:, None, [0, 2]]
    floor = min(0.0, float(joints[:, :, 1].min()))
    seen = centred[frames] @ view.T
    corners = np.array([[x, floor, z] for x in (-0.45, 0.45) for z in (-0.45, 0.45)]) @ view.T
    points = np.concatenate([seen.reshape(-1, 3), corners])
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    high[1] += 0.15
    width = int(np.ceil(height * (high[0] - low[0]) / (high[1] - low[1]))) + 8
    rows = bool(title) + key
    head = _LINE_HEIGHT * rows
    sheet = Image.new("RGB", (width * len(frames), height + head), BACKGROUND)
    for column, frame in enumerate(frames):
        canvas = _Canvas((width, height), low, high, margin=0.03)
        for line in _floor_lines((-0.4, -0.4), (0.4, 0.4), 0.4):
            canvas.line(((line + [0, floor, 0]) @ view.T)[:, :2], _GRID, 1)
        trail = roots[: frame + 1] - roots[frame]
        trail[:, 1] = floor
        near = trail[np.abs(trail).max(1) < 0.8]
        if len(near) > 1:
            canvas.line((near @ view.T)[:, :2], _TRAIL, 1.5)
        _draw_pose(canvas, centred[frame], view, bones, width=max(2.0, height / 70))
        _draw_head(canvas, centred[frame], view, skeleton)
        canvas.text((4, height - 16), f"{frame / fps:.1f} s" if fps else str(frame), "#888888")
        sheet.paste(canvas.finish(), (column * width, head))
    if rows:
        label = _Canvas((width * len(frames), head), (0, 0), (1, 1))
        if title:
            label.text((4, 3), title)
        left = 4.0
        for part in [part for part in BODY_PARTS if key and skeleton.chains[part]]:
            left += label.text((left, head - _LINE_HEIGHT + 3), part.replace("_", " "), PART_COLORS[part]) + 14
        sheet.paste(label.finish(), (0, 0))
    sheet.save(path)
    return path


def draw_frames(
    joints: np.ndarray,
    skeleton: "str | Mapping | Skeleton" = "smpl22",
    *,
    size: tuple[int, int] = (360, 360),
    azimuth: float = 35.0,
    elevation: float = 15.0,
    title: str | None = None,
    follow: bool | None = None,
) -> list:
    """Every frame of a motion as a PIL image.

    Args:
        joints, skeleton, azimuth, elevation, title: As in [`render_strip`].
        size (pair of `int`, *optional*, defaults to `(360, 360)`): Width and height in pixels.
        follow (`bool`, *optional*):
            Whether the camera goes along with the person; by default where the way covers more than 3 metres.

    Returns:
        `list[PIL.Image.Image]` of length T.
    """
    joints, skeleton = check_joints(joints, skeleton)
    view = view_matrix(azimuth + first_heading(joints, skeleton), elevation)
    bones = bones_of(skeleton)
    joints = at_the_pelvis(joints, skeleton)
    trail = joints[:, skeleton.pelvis] * [1, 0, 1]
    if follow is None:
        follow = float(np.ptp(trail, axis=0).max()) > _FOLLOW_METRES
    centre = trail if follow else np.zeros_like(trail)
    ground = (joints - centre[:, None])[:, :, [0, 2]].reshape(-1, 2)
    low, high = ground.min(0) - 0.3, ground.max(0) + 0.3
    span = float((high - low).max())
    step = 0.5 if span < 6 else 1.0 if span < 15 else 5.0
    edges = np.array([[x, 0, z] for x in (low[0], high[0]) for z in (low[1], high[1])])
    points = np.concatenate([(joints - centre[:, None]).reshape(-1, 3) @ view.T, edges @ view.T])
    bottom, top = points[:, :2].min(0), points[:, :2].max(0) + [0, 0.15]
    width = max(1.5, min(4.0, 0.035 * _Canvas(size, bottom, top).scale / _SUPERSAMPLING))
    images, background = [], None
    for frame, pose in enumerate(joints):
        canvas = _Canvas(size, bottom, top)
        if background is None or follow:
            for line in _floor_lines(low + centre[frame, [0, 2]], high + centre[frame, [0, 2]], step):
                canvas.line(((line - centre[frame]) @ view.T)[:, :2], _GRID, 1)
            if title:
                canvas.text((6, 4), title)
            background = canvas.image.copy()
        else:
            canvas.image.paste(background)
        if frame:
            canvas.line(((trail[: frame + 1] - centre[frame]) @ view.T)[:, :2], _TRAIL, 1.5)
        _draw_pose(canvas, pose - centre[frame], view, bones, width)
        _draw_head(canvas, pose - centre[frame], view, skeleton)
        images.append(canvas.finish())
    return images


def render_animation(
    joints: np.ndarray,
    skeleton: "str | Mapping | Skeleton" = "smpl22",
    path: "str | Path" = "motion.gif",
    fps: float = 20.0,
    *,
    size: tuple[int, int] = (360, 360),
    azimuth: float = 35.0,
    elevation: float = 15.0,
    title: str | None = None,
    follow: bool | None = None,
) -> Path:
    """Writes a motion as a looping GIF, or as MP4 where ffmpeg is on PATH.

    GIF knows times in hundredths of a second only and players slow down below two of them, so frames are picked at the
    nearest rate of at most 50 a second at which the motion keeps its speed.

    Args:
        joints, skeleton, size, azimuth, elevation, title, follow: As in [`draw_frames`].
        path (`str` or `Path`): A `.gif` or `.mp4` file to write.
        fps (`float`, *optional*, defaults to 20): Frames a second of the joints.

    Returns:
        `Path`: The file.

    Raises:
        RenderingError: As [`render_strip`]; a fps that is not above 0; MP4 without ffmpeg.
    """
    path = check_suffix(path, (".gif", ".mp4"))
    fps = check_fps(fps)
    joints, skeleton = check_joints(joints, skeleton)
    look = {"azimuth": azimuth, "elevation": elevation, "title": title, "follow": follow}
    if path.suffix.lower() == ".mp4":
        return _write_mp4(joints, skeleton, path, fps, size, look)
    ticks = max(2, round(1000 / fps / _GIF_TICK))
    seconds = ticks * _GIF_TICK / 1000
    count = max(1, int(round(len(joints) / fps / seconds)))
    picked = np.minimum((np.arange(count) * seconds * fps).round().astype(int), len(joints) - 1)
    images = draw_frames(joints[picked], skeleton, size=size, **look)
    palette = images[len(images) // 2].quantize(colors=64)  # one for all frames: fast, and colours do not flicker
    images = [image.quantize(palette=palette, dither=0) for image in images]
    images[0].save(path, save_all=True, append_images=images[1:], duration=ticks * _GIF_TICK, loop=0, optimize=False)
    return path


def _write_mp4(joints, skeleton, path, fps, size, look) -> Path:
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise RenderingError(f"{path.name!r}: MP4 needs the program ffmpeg on PATH; install it or write a .gif.")
    size = (size[0] + size[0] % 2, size[1] + size[1] % 2)  # what the codec wants
    images = draw_frames(joints, skeleton, size=size, **look)
    command = [
        ffmpeg, "-y", "-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{size[0]}x{size[1]}", "-r", f"{fps}",
        "-i", "-", "-an", "-pix_fmt", "yuv420p", str(path),
    ]  # fmt: skip
    done = subprocess.run(command, input=b"".join(image.tobytes() for image in images), capture_output=True)
    if done.returncode:
        raise RenderingError(
            f"ffmpeg could not write {path.name!r}: {done.stderr.decode(errors='replace').strip()[-300:]}"
        )
    return path


def render_patches(
    motion_values: np.ndarray,
    path: "str | Path" = "patches.png",
    *,
    patch_size: int | None = None,
    part_names: Sequence[str] = BODY_PARTS,
    num_frames: int | None = None,
    scale: int = 3,
) -> Path:
    """Draws a motion patch image as the paper's Figure 4 does: x, y, z as red, green, blue.

    Time runs downwards, body parts from left to right. Each channel is stretched to its own range between its 1st and
    99th percentile.

    Args:
        motion_values (`np.ndarray` of shape `(3, F, P)`):
            What the feature extractor returns for one motion (a leading axis of 1 is dropped): F frames, P points.
        path (`str` or `Path`): A `.png` file to write.
        patch_size (`int`, *optional*): Pixels of a patch, for the grid; P divided by the number of parts by default.
        part_names (`Sequence[str]`, *optional*): Written above, in the order of the columns.
        num_frames (`int`, *optional*): Draws only the first; all that are not padding by default.
        scale (`int`, *optional*, defaults to 3): Pixels a value.

    Returns:
        `Path`: The file.

    Raises:
        RenderingError: Another shape, or values that are not finite.
    """
    path = check_suffix(path, (".png",))
    values = np.asarray(motion_values, dtype=np.float64)
    if values.ndim == 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 3 or values.shape[0] != 3:
        raise RenderingError(
            f"Motion patches must have the shape (3, frames, points), one motion at a time; these have {values.shape}."
        )
    if not np.isfinite(values).all():
        raise RenderingError("The motion patches hold NaN or infinite values.")
    if patch_size is None:
        patch_size = max(1, values.shape[2] // max(1, len(part_names)))
    if num_frames is None:
        used = np.flatnonzero(np.abs(values).max(axis=(0, 2)) > 0)
        num_frames = int(used[-1]) + 1 if len(used) else values.shape[1]
    values = values[:, : max(1, num_frames)]
    low = np.percentile(values, 1, axis=(1, 2), keepdims=True)
    high = np.percentile(values, 99, axis=(1, 2), keepdims=True)
    pixels = np.clip((values - low) / np.maximum(high - low, 1e-9), 0, 1).transpose(1, 2, 0)
    Image, ImageDraw = _pil()
    from PIL import ImageFont

    image = Image.fromarray((255 * pixels).round().astype(np.uint8), "RGB")
    image = image.resize((image.width * scale, image.height * scale), Image.NEAREST)
    draw = ImageDraw.Draw(image)
    for x in range(patch_size, values.shape[2], patch_size):
        draw.line((x * scale, 0, x * scale, image.height), fill="#ffffff", width=1)
    for y in range(patch_size, values.shape[1], patch_size):
        draw.line((0, y * scale, image.width, y * scale), fill="#ffffff", width=1)
    head = 16
    sheet = Image.new("RGB", (image.width, image.height + head), BACKGROUND)
    sheet.paste(image, (0, head))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    for index, name in enumerate(part_names[: values.shape[2] // patch_size]):
        draw.text(
            (index * patch_size * scale + 2, 2),
            name.replace("_", " ")[: patch_size * scale // 5],
            fill="#333333",
            font=font,
        )
    sheet.save(path)
    return path
