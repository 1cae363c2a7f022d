"""The generated motions of docs/looking.md -> `kick.npz`, `lift.npz`, `long.npz` in a folder.

Run as `python docs/pictures/make_motions.py FOLDER`.
"""

import sys
from pathlib import Path

import numpy as np

from modeling_motionpatch.data.generated import generate_motion
from modeling_motionpatch.io import Motion, canonicalize, save_motion


LONG = ("walk", "sit_down", "wave", "kick", "jumping_jacks", "walk_circle")


def main(folder: Path) -> None:
    """Writes the three files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind, seed in (("kick", ["walk", "kick"], 4), ("lift", "raise_arm", 1)):
        clip = generate_motion(kind, rng=seed)
        save_motion(folder / f"{name}.npz", Motion(clip.joints, clip.fps, clip.skeleton))
    parts = [generate_motion(kind, rng=2) for kind in LONG]
    joints = np.concatenate([canonicalize(part.joints, part.skeleton, part.fps) for part in parts])
    save_motion(folder / "long.npz", Motion(joints, 20.0, "smpl22"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
