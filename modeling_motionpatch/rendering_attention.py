"""A motion (T, J, 3) -> how much the motion tower attends to each body part over time, as numbers and as a picture.

The paper's Fig. 7. Attention is read from the ViT's layers (`output_attentions=True`); a cell of the map is one patch:
one body part during N frames. R rows of patches (time), C columns (body parts), H heads, L layers.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .rendering_base import (
    BACKGROUND,
    RenderingError,
    at_the_pelvis,
    bones_of,
    check_suffix,
    first_heading,
    view_matrix,
)
from .skeletons_motionpatch import BODY_PARTS, Skeleton


METHODS = ("rollout", "last")
QUERIES = ("pooled", "cls")
_SCALE = ("#e3e8ef", "#a9c3df", "#5f94c9", "#2b62a4", "#0b2c5f")  # light to dark: little to much attention
_ABSENT = "#ffffff"  # patches that the model is told to pass over
_CELL = (64, 26)  # pixels of a patch in the map
_STRIP = 150  # pixels high
_LEAST_WIDTH = 400  # pixels: the scale below needs so many
_LABELS = 84  # pixels for the names of the parts
_HEAD, _FOOT = 22, 44  # pixels for title, and for seconds and scale


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """How much a motion's embedding draws on each body part over time.

    Args:
        weights (`np.ndarray` of shape `(R, C)`): float32, sum 1; NaN for patches that are masked.
        parts (`tuple[str, ...]`): Names of the C columns.
        edges (`np.ndarray` of shape `(R + 1,)`): Where rows begin and end [s].
        padding (`float`): Share of the attention that went to padded patches, which are left out of `weights`.
        method (`str`): `"rollout"` or `"last"`.
        joints (`np.ndarray` of shape `(T, J, 3)`): What the model saw, at its own frame rate [m].
        skeleton (`Skeleton`): What the J joints are.
    """

    weights: np.ndarray
    parts: tuple[str, ...]
    edges: np.ndarray
    padding: float
    method: str
    joints: np.ndarray
    skeleton: Skeleton

    def by_part(self) -> dict[str, float]:
        """Sum over time for each body part."""
        return {name: float(np.nansum(column)) for name, column in zip(self.parts, self.weights.T)}


def attention_map(
    model,
    processor,
    motion,
    skeleton=None,
    fps: float | None = None,
    *,
    method: str = "rollout",
    query: str = "pooled",
) -> AttentionMap:
    """Computes the map of one motion.

    Args:
        model (`MotionPatchModel` or `MotionPatchMotionModelWithProjection`): One person, patches as input.
        processor (`MotionPatchProcessor` or `MotionPatchFeatureExtractor`): The model's.
        motion (`np.ndarray` of shape `(T, J, 3)`, or an object with `joints`, `fps` and `skeleton`): Metres, +Y up. Of
            a motion longer than the model reads, the beginning.
        skeleton, fps (*optional*): Where the motion does not say.
        method (`"rollout"` or `"last"`, *optional*, defaults to `"rollout"`):
            `"rollout"` multiplies the layers' attention, each mixed half and half with the identity for the residual
            connection (Abnar and Zuidema, 2020), heads averaged. `"last"` is the mean over the last layer's heads.
        query (`"pooled"` or `"cls"`, *optional*, defaults to `"pooled"`):
            Whose attention: of the tokens that the model pools (the [class] token, or the mean of the patches), or of
            the [class] token in any case.

    Returns:
        [`AttentionMap`]

    Raises:
        RenderingError: An unknown method, a model of several persons or without patches, or no [class] token.

    Example:

    ```python
    >>> attention_map(model, processor, motion).by_part()  # doctest: +SKIP
    {'torso': 0.19, 'left_arm': 0.18, 'right_arm': 0.31, 'left_leg': 0.16, 'right_leg': 0.16}
    ```
    """
    import torch

    from .embedding_motionpatch import as_motion_lists
    from .geometry_motionpatch import resample_joints

    for name, value, allowed in (("method", method, METHODS), ("query", query, QUERIES)):
        if value not in allowed:
            raise RenderingError(f"`{name}` is {value!r}; it must be one of {allowed}.")
    extractor = getattr(processor, "feature_extractor", processor)
    if extractor.num_persons != 1 or extractor.input_kind != "patches":
        raise RenderingError(
            f"The model reads {extractor.num_persons} person(s) as {extractor.input_kind!r}; attention over body parts "
            "and time is drawn for one person and patches."
        )
    arrays, skeletons, rates = as_motion_lists(extractor, motion, skeleton, fps)
    if len(arrays) != 1:
        raise RenderingError(f"{len(arrays)} motions were given; attention is drawn for one at a time.")
    inputs = extractor(arrays[0], skeleton=skeletons[0], fps=rates[0], return_tensors="pt")
    vit = model.motion_model.vit
    prefix = vit.num_prefix_tokens
    training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            output = model.get_motion_features(
                **{name: value.to(model.device) for name, value in inputs.items()}, output_attentions=True
            )
    finally:
        model.train(training)
    layers = np.stack([layer[0].float().mean(dim=0).cpu().numpy() for layer in output.attentions])  # (L, n, n)
    columns = len(extractor.part_order)
    rows = (layers.shape[-1] - prefix) // columns
    seen = np.ones((rows, columns), bool)
    if "motion_attention_mask" in inputs:
        seen = inputs["motion_attention_mask"][0].numpy().astype(bool)[:rows]
    pooled = "cls" if query == "cls" or model.config.motion_config.pooling == "cls" else "avg"
    if pooled == "cls" and vit.cls_token is None:
        raise RenderingError(f"{model.config.motion_config.architecture!r} has no [class] token; use query='pooled'.")
    weights = patch_weights(layers, seen, prefix, pooled, method)

    joints = resample_joints(arrays[0], rates[0], extractor.fps, extractor.resampling)[: extractor.max_frames]
    used = min(rows, -(-len(joints) // extractor.patch_size))
    weights = np.where(seen, weights, np.nan)
    shown = weights[:used]
    total = np.nansum(shown)
    edges = np.minimum(np.arange(used + 1) * extractor.patch_size, len(joints)) / extractor.fps
    return AttentionMap(
        (shown / total).astype(np.float32), tuple(extractor.part_order), edges, float(1 - total), method, joints, skeletons[0]
    )  # fmt: skip


def patch_weights(layers: np.ndarray, seen: np.ndarray, prefix: int, pooling: str, method: str) -> np.ndarray:
    """Attention between tokens -> attention to patches.

    Args:
        layers (`np.ndarray` of shape `(L, n, n)`): Mean over heads; rows are queries and sum to 1.
        seen (`np.ndarray` of shape `(R, C)`): Patches that are not masked; `prefix + R * C = n`.
        prefix (`int`): Tokens before the patches, the [class] token first.
        pooling (`"avg"` or `"cls"`): Which tokens ask: the patches that are not masked, or the [class] token.
        method (`"rollout"` or `"last"`): See [`attention_map`].

    Returns:
        `np.ndarray` of shape `(R, C)`: sum 1; attention to prefix tokens is left out.
    """
    asking = np.zeros(layers.shape[-1])
    if pooling == "cls":
        asking[0] = 1
    else:
        asking[prefix:] = seen.reshape(-1) / max(1, seen.sum())
    if method == "last":
        asking = asking @ layers[-1]
    else:
        for layer in layers[::-1]:
            asking = 0.5 * (asking + asking @ layer)
    patches = np.where(seen, asking[prefix:].reshape(seen.shape), 0.0)
    return patches / patches.sum()


# --------------------------------------------------------------------------------------------------------------------
# Picture


def render_attention(
    attention: AttentionMap, path: "str | Path" = "attention.png", *, title: str | None = None
) -> Path:
    """Draws a map: the moving skeleton above, its body parts coloured by attention, and parts by time below.

    Args:
        attention ([`AttentionMap`]): From [`attention_map`].
        path (`str` or `Path`): A `.png` file to write.
        title (`str`, *optional*): A line above, such as the caption.

    Returns:
        `Path`: The file.

    Example:

    ```python
    >>> render_attention(attention_map(model, processor, motion), "attention.png")  # doctest: +SKIP
    ```
    """
    from .rendering import _pil

    path = check_suffix(path, (".png",))
    Image, ImageDraw = _pil()
    from PIL import ImageFont

    weights = attention.weights
    rows, columns = weights.shape
    width, height = _CELL
    top = (_HEAD if title else 4) + _STRIP
    sheet = Image.new(
        "RGB", (max(_LABELS + rows * width + 12, _LEAST_WIDTH), top + columns * height + _FOOT), BACKGROUND
    )
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=11)
    span = (float(np.nanmin(weights)), float(np.nanmax(weights)))
    if title:
        draw.text((6, 4), title, fill="#222222", font=font)
    poses = _poses(attention, span, (width, _STRIP))
    for row in range(rows):
        sheet.paste(poses[row], (_LABELS + row * width, top - _STRIP))
        for column in range(columns):
            x, y = _LABELS + row * width, top + column * height
            draw.rectangle((x, y, x + width - 2, y + height - 2), fill=_color(weights[row, column], span))
    order = [BODY_PARTS.index(name) for name in attention.parts]
    for column in range(columns):
        name = BODY_PARTS[order[column]].replace("_", " ")
        draw.text((6, top + column * height + 6), name, fill="#222222", font=font)
    foot = top + columns * height + 2
    for row in range(rows + 1):
        label = f"{attention.edges[row]:.1f}" + (" s" if row == rows else "")
        x = _LABELS + row * width - 1
        draw.text(
            (x - font.getlength(label) / 2 if row < rows else x - font.getlength(label), foot),
            label,
            fill="#666666",
            font=font,
        )
    _draw_scale(draw, font, (_LABELS, foot + 22), span)
    sheet.save(path)
    return path


def _poses(attention: AttentionMap, span: tuple[float, float], size: tuple[int, int]) -> list:
    """The middle frame of each row of patches, its bones coloured by the attention to their part."""
    from .rendering import _Canvas, _draw_pose

    skeleton, rows = attention.skeleton, len(attention.weights)
    joints = np.asarray(attention.joints, np.float64).copy()
    per_second = len(joints) / attention.edges[-1]
    view = view_matrix(35.0 + first_heading(joints, skeleton), 12.0)  # the three-quarter view of `render_strip`
    middles = (0.5 * (attention.edges[:-1] + attention.edges[1:]) * per_second).astype(int)
    centred = joints[np.minimum(middles, len(joints) - 1)]
    centred = at_the_pelvis(centred, skeleton)
    centred[..., [0, 2]] -= centred[:, skeleton.pelvis][:, None, [0, 2]]
    seen = (centred @ view.T)[..., :2].reshape(-1, 2)
    low, top = seen.min(axis=0), seen.max(axis=0)
    part_of = {joint: part for part in BODY_PARTS[::-1] for joint in skeleton.chains[part]}
    images = []
    for row in range(rows):
        weight = dict(zip(attention.parts, attention.weights[row]))
        bones = [
            (a, b, _color(weight[part_of[b]], span) if b in part_of else _SCALE[0]) for a, b, _ in bones_of(skeleton)
        ]
        canvas = _Canvas(size, low, top)
        _draw_pose(canvas, centred[row], view, bones, width=4.0)
        images.append(canvas.finish())
    return images


def _color(weight: float, span: tuple[float, float]) -> str:
    """A weight -> its colour between the lowest and the highest of the map; white for a masked patch."""
    if not np.isfinite(weight):
        return _ABSENT
    low, high = span
    place = (len(_SCALE) - 1) * min(1.0, max(0.0, (weight - low) / max(high - low, 1e-12)))
    index = min(int(place), len(_SCALE) - 2)
    ends = [np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) for color in _SCALE[index : index + 2]]
    mixed = np.round(ends[0] + (place - index) * (ends[1] - ends[0])).astype(int)
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def _draw_scale(draw, font, corner: tuple[int, int], span: tuple[float, float], steps: int = 40) -> None:
    """A bar from the lowest to the highest share of a patch in the map."""
    x, y = corner
    for step in range(steps):
        draw.rectangle((x + 3 * step, y, x + 3 * step + 3, y + 9), fill=_color(step / (steps - 1), (0.0, 1.0)))
    low, high = (f"{100 * value:.1f} %" for value in span)
    draw.text((x - 6 - font.getlength(low), y - 2), low, fill="#666666", font=font)
    draw.text((x + 3 * steps + 8, y - 2), f"{high} of the attention, a patch", fill="#666666", font=font)


__all__ = ["AttentionMap", "attention_map", "patch_weights", "render_attention"]
