"""Bytes that a visitor sent -> a `Motion`; the name they gave tells the kind of file and is never used as a path."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np


MAX_FILES = 2  # a motion, and the ASF skeleton of an AMC file
MAX_NAME = 80  # characters of a name that are shown
SKELETON_SUFFIX = ".asf"


class UploadError(ValueError):
    """What was sent is no motion that can be read; the message is for the visitor."""


def shown_name(name: str) -> str:
    """A visitor's file name without folders and control characters."""
    name = re.split(r"[/\\]", str(name))[-1]
    return re.sub(r"[^\w .()+-]", "_", name)[-MAX_NAME:] or "upload"


def read_upload(files: Sequence[tuple[str, bytes]]):
    """Uploaded files -> the motion.

    Args:
        files (`Sequence[tuple[str, bytes]]`): Name and content of a motion file, with that of its ASF file for AMC.

    Returns:
        `tuple[Motion, str]`: the motion, and the name to show.

    Raises:
        UploadError: No file, an unknown kind, or a file that cannot be read.
    """
    from ..io import MOTION_SUFFIXES, load_motion

    if not 1 <= len(files) <= MAX_FILES:
        raise UploadError("Choose one motion file; for AMC, the AMC file and its ASF file.")
    named = [(shown_name(name), Path(shown_name(name)).suffix.lower(), content) for name, content in files]
    motions = [item for item in named if item[1] in MOTION_SUFFIXES]
    skeletons = [item for item in named if item[1] == SKELETON_SUFFIX]
    unknown = [item for item in named if item not in motions and item not in skeletons]
    if unknown:
        raise UploadError(
            f"{unknown[0][0]}: motion files end in {', '.join(MOTION_SUFFIXES)} (AMC together with its .asf)."
        )
    if len(motions) != 1:
        raise UploadError("Choose one motion file" + (" beside the .asf." if skeletons else "."))
    name, suffix, content = motions[0]
    if not content:
        raise UploadError(f"{name}: the file is empty.")
    with tempfile.TemporaryDirectory(prefix="motionpatch-") as folder:
        path = Path(folder) / f"motion{suffix}"
        path.write_bytes(content)
        options = {}
        if skeletons:
            options["asf"] = Path(folder) / "skeleton.asf"
            options["asf"].write_bytes(skeletons[0][2])
        try:
            motion = load_motion(path, drop_t_pose=True, **options)  # as in the folders that are indexed
        except (ValueError, OSError, MemoryError) as error:
            raise UploadError(_without_paths(str(error) or type(error).__name__, folder, name, suffix)) from error
    if not np.isfinite(motion.joints).all():
        frames = np.flatnonzero(~np.isfinite(motion.joints).all(axis=(1, 2)))
        raise UploadError(f"{name}: the positions are NaN or infinite in frames {frames[:5].tolist()}.")
    return motion, name


def _without_paths(message: str, folder: str, name: str, suffix: str) -> str:
    """An error message with the visitor's names in place of those on this machine."""
    for hidden, shown in ((f"motion{suffix}", name), ("skeleton.asf", "the .asf file")):
        message = message.replace(str(Path(folder) / hidden), shown).replace(hidden, shown)
    message = message.replace(f"{folder}/", "").replace(folder, "the upload")
    return message if name in message else f"{name}: {message}"
