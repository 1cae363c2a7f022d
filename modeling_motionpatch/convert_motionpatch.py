"""A published checkpoint of the official code (`best_model.pt`) -> `MotionPatchModel`."""

import os

from transformers.models.auto import CONFIG_MAPPING

from .configuration_motionpatch import MotionPatchConfig, MotionPatchMotionConfig
from .loading_motionpatch import read_state_dict
from .modeling_motionpatch import MotionPatchModel


_PREFIXES = (  # official -> ours
    ("motion_encoder.model.", "motion_model.vit."),
    ("text_encoder.text_model.", "text_model."),
    ("motion_projection.", "motion_projection."),
    ("text_projection.", "text_projection."),
)
_BUFFERS = ("text_model.embeddings.position_ids",)  # saved by older transformers, computed by newer ones
_HEAD_WIDTH = 64  # of every published ViT and of DistilBERT; state dicts do not tell the number of heads
_STANDARD_WIDTHS = (192, 384, 768, 1024)


def convert_official_checkpoint(path: str | os.PathLike, config: MotionPatchConfig | None = None) -> MotionPatchModel:
    """Reads a `.pt` of the official code, with `weights_only=True`, into a `MotionPatchModel`.

    The processor that belongs to it is [`MotionPatchFeatureExtractor.official`] with the data set's `Mean_raw.npy` and
    `Std_raw.npy`, and the tokenizer of `distilbert-base-uncased`.

    Args:
        path (`str`): The state dict that the official training script saved.
        config (`MotionPatchConfig`, *optional*):
            Read from the shapes when not given, which is possible for the standard widths (heads 64 wide).

    Returns:
        `MotionPatchModel`: in eval mode and float32.

    Raises:
        ValueError: The file is corrupt, would run code, is no checkpoint of the official code, or does not fit `config`.

    Example:

    ```python
    >>> from modeling_motionpatch import convert_official_checkpoint
    >>> model = convert_official_checkpoint("checkpoints/pretrained/HumanML3D/best_model.pt")  # doctest: +SKIP
    >>> model.save_pretrained("motionpatch-humanml3d")  # doctest: +SKIP
    ```
    """
    state = {}
    for key, value in read_state_dict(path).items():
        for theirs, ours in _PREFIXES:
            if key.startswith(theirs):
                state[ours + key[len(theirs) :]] = value.float()
        if key == "logit_scale":
            state[key] = value.float()
    if "motion_model.vit.patch_embed.proj.weight" not in state or "text_projection.fc.weight" not in state:
        raise ValueError(
            f"{str(path)!r} is no checkpoint of the official code: `motion_encoder.model.*`, `text_encoder.text_model.*`, "
            "`motion_projection.*` and `text_projection.*` are expected."
        )
    state = {key: value for key, value in state.items() if key not in _BUFFERS}
    if config is None:
        config = _config_from_shapes(state, path)
    model = MotionPatchModel(config)
    own = model.state_dict()
    missing, unexpected = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    wrong = [
        f"{key} is {tuple(value.shape)} in the file and {tuple(own[key].shape)} in the configuration"
        for key, value in state.items()
        if key in own and own[key].shape != value.shape
    ]
    if missing or unexpected or wrong:
        raise ValueError(
            f"{str(path)!r} does not fit the configuration: missing {missing[:3]}, unexpected {unexpected[:3]}, "
            f"{'; '.join(wrong[:3]) or 'no shape differs'}."
        )
    model.load_state_dict(state, strict=True)
    return model.eval()


def _count(state: dict, prefix: str) -> int:
    """Number of layers under `prefix`."""
    return 1 + max(int(key[len(prefix) :].split(".")[0]) for key in state if key.startswith(prefix))


def _heads(width: int, tower: str, path) -> int:
    if width not in _STANDARD_WIDTHS:
        raise ValueError(
            f"{str(path)!r} has a {tower} tower {width} wide, whose number of attention heads cannot be told from the "
            f"weights (known: {_STANDARD_WIDTHS}, {_HEAD_WIDTH} a head). Pass `config=`."
        )
    return width // _HEAD_WIDTH


def _config_from_shapes(state: dict, path) -> MotionPatchConfig:
    projection = state["motion_model.vit.patch_embed.proj.weight"]  # (D, 3, N, N)
    width, channels, _, patch_size = projection.shape
    tokens = state["motion_model.vit.pos_embed"].shape[1] - 1
    parts = MotionPatchMotionConfig.num_body_parts
    hidden, inner = state["motion_model.vit.blocks.0.mlp.fc1.weight"].shape[::-1]
    motion_config = MotionPatchMotionConfig(
        architecture="vit_base_patch16_224",
        architecture_kwargs={
            "embed_dim": width,
            "depth": _count(state, "motion_model.vit.blocks."),
            "num_heads": _heads(width, "motion", path),
            "mlp_ratio": inner / hidden,
        },
        patch_size=patch_size,
        num_channels=channels,
        max_frames=tokens // parts * patch_size,
        pooling="avg",
    )
    vocabulary, dim = state["text_model.embeddings.word_embeddings.weight"].shape
    text_config = CONFIG_MAPPING["distilbert"](
        vocab_size=vocabulary,
        dim=dim,
        n_layers=_count(state, "text_model.transformer.layer."),
        n_heads=_heads(dim, "text", path),
        hidden_dim=state["text_model.transformer.layer.0.ffn.lin1.weight"].shape[0],
        max_position_embeddings=state["text_model.embeddings.position_embeddings.weight"].shape[0],
    )
    scale = state.get("logit_scale")
    return MotionPatchConfig(
        motion_config=motion_config,
        text_config=text_config,
        projection_dim=state["motion_projection.projection.weight"].shape[0],
        **({} if scale is None else {"logit_scale_init_value": float(scale)}),
    )


__all__ = ["convert_official_checkpoint"]
