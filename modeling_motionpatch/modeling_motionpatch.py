"""Motion patches (B, 3, frames, points) and token ids (B, L) -> unit-length embeddings (B, P) in one space, and their loss.

From top to bottom: outputs, heads and text pooling, the dual encoder, its single towers. B batch, T frames, N patch size, D
width of a tower, P projection, R x C grid of patches (14 x 5 in the paper).
"""

from dataclasses import dataclass

import torch
from torch import nn
from transformers import AutoModel, PreTrainedModel
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import ModelOutput, can_return_tuple, logging

from .configuration_motionpatch import MotionPatchConfig
from .loading_motionpatch import IntactLoading, load_motion_tower, load_text_tower
from .loss_motionpatch import contrastive_loss
from .motion_tower_motionpatch import MOTION_INPUTS, MotionPatchMotionModel, build_vit, refuse_unread_inputs


logger = logging.get_logger(__name__)


@dataclass
class MotionPatchOutput(ModelOutput):
    r"""
    Args:
        loss (`torch.FloatTensor` of shape `(1,)`, *optional*, returned when `return_loss` is `True`):
            Symmetric contrastive loss.
        logits_per_motion (`torch.FloatTensor` of shape `(motion_batch, text_batch)`):
            Cosine similarities divided by the temperature.
        logits_per_text (`torch.FloatTensor` of shape `(text_batch, motion_batch)`): The transpose.
        text_embeds (`torch.FloatTensor` of shape `(text_batch, projection_dim)`): Unit length.
        motion_embeds (`torch.FloatTensor` of shape `(motion_batch, projection_dim)`): Unit length.
        text_model_output (`BaseModelOutputWithPooling`): The text tower's output.
        motion_model_output (`BaseModelOutputWithPooling`): The motion tower's output.
    """

    loss: torch.FloatTensor | None = None
    logits_per_motion: torch.FloatTensor | None = None
    logits_per_text: torch.FloatTensor | None = None
    text_embeds: torch.FloatTensor | None = None
    motion_embeds: torch.FloatTensor | None = None
    text_model_output: BaseModelOutputWithPooling | None = None
    motion_model_output: BaseModelOutputWithPooling | None = None

    def to_tuple(self) -> tuple:
        return tuple(value.to_tuple() if isinstance(value, ModelOutput) else value for value in self.values())


@dataclass
class MotionPatchMotionOutput(ModelOutput):
    r"""
    Args:
        motion_embeds (`torch.FloatTensor` of shape `(B, projection_dim)`): Unit length.
        last_hidden_state (`torch.FloatTensor` of shape `(B * persons, tokens, D)`): The motion tower's.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): Before each layer and after the last.
        attentions (`tuple[torch.FloatTensor]`, *optional*): `(B * persons, heads, tokens, tokens)` of each layer.
    """

    motion_embeds: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


@dataclass
class MotionPatchTextOutput(ModelOutput):
    r"""
    Args:
        text_embeds (`torch.FloatTensor` of shape `(B, projection_dim)`): Unit length.
        last_hidden_state (`torch.FloatTensor` of shape `(B, L, D)`): The text tower's.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): Before each layer and after the last.
        attentions (`tuple[torch.FloatTensor]`, *optional*): `(B, heads, L, L)` of each layer.
    """

    text_embeds: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None
    hidden_states: tuple[torch.FloatTensor, ...] | None = None
    attentions: tuple[torch.FloatTensor, ...] | None = None


# --------------------------------------------------------------------------------------------------------------------
# Heads


class MotionPatchProjectionHead(nn.Module):
    """(B, D) -> (B, P): the official head (Linear, GELU, Linear, dropout, residual, LayerNorm), or one Linear."""

    def __init__(self, in_features: int, config: MotionPatchConfig):
        super().__init__()
        self.kind = config.projection_kind
        self.projection = nn.Linear(in_features, config.projection_dim, bias=self.kind == "mlp")
        if self.kind == "mlp":
            self.activation = nn.GELU()
            self.fc = nn.Linear(config.projection_dim, config.projection_dim)
            self.dropout = nn.Dropout(config.projection_dropout)
            self.layer_norm = nn.LayerNorm(config.projection_dim)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        projected = self.projection(features)
        if self.kind == "linear":
            return projected
        return self.layer_norm(self.dropout(self.fc(self.activation(projected))) + projected)


def pool_text(hidden: torch.Tensor, attention_mask: torch.Tensor | None, pooling: str) -> torch.Tensor:
    """Token features (B, L, D) -> (B, D): the first token, the mean of the attended ones, or the last attended one."""
    if pooling == "cls":
        return hidden[:, 0]
    if attention_mask is None:
        return hidden[:, -1] if pooling == "eos" else hidden.mean(dim=1)
    if pooling == "eos":
        position = torch.arange(hidden.shape[1], device=hidden.device)
        last = (position * attention_mask.bool()).argmax(dim=1)  # with padding on either side
        return hidden[torch.arange(len(hidden), device=hidden.device), last]
    weight = attention_mask.to(hidden.dtype)[..., None]
    return (hidden * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


# --------------------------------------------------------------------------------------------------------------------
# Models


class MotionPatchPreTrainedModel(IntactLoading, PreTrainedModel):
    """Weights, loading and saving, common to the dual encoder and its single towers."""

    config: MotionPatchConfig
    config_class = MotionPatchConfig
    base_model_prefix = "motionpatch"
    input_modalities = ("motion", "text")
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = False
    _no_split_modules = ["Block", "TransformerBlock", "BertLayer", "RobertaLayer", "CLIPEncoderLayer"]
    accepts_loss_kwargs = False  # `Trainer` divides the loss by the accumulation steps itself

    def __init__(self, config: MotionPatchConfig, *args, **kwargs):
        if getattr(config, "model_type", None) != MotionPatchConfig.model_type:
            raise ValueError(
                f"{type(self).__name__} takes a MotionPatchConfig (model_type {MotionPatchConfig.model_type!r}), not "
                f"{type(config).__name__} (model_type {getattr(config, 'model_type', None)!r})."
            )
        super().__init__(config, *args, **kwargs)

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        if getattr(module, "logit_scale", None) is not None and isinstance(module, MotionPatchPreTrainedModel):
            init.constant_(module.logit_scale, self.config.logit_scale_init_value)

    def _output_flags(self, output_attentions: bool | None, output_hidden_states: bool | None) -> dict[str, bool]:
        """What a tower is to be told: what the call or this model's configuration asks for; else it decides itself."""
        flags = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        flags = {name: getattr(self.config, name) or None if flag is None else flag for name, flag in flags.items()}
        return {name: flag for name, flag in flags.items() if flag is not None}


class MotionSideMixin:
    """The motion tower with its head."""

    def _build_motion_side(self, config: MotionPatchConfig):
        self.motion_model = MotionPatchMotionModel._from_config(config.motion_config)
        features = config.num_persons * config.motion_config.hidden_size
        self.motion_projection = MotionPatchProjectionHead(features, config)

    @can_return_tuple
    def get_motion_features(
        self,
        motion_values: torch.FloatTensor,
        motion_attention_mask: torch.LongTensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        trim_padding: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        r"""
        Args:
            motion_values (`torch.FloatTensor` of shape `(B, 3, T, W)`, or `(B, persons, 3, T, W)`): Motion patches.
            motion_attention_mask (`torch.LongTensor` of shape `(B, R, C)`, or `(B, persons, R, C)`, *optional*).
            trim_padding (`bool`, *optional*): As of [`MotionPatchMotionModel`].

        Returns:
            `BaseModelOutputWithPooling`: `pooler_output` `(B, projection_dim)` is projected and not normalised;
            `last_hidden_state` is the tower's, `(B * persons, tokens, D)`.
        """
        refuse_unread_inputs(self, kwargs)
        persons = self.config.num_persons
        if persons > 1:
            if motion_values.ndim != 5 or motion_values.shape[1] != persons:
                raise ValueError(
                    f"`motion_values` has shape {tuple(motion_values.shape)}; this model reads {persons} persons, "
                    f"(B, {persons}, 3, T, W)."
                )
            motion_values = motion_values.flatten(0, 1)
            motion_attention_mask = None if motion_attention_mask is None else motion_attention_mask.flatten(0, 1)
        output = self.motion_model(
            motion_values=motion_values,
            motion_attention_mask=motion_attention_mask,
            trim_padding=trim_padding,
            return_dict=True,
            **self._output_flags(output_attentions, output_hidden_states),
        )
        features = output.pooler_output.reshape(-1, persons * output.pooler_output.shape[-1])
        output.pooler_output = self.motion_projection(features)
        return output


class TextSideMixin:
    """The text tower with its head."""

    def _build_text_side(self, config: MotionPatchConfig):
        self.text_model = AutoModel.from_config(config.text_config)
        if isinstance(getattr(self.text_model, "pooler", None), nn.Module):
            # `pool_text` pools; DistributedDataParallel refuses trainable parameters that get no gradient.
            self.text_model.pooler.requires_grad_(False)
        self.text_projection = MotionPatchProjectionHead(config.text_config.hidden_size, config)

    def get_input_embeddings(self) -> nn.Module:
        return self.text_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module):
        self.text_model.set_input_embeddings(value)

    @can_return_tuple
    def get_text_features(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPooling:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(B, L)`): Token ids.
            attention_mask (`torch.LongTensor` of shape `(B, L)`, *optional*): 1 for tokens to attend to.
            kwargs: Further inputs of the text tower, e.g. `position_ids` or `inputs_embeds`; those of a motion are
                passed over.

        Returns:
            `BaseModelOutputWithPooling`: `pooler_output` `(B, projection_dim)` is projected and not normalised.
        """
        refuse_unread_inputs(self, kwargs)
        kwargs = {name: value for name, value in kwargs.items() if name not in MOTION_INPUTS}  # of a whole batch
        output = self.text_model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            return_dict=True,
            **self._output_flags(output_attentions, output_hidden_states),
            **kwargs,
        )
        pooled = pool_text(output.last_hidden_state, attention_mask, self.config.text_pooling)
        return BaseModelOutputWithPooling(
            last_hidden_state=output.last_hidden_state,
            pooler_output=self.text_projection(pooled),
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )


class MotionPatchModel(MotionSideMixin, TextSideMixin, MotionPatchPreTrainedModel):
    r"""
    The dual encoder of "Exploring Vision Transformers for 3D Human Motion-Language Models with Motion Patches" (CVPR 2024).

    Example:

    ```python
    >>> import torch
    >>> from modeling_motionpatch import MotionPatchConfig, MotionPatchModel
    >>> config = MotionPatchConfig(
    ...     motion_config={"architecture_kwargs": {"embed_dim": 32, "depth": 2, "num_heads": 2}},
    ...     text_config={"model_type": "distilbert", "dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 64},
    ... )
    >>> model = MotionPatchModel(config).eval()
    >>> output = model(input_ids=torch.ones(2, 5, dtype=torch.long), motion_values=torch.randn(2, 3, 224, 80))
    >>> output.logits_per_text.shape
    torch.Size([2, 2])
    ```
    """

    def __init__(self, config: MotionPatchConfig):
        super().__init__(config)
        self._build_motion_side(config)
        self._build_text_side(config)
        self.logit_scale = nn.Parameter(
            torch.tensor(float(config.logit_scale_init_value)), requires_grad=config.learn_logit_scale
        )
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        motion_values: torch.FloatTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        motion_attention_mask: torch.LongTensor | None = None,
        return_loss: bool | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> MotionPatchOutput:
        r"""
        Args:
            input_ids (`torch.LongTensor` of shape `(text_batch, L)`): Token ids.
            motion_values (`torch.FloatTensor` of shape `(motion_batch, 3, T, W)`): Motion patches; a person axis behind
                the first where `config.num_persons > 1`.
            attention_mask (`torch.LongTensor` of shape `(text_batch, L)`, *optional*): 1 for tokens to attend to.
            motion_attention_mask (`torch.LongTensor` of shape `(motion_batch, R, C)`, *optional*): 1 for patches to
                attend to; without it everything is attended to, padding too.
            return_loss (`bool`, *optional*): Compute the loss over this process's batch, text i belonging to motion i.
                [`contrastive_loss`] takes the embeddings of all processes.

        Returns:
            `MotionPatchOutput`.
        """
        if (input_ids is None and kwargs.get("inputs_embeds") is None) or motion_values is None:
            missing = "motion_values" if motion_values is None else "input_ids"
            raise ValueError(
                f"`{missing}` is missing: the model compares texts with motions. `get_text_features` and "
                "`get_motion_features` embed one of them."
            )
        outputs = {"output_attentions": output_attentions, "output_hidden_states": output_hidden_states}
        text = self.get_text_features(input_ids, attention_mask, return_dict=True, **outputs, **kwargs)
        motion = self.get_motion_features(motion_values, motion_attention_mask, return_dict=True, **outputs)
        text_embeds = nn.functional.normalize(text.pooler_output, dim=-1)
        motion_embeds = nn.functional.normalize(motion.pooler_output, dim=-1)
        scale = self.logit_scale_value()
        logits_per_text = text_embeds @ motion_embeds.T * scale.to(text_embeds.dtype)
        loss = None
        if return_loss:
            loss = contrastive_loss(motion_embeds, text_embeds, scale, reduction=self.config.loss_reduction)
        return MotionPatchOutput(
            loss=loss,
            logits_per_motion=logits_per_text.T,
            logits_per_text=logits_per_text,
            text_embeds=text_embeds,
            motion_embeds=motion_embeds,
            text_model_output=text,
            motion_model_output=motion,
        )

    def logit_scale_value(self) -> torch.Tensor:
        """The inverse temperature, a float32 scalar, bounded by `config.max_logit_scale`."""
        return self.logit_scale.float().exp().clamp(max=self.config.max_logit_scale)

    @classmethod
    def from_motion_text_pretrained(
        cls, motion_name_or_path: str | None = None, text_name_or_path: str | None = None, **kwargs
    ) -> "MotionPatchModel":
        r"""
        Starts a dual encoder from an image ViT and a text model, as the paper does from ImageNet-21k and DistilBERT.

        Args:
            motion_name_or_path (`str`, *optional*):
                A timm name (`"vit_base_patch16_224.augreg_in21k"`), a Hub name (`"timm/..."`), a folder that timm
                saved, or a file of its weights (`.safetensors`; `.pth` is read with `weights_only=True`) with
                `motion_architecture=`. `None` starts the tower from random weights.
            text_name_or_path (`str`, *optional*): A name or folder that `AutoModel` loads; a CLIP checkpoint gives its
                text model. `None` starts the tower from random weights (`text_config=`).
            kwargs: Fields of [`MotionPatchConfig`]; with the prefix `motion_` those of its motion config, with
                `text_` those of its text config (`text_pooling`, `motion_config` and `text_config` are taken as a whole).

        Returns:
            `MotionPatchModel`: Both heads are new. Position embeddings are resized to the grid of motion patches
            (14 x 14 -> 14 x 5), patch embeddings to the patch size.

        Raises:
            ValueError: The motion weights do not fit the architecture.

        Example:

        ```python
        >>> model = MotionPatchModel.from_motion_text_pretrained(
        ...     "vit_base_patch16_224.augreg_in21k", "distilbert-base-uncased", projection_dropout=0.5
        ... )  # doctest: +SKIP
        ```
        """
        own = {key: kwargs.pop(key) for key in ("text_pooling", "motion_config", "text_config") if key in kwargs}
        motion_kwargs = {k[len("motion_") :]: kwargs.pop(k) for k in list(kwargs) if k.startswith("motion_")}
        text_kwargs = {k[len("text_") :]: kwargs.pop(k) for k in list(kwargs) if k.startswith("text_")}
        motion_config, motion_state = load_motion_tower(
            motion_name_or_path, own.pop("motion_config", None), motion_kwargs, build_vit
        )
        text_config, text_state = load_text_tower(text_name_or_path, own.pop("text_config", None), text_kwargs)
        if "text_pooling" not in own and "clip" in text_config.model_type:
            own["text_pooling"] = "eos"
        config = cls.config_class(motion_config=motion_config, text_config=text_config, **own, **kwargs)
        model = cls(config)
        if motion_state is not None:
            model.motion_model.vit.load_state_dict(motion_state, strict=True)
        if text_state is not None:
            model.text_model.load_state_dict(text_state, strict=True)
        logger.info("Both projection heads are new; train the model before using its embeddings.")
        return model


class MotionPatchMotionModelWithProjection(MotionSideMixin, MotionPatchPreTrainedModel):
    """The motion tower and its head alone; `from_pretrained` reads them from a full checkpoint too.

    `forward` takes what [`MotionPatchModel.get_motion_features`] takes and returns a
    [`MotionPatchMotionOutput`] with unit-length `motion_embeds`.
    """

    main_input_name = "motion_values"
    input_modalities = ("motion",)
    _keys_to_ignore_on_load_unexpected = [r"^text_model\.", r"^text_projection\.", r"^logit_scale$"]

    def __init__(self, config: MotionPatchConfig):
        super().__init__(config)
        self._build_motion_side(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.motion_model.get_input_embeddings()

    @can_return_tuple
    def forward(
        self,
        motion_values: torch.FloatTensor,
        motion_attention_mask: torch.LongTensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> MotionPatchMotionOutput:
        output = self.get_motion_features(
            motion_values, motion_attention_mask, output_attentions, output_hidden_states, return_dict=True, **kwargs
        )
        return MotionPatchMotionOutput(
            motion_embeds=nn.functional.normalize(output.pooler_output, dim=-1),
            last_hidden_state=output.last_hidden_state,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )


class MotionPatchTextModelWithProjection(TextSideMixin, MotionPatchPreTrainedModel):
    """The text tower and its head alone; `from_pretrained` reads them from a full checkpoint too.

    `forward` takes what [`MotionPatchModel.get_text_features`] takes and returns a
    [`MotionPatchTextOutput`] with unit-length `text_embeds`.
    """

    input_modalities = ("text",)
    _keys_to_ignore_on_load_unexpected = [r"^motion_model\.", r"^motion_projection\.", r"^logit_scale$"]

    def __init__(self, config: MotionPatchConfig):
        super().__init__(config)
        self._build_text_side(config)
        self.post_init()

    @can_return_tuple
    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.LongTensor | None = None,
        output_attentions: bool | None = None,
        output_hidden_states: bool | None = None,
        **kwargs,
    ) -> MotionPatchTextOutput:
        output = self.get_text_features(
            input_ids, attention_mask, output_attentions, output_hidden_states, return_dict=True, **kwargs
        )
        return MotionPatchTextOutput(
            text_embeds=nn.functional.normalize(output.pooler_output, dim=-1),
            last_hidden_state=output.last_hidden_state,
            hidden_states=output.hidden_states,
            attentions=output.attentions,
        )


__all__ = [
    "MotionPatchModel",
    "MotionPatchMotionModelWithProjection",
    "MotionPatchMotionOutput",
    "MotionPatchOutput",
    "MotionPatchPreTrainedModel",
    "MotionPatchTextModelWithProjection",
    "MotionPatchTextOutput",
]
