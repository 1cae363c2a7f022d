"""`motionpatch render`: a motion file -> picture, animation or player; `motionpatch skeleton`: which joint is which."""

from pathlib import Path
from typing import Annotated

import typer

from . import common
from .common import CommandError


POSES = 6  # in the picture of a skeleton: enough to see left and right move


def register(app: typer.Typer) -> None:
    """Adds the commands of this file."""
    app.command(
        "render",
        short_help="Draw a motion: picture, animation or player.",
        epilog=common.epilog(
            "motionpatch render walk.bvh walk.gif",
            "motionpatch render take.amc kick.html --start 12 --end 16",
            "motionpatch render walk.bvh patches.png --patches",
        ),
    )(render)
    app.command(
        "skeleton",
        short_help="Print which joint is in which body part.",
        epilog=common.epilog(
            "motionpatch skeleton walk.bvh --output skeleton.png",
            "motionpatch skeleton kit21",
        ),
    )(skeleton)


def render(
    file: Annotated[str, typer.Argument(help="A motion file.", metavar="FILE")],
    out: Annotated[str, typer.Argument(help="Picture to write: .png, .gif, .mp4 or .html.", metavar="OUT")],
    start: Annotated[
        float | None, typer.Option("--start", metavar="SECONDS", help="Seconds to leave out at the beginning.")
    ] = None,
    end: Annotated[float | None, typer.Option("--end", metavar="SECONDS", help="Second to stop at.")] = None,
    num_frames: Annotated[int, typer.Option("--num-frames", min=1, help="Poses in a .png.")] = 8,
    size: Annotated[int, typer.Option("--size", min=32, help="Height of a picture in pixels.")] = 360,
    azimuth: Annotated[float, typer.Option("--azimuth", help="Degrees from the person's front to its left.")] = 35.0,
    title: Annotated[
        str | None, typer.Option("--title", metavar="TEXT", help="A line above; below, in a .html.")
    ] = None,
    patches: Annotated[bool, typer.Option("--patches", help="Draw the motion patches the model sees (.png).")] = False,
    attention: Annotated[
        bool, typer.Option("--attention", help="Draw the model's attention over body parts and time (.png).")
    ] = False,
    model: common.ModelOption = None,
    fps: common.FpsOption = None,
    skeleton: common.SkeletonOption = None,
    up: common.UpOption = None,
    units: common.UnitsOption = None,
):
    """Draw a motion: a strip of poses (.png), an animation (.gif, .mp4) or a player (.html), body parts in five colours."""
    if patches and attention:
        raise CommandError("--patches and --attention are two pictures; ask for one of them.")
    suffix = Path(out).suffix.lower()
    allowed = (".png",) if patches or attention else (".png", ".gif", ".mp4", ".html", ".htm")
    if suffix not in allowed:
        raise CommandError(f"{out!r} ends in {suffix or 'nothing'!r}; {', '.join(allowed)} can be written.")
    from ..rendering import render_animation, render_html, render_patches, render_strip

    motion = common.read_motion(file, fps, skeleton, up, units)
    joints = cut(motion.joints, motion.fps, start, end)
    target = Path(out).expanduser()
    target.parent.mkdir(parents=True, exist_ok=True)
    if attention:
        from ..rendering_attention import attention_map, render_attention

        loaded, processor = common.load_model(model, "cpu")
        render_attention(attention_map(loaded, processor, joints, motion.skeleton, motion.fps), target, title=title)
    elif patches:
        extractor = _feature_extractor(model)
        values = extractor(joints, skeleton=motion.skeleton, fps=motion.fps)["motion_values"][0]
        render_patches(values, target, patch_size=extractor.patch_size, part_names=extractor.part_order)
    elif suffix == ".png":
        render_strip(
            joints, motion.skeleton, target, num_frames, height=size, azimuth=azimuth, title=title, fps=motion.fps
        )
    elif suffix in (".gif", ".mp4"):
        render_animation(
            joints, motion.skeleton, target, fps=motion.fps, size=(size, size), azimuth=azimuth, title=title
        )
    else:
        name = title or Path(file).stem
        render_html(joints, motion.skeleton, target, fps=motion.fps, captions=name, title=name, azimuth=azimuth)
    common.emit(f"{target}: {len(joints)} frames, {len(joints) / motion.fps:.2f} s at {motion.fps:g} fps")


def cut(joints, fps: float, start: float | None, end: float | None):
    """Joints `(T, ...)` -> those between two seconds.

    Raises:
        CommandError: Nothing lies between them.
    """
    duration = len(joints) / fps
    begin, stop = start or 0.0, duration if end is None else end
    if not 0 <= begin < min(stop, duration):
        raise CommandError(
            f"--start {begin:g} --end {stop:g}: nothing of a take of {duration:.2f} s lies between them."
        )
    return joints[int(begin * fps) : max(int(begin * fps) + 1, int(round(stop * fps)))]


def _feature_extractor(model: str | None):
    return common.load_model(model, "cpu")[1].feature_extractor


def skeleton(
    file: Annotated[
        str, typer.Argument(help="A motion file, or the name of a registered skeleton.", metavar="FILE_OR_NAME")
    ],
    output: Annotated[
        str | None, typer.Option("--output", metavar="PATH", help="Draw the body parts in five colours (.png).")
    ] = None,
    fps: common.FpsOption = None,
    skeleton: common.SkeletonOption = None,
    up: common.UpOption = None,
    units: common.UnitsOption = None,
    as_json: common.JsonOption = False,
):
    """Print which joints make up the five body parts, and which belong to none; check this before indexing new files."""
    if output is not None and Path(output).suffix.lower() != ".png":
        raise CommandError(f"--output {output!r}: a .png file can be written.")
    from ..skeletons_motionpatch import BODY_PARTS, get_skeleton, known_skeletons

    motion = None
    if file in known_skeletons() and not Path(file).exists():
        found = get_skeleton(file)
        if output is not None:
            raise CommandError(f"{file!r} is a name without a pose to draw; give a motion file with --output.")
    else:
        motion = common.read_motion(file, fps, skeleton, up, units)
        found = motion.skeleton
    parts = {part: [found.joints[index] for index in found.chains[part]] for part in BODY_PARTS}
    if output is not None:
        from ..rendering import render_strip

        target = Path(output).expanduser()
        target.parent.mkdir(parents=True, exist_ok=True)
        render_strip(motion.joints, found, target, POSES, height=360, fps=motion.fps, key=True)
    if as_json:
        values = {
            "skeleton": found.name,
            "joints": list(found.joints),
            "parents": list(found.parents),
            "parts": parts,
            "not_placed": list(found.unplaced),
        }
        if motion is not None:
            values |= {"frames": motion.num_frames, "fps": motion.fps, "seconds": motion.duration}
            values |= {"notes": list(motion.notes), "file": file}
        common.emit_json({**values, "picture": output})
        return
    lines = [f"{found.name}: {found.num_joints} joints"]
    if motion is not None:
        lines[0] += f"; {motion.num_frames} frames at {motion.fps:g} fps, {motion.duration:.2f} s"
    width = max(map(len, parts))
    lines += [f"  {part:<{width}}  {' > '.join(names) or '(not found)'}" for part, names in parts.items()]
    lines.append(f"  {'not placed':<{width}}  {', '.join(found.unplaced) or '(none)'}")
    lines += [f"  note: {note}" for note in (motion.notes if motion is not None else ())]
    if output is not None:
        lines.append(f"drawn: {target}")
    common.emit("\n".join(lines))
