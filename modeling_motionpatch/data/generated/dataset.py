"""Generated clips -> `datasets.DatasetDict` with the columns of every motion data set of this package."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from .actions import ACTIONS
from .body import generated_skeleton
from .clips import SPLITS, generate_motions


DEFAULT_SKELETONS = ("smpl22", "kit21", "mixamo")
_WRITER_BATCH = 200


def build_generated(
    data_dir: "str | Path | None" = None,
    *,
    skeletons: "str | Sequence[str]" = DEFAULT_SKELETONS,
    num_train: int = 2000,
    num_validation: int = 300,
    num_test: int = 500,
    seed: int = 0,
    fps: float = 20.0,
    num_captions: int = 3,
    num_proc: int | None = None,
):
    """Builds train, validation and test splits of generated motion.

    Args:
        data_dir (`str` or `Path`, *optional*):
            Where the Arrow files are kept and found again, by what was asked for; the cache of `datasets` by default.
        skeletons (`str` or `Sequence[str]`, *optional*, defaults to `("smpl22", "kit21", "mixamo")`):
            Of `GENERATED_SKELETONS`; clip i has the skeleton i modulo their number.
        num_train, num_validation, num_test (`int`, *optional*, default to 2000, 300, 500): Clips; 0 leaves a split out.
        seed (`int`, *optional*, defaults to 0): Of everything.
        fps (`float`, *optional*, defaults to 20): Frames a second.
        num_captions (`int`, *optional*, defaults to 3): Wordings a clip.
        num_proc (`int`, *optional*): Processes that generate; the result does not depend on it.

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
    import datasets

    names = [skeletons] if isinstance(skeletons, str) else list(skeletons)
    if not names:
        raise ValueError("At least one skeleton is needed.")
    num_joints = {generated_skeleton(name).num_joints for name in names}
    counts = dict(zip(SPLITS, (num_train, num_validation, num_test)))
    negative = {split: count for split, count in counts.items() if count < 0}
    if negative or not any(counts.values()):
        raise ValueError(f"Numbers of clips must not be negative and not all 0; given {counts}.")
    if len(num_joints) == 1:
        motion = datasets.Array3D((None, num_joints.pop(), 3), "float32")
    else:  # Array3D lets only the first axis vary
        motion = datasets.List(datasets.List(datasets.List(datasets.Value("float32"), length=3)))
    features = datasets.Features({
        "id": datasets.Value("string"),
        "motion": motion,
        "captions": datasets.List(datasets.Value("string")),
        "fps": datasets.Value("float32"),
        "skeleton": datasets.Value("string"),
        "label": datasets.Value("string"),
        "actions": datasets.Value("string"),
    })  # fmt: skip
    asked = {"skeletons": names, "seed": seed, "fps": fps, "num_captions": num_captions, "kinds": sorted(ACTIONS)}
    splits = {}
    for split, count in counts.items():
        if not count:
            continue
        splits[split] = datasets.Dataset.from_generator(
            _rows,
            features=features,
            cache_dir=str(data_dir) if data_dir is not None else None,
            gen_kwargs={
                "indices": list(range(count)), "split": split, "skeletons": tuple(names), "seed": seed, "fps": fps,
                "num_captions": num_captions,
            },
            num_proc=num_proc,
            split=getattr(datasets.Split, split.upper()),
            writer_batch_size=_WRITER_BATCH,
            fingerprint=_fingerprint({**asked, "split": split, "count": count}),
        )  # fmt: skip
    return datasets.DatasetDict(splits)


def _rows(indices, split, skeletons, seed, fps, num_captions):
    """One row a clip; `indices` is what several processes share out."""
    for index in indices:
        clip = generate_motions(
            1, skeletons, seed, split=split, start=index, fps=fps, num_captions=num_captions
        )[0]  # fmt: skip
        yield {
            "id": clip.id,
            "motion": clip.joints,
            "captions": clip.captions,
            "fps": clip.fps,
            "skeleton": clip.skeleton.to_string(),
            "label": clip.label,
            "actions": json.dumps(clip.actions),
        }


def _fingerprint(asked: dict) -> str:
    """Of what was asked for and of the code that answers, so that a cache never outlives a change of either."""
    digest = hashlib.sha256(json.dumps(asked, sort_keys=True).encode())
    for file in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:32]
