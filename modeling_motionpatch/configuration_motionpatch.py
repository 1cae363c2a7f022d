"""Configurations of the motion tower and of the dual encoder: every choice that shapes the weights, in one place."""

import difflib
import functools
import math

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, PreTrainedConfig
from transformers.models.auto import CONFIG_MAPPING


def refuse_misspelled(owner, fields, kwargs: dict) -> None:
    """transformers keeps unknown fields as attributes; one that nearly is a field of ours is a mistake, not an extra.

    Raises:
        ValueError: A name in `kwargs` resembles one of `fields`.
    """
    for name in kwargs:
        close = difflib.get_close_matches(name, list(fields), n=1, cutoff=0.85)
        if close and name not in PreTrainedConfig.__annotations__:
            raise ValueError(f"Unknown field `{name}` of {type(owner).__name__}; did you mean `{close[0]}`?")


@strict
class MotionPatchMotionConfig(PreTrainedConfig):
    r"""
    Configuration of the motion tower: a timm Vision Transformer that reads motion patches.

    Args:
        architecture (`str`, *optional*, defaults to `"vit_base_patch16_224"`):
            A Vision Transformer of timm, by its name (the ViTs of CLIP among them).
        architecture_kwargs (`dict`, *optional*):
            Arguments of `timm.create_model` that override the architecture's own, e.g.
            `{"embed_dim": 32, "depth": 2, "num_heads": 2}`.
        patch_size (`int`, *optional*, defaults to 16):
            N: points a body part and frames a patch [points, frames] (paper, Sec. 3.1; Table 10 has 8, 16 and 32).
        num_body_parts (`int`, *optional*, defaults to 5):
            Body parts side by side: the input is `num_body_parts * patch_size` points wide.
        max_frames (`int`, *optional*, defaults to 224):
            Frames of the longest input; a multiple of `patch_size` where `input_kind="patches"`.
        pooling (`"avg"` or `"cls"`, *optional*, defaults to `"avg"`):
            Mean over the attended patch tokens (official code) or the class token (paper).
        input_kind (`"patches"` or `"frames"`, *optional*, defaults to `"patches"`):
            `"frames"` makes every frame of `num_joints` joints one token: the ablation without patches (Table 4).
        num_joints (`int`, *optional*):
            J, width of the input where `input_kind="frames"`.
        num_channels (`int`, *optional*, defaults to 3):
            Channels of the input: x, y and z take the places of red, green and blue.
        final_norm (`"auto"`, `"pre_pool"` or `"post_pool"`, *optional*, defaults to `"auto"`):
            Where the ViT's last LayerNorm stands. `"auto"`: behind the pooling for `"avg"` (as the official code, where
            that norm is a new one), before it for `"cls"` (as pretrained).
        trim_padding (`bool`, *optional*, defaults to `True`):
            Drop the patch rows that no clip of a batch attends to before the first layer: the same result for less.
        initializer_range (`float`, *optional*, defaults to 0.02):
            Standard deviation of new weights.
        hidden_size (`int`, *optional*):
            D, the ViT's width; read from the architecture when not given.

    Example:

    ```python
    >>> from modeling_motionpatch import MotionPatchMotionConfig
    >>> config = MotionPatchMotionConfig(architecture_kwargs={"embed_dim": 32, "depth": 2, "num_heads": 2})
    >>> config.image_size, config.hidden_size
    ((224, 80), 32)
    ```
    """

    model_type = "motionpatch_motion_model"
    base_config_key = "motion_config"

    architecture: str = "vit_base_patch16_224"
    architecture_kwargs: dict | None = None
    patch_size: int = 16
    num_body_parts: int = 5
    max_frames: int = 224
    pooling: str = "avg"
    input_kind: str = "patches"
    num_joints: int | None = None
    num_channels: int = 3
    final_norm: str = "auto"
    trim_padding: bool = True
    initializer_range: float = 0.02
    hidden_size: int | None = None

    def __post_init__(self, **kwargs):
        refuse_misspelled(self, type(self).__annotations__, kwargs)
        self.architecture_kwargs = dict(self.architecture_kwargs or {})
        if self.hidden_size is None:
            self.hidden_size = self.architecture_kwargs.get("embed_dim") or _architecture_shape(self.architecture)[0]
        super().__post_init__(**kwargs)

    @property
    def image_size(self) -> tuple[int, int]:
        """(frames, points): the size of the "image" that the ViT reads."""
        return (self.max_frames, self.num_joints if self.input_kind == "frames" else self.image_width)

    @property
    def image_width(self) -> int:
        """Points across all body parts, `num_body_parts * patch_size`."""
        return self.num_body_parts * self.patch_size

    @property
    def token_size(self) -> tuple[int, int]:
        """(frames, points) that make one token."""
        return (1, self.num_joints) if self.input_kind == "frames" else (self.patch_size, self.patch_size)

    @property
    def grid_size(self) -> tuple[int, int]:
        """(rows, columns) of tokens: 14 x 5 in the paper."""
        (height, width), (frames, points) = self.image_size, self.token_size
        return height // frames, width // points

    @property
    def num_hidden_layers(self) -> int:
        """Layers of the ViT."""
        return self.architecture_kwargs.get("depth") or _architecture_shape(self.architecture)[1]

    @property
    def num_attention_heads(self) -> int:
        """Attention heads a layer."""
        return self.architecture_kwargs.get("num_heads") or _architecture_shape(self.architecture)[2]

    def validate_motion_tower(self):
        """Part of `@strict`'s validation: the fields have to fit each other."""
        for name, allowed in (
            ("pooling", ("avg", "cls")),
            ("input_kind", ("patches", "frames")),
            ("final_norm", ("auto", "pre_pool", "post_pool")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; it must be one of {allowed}.")
        for name in ("patch_size", "num_body_parts", "max_frames", "num_channels"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}; it must be at least 1.")
        if self.input_kind == "patches" and self.max_frames % self.patch_size:
            raise ValueError(
                f"`max_frames` ({self.max_frames}) must be a multiple of `patch_size` ({self.patch_size}), since a "
                f"patch is {self.patch_size} frames high; {self.max_frames // self.patch_size * self.patch_size or self.patch_size} would do."
            )
        if self.input_kind == "frames" and not self.num_joints:
            raise ValueError('`input_kind="frames"` needs `num_joints`, the joints of the skeleton it reads.')


@functools.lru_cache
def _architecture_shape(architecture: str) -> tuple[int, int, int | None]:
    """Width D, layers and heads a layer of a timm ViT, without its weights (built on the meta device)."""
    import timm
    import torch

    if not timm.is_model(architecture):
        raise ValueError(
            f"`architecture` is {architecture!r}, which timm {timm.__version__} does not know. "
            "`timm.list_models('vit_*')` lists the names."
        )
    try:
        with torch.device("meta"):
            model = timm.create_model(architecture, pretrained=False, num_classes=0)
    except (RuntimeError, NotImplementedError):  # up to timm 1.0.20, building reads values of tensors
        model = timm.create_model(architecture, pretrained=False, num_classes=0)
    heads = [module.num_heads for module in model.modules() if hasattr(module, "num_heads")]
    return model.num_features, len(getattr(model, "blocks", ())), heads[0] if heads else None


@strict
class MotionPatchConfig(PreTrainedConfig):
    r"""
    Configuration of [`MotionPatchModel`]: a motion tower, a text tower and the space they share.

    Args:
        motion_config (`MotionPatchMotionConfig` or `dict`, *optional*): The motion tower; ViT-B/16 by default.
        text_config (`PreTrainedConfig` or `dict`, *optional*):
            The text tower: any configuration that `AutoModel` knows; DistilBERT by default.
        projection_dim (`int`, *optional*, defaults to 256): Width of the shared space (paper, Sec. 3.3).
        projection_dropout (`float`, *optional*, defaults to 0.5):
            Dropout in both heads; the official code has 0.5 for HumanML3D and 0.0 for KIT-ML.
        projection_kind (`"mlp"` or `"linear"`, *optional*, defaults to `"mlp"`):
            `"mlp"` is the official head (Linear, GELU, Linear, dropout, residual, LayerNorm); `"linear"` is CLIP's.
        logit_scale_init_value (`float`, *optional*, defaults to ln(1 / 0.07)):
            Logarithm of the inverse temperature.
        learn_logit_scale (`bool`, *optional*, defaults to `False`):
            Train the temperature; the paper and the official code keep 0.07.
        max_logit_scale (`float`, *optional*, defaults to 100.0): Bound on a learned inverse temperature (as CLIP).
        text_pooling (`"cls"`, `"mean"` or `"eos"`, *optional*, defaults to `"cls"`):
            First token (DistilBERT), mean over the attended tokens, or the last attended token (CLIP's text model).
        num_persons (`int`, *optional*, defaults to 1):
            Persons a motion; the tower is shared and the features are concatenated before the head (paper, Sec. 4.6).
        loss_reduction (`"mean"` or `"sum"`, *optional*, defaults to `"mean"`):
            Mean of both directions (official code) or their sum (paper, eq. 4).

    Example:

    ```python
    >>> from modeling_motionpatch import MotionPatchConfig, MotionPatchModel
    >>> model = MotionPatchModel(MotionPatchConfig(
    ...     motion_config={"architecture_kwargs": {"embed_dim": 32, "depth": 2, "num_heads": 2}},
    ...     text_config={"model_type": "distilbert", "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    ... ))
    ```
    """

    model_type = "motionpatch"
    sub_configs = {"motion_config": MotionPatchMotionConfig, "text_config": AutoConfig}

    motion_config: dict | PreTrainedConfig | None = None
    text_config: dict | PreTrainedConfig | None = None
    projection_dim: int = 256
    projection_dropout: float | int = 0.5
    projection_kind: str = "mlp"
    logit_scale_init_value: float | int = math.log(1 / 0.07)
    learn_logit_scale: bool = False
    max_logit_scale: float | int = 100.0
    text_pooling: str = "cls"
    num_persons: int = 1
    loss_reduction: str = "mean"
    initializer_range: float = 0.02

    def __post_init__(self, **kwargs):
        if not type(self).__module__.startswith("transformers_modules"):
            kwargs.pop("custom_pipelines", None)  # the package has registered them itself; no remote code is needed
        refuse_misspelled(self, type(self).__annotations__, kwargs)
        if self.motion_config is None:
            self.motion_config = MotionPatchMotionConfig()
        elif isinstance(self.motion_config, dict):
            self.motion_config = MotionPatchMotionConfig(
                **{key: value for key, value in self.motion_config.items() if key != "model_type"}
            )
        if self.text_config is None:
            self.text_config = CONFIG_MAPPING["distilbert"]()
        elif isinstance(self.text_config, dict):
            text_config = dict(self.text_config)
            model_type = text_config.pop("model_type", "distilbert")
            if model_type not in CONFIG_MAPPING:
                raise ValueError(f"`text_config` has model_type {model_type!r}, which transformers does not know.")
            self.text_config = CONFIG_MAPPING[model_type](**text_config)
        if self.text_config.model_type == "clip":  # a whole CLIP: its text model alone
            self.text_config = self.text_config.text_config
        if not hasattr(self.text_config, "hidden_size") or getattr(self.text_config, "is_encoder_decoder", False):
            raise ValueError(
                f"`text_config` has model_type {self.text_config.model_type!r}, which is no text encoder alone (an encoder "
                "and decoder, or several towers); DistilBERT, BERT, RoBERTa, MPNet or a CLIP text model would do."
            )
        super().__post_init__(**kwargs)

    def validate_dual_encoder(self):
        """Part of `@strict`'s validation: the fields have to fit each other."""
        for name, allowed in (
            ("text_pooling", ("cls", "mean", "eos")),
            ("projection_kind", ("mlp", "linear")),
            ("loss_reduction", ("mean", "sum")),
        ):
            if getattr(self, name) not in allowed:
                raise ValueError(f"`{name}` is {getattr(self, name)!r}; it must be one of {allowed}.")
        if not 0.0 <= self.projection_dropout < 1.0:
            raise ValueError(f"`projection_dropout` is {self.projection_dropout}; it must be in [0, 1).")
        for name in ("projection_dim", "num_persons"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name}` is {getattr(self, name)}; it must be at least 1.")


__all__ = ["MotionPatchConfig", "MotionPatchMotionConfig"]
