"""One take of any length and a text -> the moments at which it happens, and a curve over time."""

from dataclasses import dataclass, field

import numpy as np

from ..embedding_motionpatch import as_motion_lists, cut_take, encode_clips, encode_text, window_frames
from .search import Hit, without_duplicates
from .sources import takes_of


MOMENT_SECONDS = 4.0  # long enough for one action, short enough to tell neighbouring ones apart
STEPS = 8  # windows that begin within the length of one: the resolution of the curve


@dataclass
class Localization:
    """Where in a take a text happens.

    Args:
        text (`str`): The description.
        moments (`list[Hit]`): Best first, none overlapping another.
        times (`np.ndarray` of shape `(W,)`): Middle of each window [s].
        scores (`np.ndarray` of shape `(W,)`): Cosine similarity of each window to the text, float32.
        window (`float`): Length of a window [s].
        duration (`float`): Length of the take [s].
    """

    text: str
    moments: list[Hit]
    times: np.ndarray = field(repr=False)
    scores: np.ndarray = field(repr=False)
    window: float = 0.0
    duration: float = 0.0

    def to_dict(self) -> dict:
        """JSON-serialisable form."""
        return {
            "text": self.text,
            "moments": [hit.to_dict() for hit in self.moments],
            "times": self.times.tolist(),
            "scores": self.scores.tolist(),
            "window": self.window,
            "duration": self.duration,
        }


def localize(
    model,
    processor,
    take,
    text: str,
    k: int = 5,
    *,
    skeleton=None,
    fps: float | None = None,
    window: float | None = None,
    stride: float | None = None,
    batch_size: int = 32,
) -> Localization:
    """Finds the moments of a take at which a text happens.

    Args:
        model (`MotionPatchModel`): Embeds both.
        processor (`MotionPatchProcessor`): The model's.
        take: A motion: array `(T, J, 3)`, object or dict with `joints`, `fps` and `skeleton`, or path.
        text (`str`): The description.
        k (`int`, *optional*, defaults to 5): At most so many moments.
        skeleton, fps (*optional*): Of an array.
        window (`float`, *optional*): Seconds; 4, or what the model reads where that is less, when not given.
        stride (`float`, *optional*): Seconds; an eighth of a window when not given.
        batch_size (`int`, *optional*, defaults to 32): Windows a forward pass.

    Returns:
        `Localization`.

    Raises:
        ValueError: The take cannot be read, or `text` is no text.
    """
    if not isinstance(text, str):
        raise ValueError(f"`text` is a {type(text).__name__}; one description is needed.")
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise ValueError(f"`k` is {k!r}; it must be a whole number of at least 1.")
    extractor = getattr(processor, "feature_extractor", processor)
    if window is None:
        window = min(MOMENT_SECONDS, extractor.max_frames / extractor.fps)
    frames, step = window_frames(extractor, window, window / STEPS if stride is None else stride)
    (one,) = takes_of([take])
    joints, own_skeleton, own_fps = one.read()
    arrays, skeletons, rates = as_motion_lists(
        extractor,
        [joints],
        skeleton if own_skeleton is None else own_skeleton,
        fps if own_fps is None else own_fps,
    )
    spans, windows = cut_take(extractor, arrays[0], skeletons[0], rates[0], frames, step, one.where)
    embeds = encode_clips(model, extractor, windows, batch_size)
    scores = embeds @ encode_text(model, processor, text)[0]
    order = np.argsort(-scores, kind="stable")
    ranked = ((float(scores[row]), int(row)) for row in order)
    chosen = without_duplicates(ranked, lambda row: (one.id, *spans[row]), k)
    moments = [Hit(one.id, score, *spans[row], source=one.source, index=row) for score, row in chosen]
    times = np.array([(start + end) / 2 for start, end in spans])
    return Localization(text, moments, times, scores, frames / extractor.fps, len(arrays[0]) / rates[0])
