"""Generated clips -> `datasets.DatasetDict` with the columns of every motion data set of this package."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from ..sources import MotionSource
from .body import generated_skeleton
from .clips import SPLITS, generate_motions


DEFAULT_SKELETONS = ("smpl22", "kit21", "mixamo")


def build_generated(data_dir: str | Path | None = None, **options):
    """Generates a data set, or finds it in the cache; the same rows for the same arguments, anywhere.

    Args:
        data_dir (`str` or `Path`, *optional*):
            Where the Arrow files are kept and found again, by what was asked for; the cache of `datasets` by default.
        options: Those of [`generated_source`].

    Returns:
        `datasets.DatasetDict`: `id`, `motion` float32 `(T, J, 3)` metres +Y up, `captions`, `fps`, `skeleton` (a name
        or JSON that `get_skeleton` reads), `label` (kind of action), `actions` (JSON: kinds and choices).

    Example:

    ```python
    >>> from modeling_motionpatch.data.generated import build_generated
    >>> splits = build_generated(skeletons="smpl22", num_train=4, num_validation=1, num_test=1)
    >>> splits["train"].column_names[:3]
    ['id', 'motion', 'captions']
    ```
    """
    from .. import load_motion_dataset

    return load_motion_dataset("generated", cache_dir=data_dir, **options)


def generated_source(
    data_dir: str | Path | None = None,
    *,
    skeletons: str | Sequence[str] = DEFAULT_SKELETONS,
    num_train: int = 2000,
    num_validation: int = 300,
    num_test: int = 500,
    seed: int = 0,
    fps: float = 20.0,
    num_captions: int = 3,
) -> MotionSource:
    """What [`load_motion_dataset`] converts for `"generated"`.

    Args:
        data_dir: Not read; generated motions need no folder.
        skeletons (`str` or `Sequence[str]`, *optional*, defaults to `("smpl22", "kit21", "mixamo")`):
            Of `GENERATED_SKELETONS`; clip i has the skeleton i modulo their number.
        num_train, num_validation, num_test (`int`, *optional*, default to 2000, 300, 500): Clips; 0 leaves a split out.
        seed (`int`, *optional*, defaults to 0): Of everything.
        fps (`float`, *optional*, defaults to 20): Frames a second.
        num_captions (`int`, *optional*, defaults to 3): Wordings a clip.

    Raises:
        ValueError: No skeleton, an unknown one, a negative number of clips, or none at all.
    """
    names = [skeletons] if isinstance(skeletons, str) else list(skeletons)
    if not names:
        raise ValueError("At least one skeleton is needed.")
    for name in names:
        generated_skeleton(name)
    counts = dict(zip(SPLITS, (num_train, num_validation, num_test)))
    if any(count < 0 for count in counts.values()) or not any(counts.values()):
        raise ValueError(f"Numbers of clips must not be negative and not all 0; given {counts}.")

    def rows(report):
        for split, count in counts.items():
            for index in range(count):
                (clip,) = generate_motions(
                    1, names, seed, split=split, start=index, fps=fps, num_captions=num_captions
                )  # fmt: skip
                yield (
                    split,
                    {
                        "id": clip.id,
                        "motion": clip.joints,
                        "captions": clip.captions,
                        "fps": clip.fps,
                        "skeleton": clip.skeleton.to_string(),
                        "label": clip.label,
                        "actions": json.dumps(clip.actions),
                    },
                )

    options = {"skeletons": names, **counts, "seed": seed, "fps": fps, "num_captions": num_captions}
    return MotionSource("generated", Path(), options, (_code(),), rows, sum(counts.values()))


def _code() -> str:
    """A digest of the code that generates, so that a cache never outlives a change of it."""
    digest = hashlib.sha256()
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]
