"""Texts and motions of any length -> unit-length embeddings (B, P), float32 numpy, in length-sorted, trimmed batches.

Shared by pipelines and galleries. A long take is cut into windows of the length that the model reads; here `window` and
`stride` are in seconds, frames count at the extractor's own frame rate. B items, P projection, T frames.
"""

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import numpy as np
import torch

from .geometry_motionpatch import MIN_FRAMES, check_fps, check_joints
from .skeletons_motionpatch import Skeleton, get_skeleton


DEFAULT_STRIDE = 0.5  # of a window: every moment lies in the inner half of some window
Clip = tuple[np.ndarray, Skeleton]  # of `MotionPatchFeatureExtractor.prepare`
POOL_BATCHES = 16  # batches that are sorted by length together; more saves little padding and costs memory


# --------------------------------------------------------------------------------------------------------------------
# Windows


def window_frames(feature_extractor, window: float | None = None, stride: float | None = None) -> tuple[int, int]:
    """Length and stride of the windows of a long take, in frames at the extractor's rate.

    Args:
        feature_extractor (`MotionPatchFeatureExtractor`): Tells the frame rate and the longest input.
        window (`float`, *optional*): Seconds; what the model reads (`max_frames / fps`) when not given.
        stride (`float`, *optional*): Seconds from one window to the next; half a window when not given.

    Returns:
        `tuple[int, int]`: frames of a window and of a stride.

    Raises:
        ValueError: A length that is not above zero, or a window longer than the model reads.
    """
    fps, longest = feature_extractor.fps, feature_extractor.max_frames
    for name, value in (("window", window), ("stride", stride)):
        if value is not None and not (np.isscalar(value) and 0 < float(value) < float("inf")):
            raise ValueError(f"`{name}` is {value!r}; it must be a number of seconds above zero.")
    frames = longest if window is None else int(round(window * fps))
    if frames > longest:
        raise ValueError(
            f"`window` is {window} s ({frames} frames at {fps:g} fps), but the model reads {longest} frames "
            f"({longest / fps:g} s); choose a window up to that."
        )
    if frames < MIN_FRAMES:
        raise ValueError(f"`window` is {window} s, {frames} frames at {fps:g} fps; at least {MIN_FRAMES} are needed.")
    step = max(1, int(round(frames * DEFAULT_STRIDE if stride is None else stride * fps)))
    if step > frames:
        raise ValueError(
            f"`stride` is {stride} s, longer than a window ({frames / fps:g} s), so moments would be lost."
        )
    return frames, step


def window_spans(num_frames: int, window: int, stride: int) -> list[tuple[int, int]]:
    """(first frame, end frame) of each window of a take; the last one ends with the take.

    Args:
        num_frames (`int`): Length of the take. What fits into one window is one window.
        window, stride (`int`): From [`window_frames`].
    """
    if num_frames <= window:
        return [(0, num_frames)]
    starts = [*range(0, num_frames - window, stride), num_frames - window]
    return [(start, start + window) for start in starts]


def cut_take(
    feature_extractor, joints, skeleton: Skeleton, fps: float, window: int, stride: int, name: str = "motion"
) -> tuple[list[tuple[float, float]], list[Clip]]:
    """A take of any length -> its windows, ready for [`encode_clips`].

    Args:
        feature_extractor (`MotionPatchFeatureExtractor`): Prepares them; each window is made canonical by itself.
        joints (`np.ndarray` of shape `(T, J, 3)`, or `(T, P, J, 3)` for several persons): Positions [m].
        skeleton (`Skeleton`): What the J joints are.
        fps (`float`): Frame rate of `joints` [1/s].
        window, stride (`int`): Frames, from [`window_frames`].
        name (`str`, *optional*): What error messages call the take.

    Returns:
        `tuple`: `(start, end)` in seconds of each window, and what [`MotionPatchFeatureExtractor.prepare`] makes of it.

    Raises:
        MotionInputError: The take cannot be read.
    """
    joints = check_joints(joints, skeleton, feature_extractor.num_persons, name)
    duration = len(joints) / fps
    rate = feature_extractor.fps
    resampled = feature_extractor.resample(joints, fps, name)
    spans = window_spans(len(resampled), window, stride)
    clips = feature_extractor.prepare([resampled[a:b] for a, b in spans], skeleton, rate)
    if len(spans) == 1:
        return [(0.0, duration)], clips
    seconds = [(start / rate, end / rate) for start, end in spans]
    seconds[-1] = (seconds[-1][0], max(duration, seconds[-1][0]))
    return seconds, clips


# --------------------------------------------------------------------------------------------------------------------
# Embeddings


def fast_dtype(device="cpu") -> torch.dtype:
    """What a device encodes fastest in: bfloat16 where it multiplies it natively, else float32.

    GPUs do from compute capability 8.0, processors with AMX or AVX-512 BF16. Embeddings in bfloat16 agree with those in
    float32 to a cosine of 0.9999; `model.to(fast_dtype(model.device))` is all that it takes.

    Example:

    ```python
    >>> fast_dtype("cpu") in (torch.float32, torch.bfloat16)
    True
    ```
    """
    device = torch.device(device)
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        known = getattr(torch.cpu, "get_capabilities", dict)() if device.type == "cpu" else {}  # absent in older torch
        native = known.get("avx512_bf16", False) or known.get("amx_bf16", False)
    return torch.bfloat16 if native else torch.float32


def encode_text(model, processor, texts, batch_size: int = 64, progress: bool = False) -> np.ndarray:
    """Texts -> embeddings.

    Args:
        model (`MotionPatchModel` or `MotionPatchTextModelWithProjection`): Runs on the device and in the dtype it has.
        processor (`MotionPatchProcessor`): Its tokenizer.
        texts (`str` or `Sequence[str]`): B descriptions.
        batch_size (`int`, *optional*, defaults to 64): Texts a forward pass; they are sorted by length.
        progress (`bool`, *optional*, defaults to `False`): Show a progress bar.

    Returns:
        `np.ndarray` of shape `(B, projection_dim)`, float32, unit length, in the order of `texts`.

    Raises:
        ValueError: Something that is no string, or a model without a text tower.

    Example:

    ```python
    >>> encode_text(model, processor, ["a person waves", "someone jumps"]) @ encode_motion(
    ...     model, processor, joints, skeleton="smpl22", fps=20.0
    ... ).T  # doctest: +SKIP
    ```
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    wrong = [text for text in texts if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"`texts` must be strings, got {type(wrong[0]).__name__}: {wrong[0]!r:.80}.")
    _check_batch_size(batch_size)
    _check_tower(model, "text")
    if not texts:
        return np.empty((0, model.config.projection_dim), np.float32)
    unique = list(dict.fromkeys(texts))
    order = sorted(range(len(unique)), key=lambda index: len(unique[index]))
    embeds = np.empty((len(unique), model.config.projection_dim), np.float32)
    with _inference(model), _bar(len(unique), progress, "texts") as bar:
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            inputs = processor(text=[unique[index] for index in chosen], return_tensors="pt").to(model.device)
            embeds[chosen] = _unit(model.get_text_features(**inputs).pooler_output).cpu().numpy()
            bar.update(len(chosen))
    row = {text: index for index, text in enumerate(unique)}
    return embeds[[row[text] for text in texts]]


def encode_motion(
    model,
    processor,
    motions,
    skeleton=None,
    fps=None,
    batch_size: int = 32,
    long_motions: str = "mean",
    progress: bool = False,
) -> np.ndarray:
    """Motions -> embeddings.

    Args:
        model (`MotionPatchModel` or `MotionPatchMotionModelWithProjection`): Runs on the device and in the dtype it has.
        processor (`MotionPatchProcessor` or `MotionPatchFeatureExtractor`): Makes the patches.
        motions (`np.ndarray` of shape `(T, J, 3)`, an object with `joints`, `fps` and `skeleton`, or a list of them):
            B motions, positions in metres, Y up.
        skeleton (`str`, `Skeleton` or list, *optional*): What the joints are; default: the extractor's own.
        fps (`float` or list, *optional*): Frame rate(s) [1/s]; default: the extractor's own.
        batch_size (`int`, *optional*, defaults to 32): Motions a forward pass; they are sorted by length.
        long_motions (`"mean"` or `"first"`, *optional*, defaults to `"mean"`):
            A motion longer than the model reads is the normalised mean over its windows (half overlapping), or its
            first window alone, as the processor cuts it.
        progress (`bool`, *optional*, defaults to `False`): Show a progress bar.

    Returns:
        `np.ndarray` of shape `(B, projection_dim)`, float32, unit length, in the order of `motions`.

    Raises:
        ValueError: A motion that cannot be read (`MotionInputError`), or a model without a motion tower.
    """
    if long_motions not in ("mean", "first"):
        raise ValueError(f"`long_motions` is {long_motions!r}; it must be 'mean' or 'first'.")
    extractor = getattr(processor, "feature_extractor", processor)
    _check_tower(model, "motion")
    arrays, skeletons, rates = as_motion_lists(extractor, motions, skeleton, fps)
    window, stride = window_frames(extractor)
    owners: list[int] = []

    def clips():
        for index, (joints, of_skeleton, rate) in enumerate(zip(arrays, skeletons, rates)):
            name = f"motion {index}" if len(arrays) > 1 else "motion"
            _, windows = cut_take(extractor, joints, of_skeleton, rate, window, stride, name)
            for clip in windows[: 1 if long_motions == "first" else None]:
                owners.append(index)
                yield clip

    embeds = encode_clips(model, extractor, clips(), batch_size, len(arrays) if progress else None)
    if len(embeds) == len(arrays):
        return embeds
    total = np.zeros((len(arrays), embeds.shape[1]), np.float32)
    np.add.at(total, owners, embeds)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), np.finfo(np.float32).tiny)


def as_motion_lists(feature_extractor, motions, skeleton=None, fps=None):
    """One motion or many -> lists of arrays, `Skeleton`s and frame rates of the same length.

    `skeleton` and `fps` are one for all, one a motion, or `None` for what the motions or the extractor say.
    """
    if not hasattr(feature_extractor, "joints_to_points"):
        raise ValueError(
            f"A {type(feature_extractor).__name__} makes no patches; pass a MotionPatchProcessor or its feature extractor."
        )
    arrays, skeletons, rates = feature_extractor._as_lists(motions, skeleton, fps)
    return arrays, [get_skeleton(of_skeleton) for of_skeleton in skeletons], [check_fps(rate) for rate in rates]


def encode_clips(
    model,
    feature_extractor,
    clips: Iterable[Clip],
    batch_size: int = 32,
    progress_total: int | None = None,
) -> np.ndarray:
    """Clips, e.g. of [`cut_take`], -> embeddings.

    Batches are made in a thread of their own while the model runs, of clips of similar lengths, and no higher than the
    longest of them where the extractor masks padding.

    Args:
        model: See [`encode_motion`].
        feature_extractor (`MotionPatchFeatureExtractor`): Makes the patches.
        clips (`Iterable`): What its `prepare` returns: (positions, `Skeleton`) pairs.
        batch_size (`int`, *optional*, defaults to 32): Clips a forward pass.
        progress_total (`int`, *optional*): Show a progress bar with this total.

    Returns:
        `np.ndarray` of shape `(B, projection_dim)`, float32, unit length, in the order of `clips`.
    """
    _check_batch_size(batch_size)
    _check_tower(model, "motion")
    pinned = model.device.type == "cuda"  # or the copy to the device would wait for what it computes
    outputs, waiting, rows = [], [], []
    batches = _prefetched(_batches(iter(clips), feature_extractor, batch_size, pinned))
    with _inference(model), _bar(progress_total, progress_total is not None, "motions") as bar:
        for chosen, inputs, ends_pool in batches:
            inputs = {name: value.to(model.device, non_blocking=True) for name, value in inputs.items()}
            waiting.append(_unit(model.get_motion_features(**inputs, trim_padding=False).pooler_output))
            rows += chosen
            bar.update(len(chosen))
            if ends_pool:  # one wait for the device a pool, not one a batch
                outputs.append(torch.cat(waiting).cpu().numpy()[np.argsort(rows)])
                waiting, rows = [], []
    return np.concatenate(outputs) if outputs else np.empty((0, model.config.projection_dim), np.float32)


def _batches(clips: Iterator[Clip], extractor, batch_size: int, pinned: bool) -> Iterator[tuple[list, dict, bool]]:
    """Rows within a pool, the model's inputs, and whether the pool ends with them."""
    for pool in _pools(clips, batch_size * POOL_BATCHES):
        frames = [channels.shape[1] for channels, _ in pool]
        order = sorted(range(len(pool)), key=frames.__getitem__)
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            height = extractor.height(frames[chosen[-1]])
            inputs = dict(extractor.pad([pool[index] for index in chosen], return_tensors="pt", num_frames=height))
            if "motion_attention_mask" in inputs and inputs["motion_attention_mask"].all():
                del inputs["motion_attention_mask"]  # attention is faster where nothing is masked
            if pinned:
                inputs = {name: value.pin_memory() for name, value in inputs.items()}
            yield chosen, inputs, first + batch_size >= len(order)


def _unit(features: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(features.float(), dim=-1)


def _check_batch_size(batch_size) -> None:
    if not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` is {batch_size!r}; it must be a whole number of at least 1.")


def _check_tower(model, side: str) -> None:
    if not hasattr(model, f"{side}_projection"):
        raise ValueError(
            f"{type(model).__name__} has no {side} tower, so it embeds no {side}s; load MotionPatchModel."
        )


@contextmanager
def _inference(model):
    """Evaluation mode and no gradients within, and the model's own mode again afterwards."""
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(training)


@contextmanager
def _bar(total: int | None, show: bool, unit: str) -> Iterator:
    from transformers.utils.logging import tqdm

    with tqdm(total=total, unit=unit[:-1], disable=not show, desc=f"Embedding {unit}") as bar:
        yield bar


def _pools(iterator: Iterator, size: int) -> Iterator[list]:
    while pool := list(islice(iterator, size)):
        yield pool


def _prefetched(iterator: Iterator) -> Iterator:
    """The same items, each made by a thread while the one before is in use; its exceptions are raised here."""
    items: queue.Queue = queue.Queue(maxsize=1)
    stopped = threading.Event()

    def put(kind, value) -> bool:
        while not stopped.is_set():
            try:
                items.put((kind, value), timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def produce():
        try:
            for item in iterator:
                if not put("item", item):
                    return
            put("end", None)
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the caller
            put("error", error)

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = items.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value
    finally:
        stopped.set()
        thread.join()


__all__ = [
    "as_motion_lists",
    "cut_take",
    "encode_clips",
    "encode_motion",
    "encode_text",
    "fast_dtype",
    "window_frames",
    "window_spans",
]
