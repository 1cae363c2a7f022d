"""Motion patches (B, 3, T, W) -> features (B, D): a timm Vision Transformer that neither sees nor pools padding.

B batch, T frames, W points (5 * N), N patch size, D width, R x C grid of patches (14 x 5 in the paper).
"""

import timm
import torch
from timm.layers import PatchEmbed
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from transformers import PreTrainedModel
from transformers import initialization as init
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import BaseModelOutputWithPooling
from transformers.utils import can_return_tuple

from .configuration_motionpatch import MotionPatchMotionConfig
from .loading_motionpatch import IntactLoading


MOTION_INPUTS = ("motion_values", "motion_attention_mask")


def build_vit(config: MotionPatchMotionConfig) -> VisionTransformer:
    """The timm Vision Transformer of a configuration, without its classifier.

    Raises:
        ValueError: timm does not know the architecture, or it is no plain Vision Transformer with the parts needed.
    """
    norm = {"auto": {}, "pre_pool": {"fc_norm": False}, "post_pool": {"fc_norm": True}}[config.final_norm]
    settings = {
        "img_size": config.image_size,
        "patch_size": config.token_size,
        "in_chans": config.num_channels,
        "global_pool": "avg" if config.pooling == "avg" else "token",
        **norm,
        **config.architecture_kwargs,
    }
    try:
        vit = timm.create_model(config.architecture, pretrained=False, num_classes=0, **settings)
    except (RuntimeError, TypeError, AssertionError) as error:
        hint = ' An architecture without a class token needs `pooling="avg"`.' if config.pooling == "cls" else ""
        raise ValueError(
            f"timm {timm.__version__} could not build {config.architecture!r} with {settings}: "
            f"{str(error) or type(error).__name__}.{hint}"
        ) from error
    # Subclasses (distilled ones, say) and other patch embeddings have tokens or layers that `_embed` does not know.
    if type(vit) is not VisionTransformer or type(vit.patch_embed) is not PatchEmbed or vit.attn_pool is not None:
        raise ValueError(f"{config.architecture!r} is a {type(vit).__name__}; a plain Vision Transformer is needed.")
    if config.hidden_size != vit.embed_dim:
        raise ValueError(
            f"`hidden_size` is {config.hidden_size} but {config.architecture!r} is {vit.embed_dim} wide; leave it out."
        )
    return vit


def refuse_unread_inputs(model: nn.Module, kwargs: dict) -> None:
    """transformers lets a model pass over arguments it does not know; a misspelled mask would change the result.

    Raises:
        TypeError: A keyword argument about the motion that no model here reads.
    """
    unread = [name for name in kwargs if "motion" in name and name not in MOTION_INPUTS]
    if unread:
        raise TypeError(f"{type(model).__name__} does not read {unread}; a motion is given by {MOTION_INPUTS}.")


class MotionPatchLayer(GradientCheckpointingLayer):
    """The way through one layer of the ViT, which transformers' activation checkpointing runs again when it is on.

    It has no weights: they stay in timm's blocks, under timm's names.
    """

    def forward(
        self,
        hidden: torch.Tensor,
        block: nn.Module,
        attention_mask: torch.Tensor | None = None,
        output_attentions: bool = False,
        fused: bool = True,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """
        Args:
            hidden (`torch.Tensor` of shape `(B, tokens, D)`).
            block (`nn.Module`): A layer of timm.
            attention_mask (`torch.Tensor` of shape `(B, 1, 1, tokens)`, *optional*): Added to the scores of the keys.
            output_attentions (`bool`): Also return the attention weights, which fused kernels do not tell.
            fused (`bool`): Attend by `scaled_dot_product_attention`.

        Returns:
            `tuple`: `(B, tokens, D)`, and `(B, heads, tokens, tokens)` or `None`.
        """
        attentions = [module for module in block.modules() if "fused_attn" in vars(module)]
        for attention in attentions:
            attention.fused_attn = fused and not output_attentions
        if not output_attentions:
            return block(hidden, attn_mask=attention_mask), None
        weights = []
        hooks = [
            attention.attn_drop.register_forward_hook(lambda module, args, output: weights.append(output))
            for attention in attentions
        ]
        try:
            hidden = block(hidden, attn_mask=attention_mask)
        finally:
            for hook in hooks:
                hook.remove()
        # A layer with attentions in parallel has the heads of all of them.
        return hidden, weights[0] if len(weights) == 1 else torch.cat(weights, dim=1)


class MotionPatchMotionModel(IntactLoading, PreTrainedModel):
    """The motion tower: a ViT over motion patches, with masked patches neither attended to nor pooled.

    The ViT's layers are timm's, so that its pretrained weights fit; the way through them is ours, since timm's own
    forward pass neither pools with a mask nor takes an input of fewer rows.
    """

    config: MotionPatchMotionConfig
    config_class = MotionPatchMotionConfig
    base_model_prefix = "motion_model"
    main_input_name = "motion_values"
    input_modalities = ("motion",)
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _no_split_modules = ["Block"]
    _keys_to_ignore_on_load_unexpected = [r"^text_model\.", r"^(text|motion)_projection\.", r"^logit_scale$"]
    accepts_loss_kwargs = False  # `Trainer` divides the loss by the accumulation steps itself

    def __init__(self, config: MotionPatchMotionConfig):
        super().__init__(config)
        self.vit = build_vit(config)
        self.layers = nn.ModuleList(MotionPatchLayer() for _ in self.vit.blocks)
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        super()._init_weights(module)
        # Parameters that a module owns directly, beside its layers, as timm starts them.
        if isinstance(module, VisionTransformer):
            if module.pos_embed is not None:
                init.trunc_normal_(module.pos_embed, std=0.02)
            for token in (module.cls_token, module.reg_token):
                if token is not None:
                    init.normal_(token, std=1e-6)
        elif type(module).__name__ == "LayerScale":
            init.constant_(module.gamma, self.config.architecture_kwargs.get("init_values") or 1e-5)

    def get_input_embeddings(self) -> nn.Module:
        return self.vit.patch_embed

    @can_return_tuple
    def forward(
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
            motion_values (`torch.FloatTensor` of shape `(B, 3, T, W)`):
                Motion patches, W = 5 * N points (J joints for `input_kind="frames"`). T may be any multiple of the
                patch size up to `config.max_frames`.
            motion_attention_mask (`torch.LongTensor` of shape `(B, T / N, 5)`, *optional*): 1 for patches to attend to.
            output_attentions (`bool`, *optional*): Return `(B, heads, tokens, tokens)` of each layer.
            output_hidden_states (`bool`, *optional*): Return `(B, tokens, D)` before each layer and after the last.
            trim_padding (`bool`, *optional*):
                Default: `config.trim_padding`. To look for rows to drop waits for the device; `False` where there are none.

        Returns:
            `BaseModelOutputWithPooling`: `last_hidden_state` `(B, prefix + R * C, D)`, where R counts the rows that some
            clip of the batch attends to, and `pooler_output` `(B, D)`.

        Raises:
            ValueError: An input of another width, of more frames, or a mask that does not fit it.
        """
        refuse_unread_inputs(self, kwargs)
        vit = self.vit
        output_attentions = self.config.output_attentions if output_attentions is None else output_attentions
        output_hidden_states = (
            self.config.output_hidden_states if output_hidden_states is None else output_hidden_states
        )
        mask = self._check_inputs(motion_values, motion_attention_mask)
        if self.config.trim_padding if trim_padding is None else trim_padding:
            motion_values, mask = self._trim(motion_values, mask)
        hidden, prefix = self._embed(motion_values)  # (B, prefix + R * C, D)

        attention_mask = None
        if mask is not None:
            mask = mask.flatten(1)  # (B, R * C)
            seen = torch.cat([mask.new_ones(len(mask), prefix), mask], dim=1)
            # Added to the scores, once for all layers: unfused attention of timm up to 1.0.20 adds a boolean mask as 0
            # and 1. The lowest finite number, not -inf: a clip without any token would become NaN.
            attention_mask = torch.zeros_like(seen, dtype=hidden.dtype)
            attention_mask.masked_fill_(~seen, torch.finfo(hidden.dtype).min)
            attention_mask = attention_mask[:, None, None, :]  # keys; broadcast over heads and queries
        all_hidden = (hidden,) if output_hidden_states else None
        all_attentions = () if output_attentions else None
        fused = self.config._attn_implementation != "eager"
        for layer, block in zip(self.layers, vit.blocks):
            hidden, weights = layer(hidden, block, attention_mask, output_attentions, fused)
            if output_attentions:
                all_attentions += (weights,)
            if output_hidden_states:
                all_hidden += (hidden,)
        hidden = vit.norm(hidden)
        pooled = vit.fc_norm(self._pool(hidden, mask, prefix))
        return BaseModelOutputWithPooling(
            last_hidden_state=hidden, pooler_output=pooled, hidden_states=all_hidden, attentions=all_attentions
        )

    def _check_inputs(self, values, mask) -> torch.BoolTensor | None:
        max_frames, width = self.config.image_size
        frames = self.config.token_size[0]
        if values.ndim != 4 or values.shape[1] != self.config.num_channels or values.shape[-1] != width:
            raise ValueError(
                f"`motion_values` has shape {tuple(values.shape)}; (B, {self.config.num_channels}, T, {width}) is "
                f"expected, as a MotionPatchFeatureExtractor with patch_size={self.config.patch_size} and "
                f"input_kind={self.config.input_kind!r} makes it."
            )
        if values.shape[2] > max_frames or values.shape[2] % frames or not values.shape[2]:
            raise ValueError(
                f"`motion_values` has {values.shape[2]} frames; a multiple of {frames} up to {max_frames} is expected."
            )
        if mask is None:
            return None
        expected = (values.shape[0], values.shape[2] // frames, self.config.grid_size[1])
        if tuple(mask.shape) != expected:
            raise ValueError(f"`motion_attention_mask` has shape {tuple(mask.shape)}; {expected} is expected.")
        return mask.bool()

    def _trim(self, values, mask):
        """Drops the rows behind the longest clip of the batch; they are attended to by nobody."""
        if mask is None or torch.compiler.is_compiling():
            return values, mask
        used = mask.flatten(2).any(dim=2).any(dim=0)  # (R,)
        rows = int(used.nonzero().max()) + 1 if bool(used.any()) else 1
        return values[:, :, : rows * self.config.token_size[0]], mask[:, :rows]

    def _embed(self, values) -> tuple[torch.Tensor, int]:
        """(B, 3, T, W) -> tokens (B, prefix + R * C, D) with position embeddings, and the number of prefix tokens."""
        vit = self.vit
        projection = vit.patch_embed.proj
        batch, channels, frames, points = values.shape
        height, width = self.config.token_size
        rows, columns = frames // height, points // width
        # A convolution whose stride is its kernel is a matrix product over flattened patches.
        patches = values.reshape(batch, channels, rows, height, columns, width).permute(0, 2, 4, 1, 3, 5)
        patches = patches.reshape(batch, rows * columns, channels * height * width)  # (B, R * C, 3 * N * N)
        weight = projection.weight.flatten(1)
        tokens = nn.functional.linear(patches.to(weight.dtype), weight, projection.bias)
        tokens = vit.patch_embed.norm(tokens)  # (B, R * C, D)

        prefix = [token for token in (vit.cls_token, vit.reg_token) if token is not None]
        prefix = [token.expand(batch, -1, -1) for token in prefix]
        if vit.pos_embed is not None:
            embedded = 0 if vit.no_embed_class else vit.num_prefix_tokens
            grid = vit.pos_embed[:, embedded:].unflatten(1, self.config.grid_size)[:, :rows]  # (1, R, C, D)
            tokens = tokens + grid.flatten(1, 2)
            if embedded:
                prefix = [torch.cat(prefix, dim=1) + vit.pos_embed[:, :embedded]]
        hidden = vit.patch_drop(vit.pos_drop(torch.cat([*prefix, tokens], dim=1)))
        return vit.norm_pre(hidden), vit.num_prefix_tokens

    def _pool(self, hidden, mask, prefix: int) -> torch.Tensor:
        if self.config.pooling == "cls":
            return hidden[:, 0]
        patches = hidden[:, prefix:]
        if mask is None:
            return patches.mean(dim=1)
        weight = mask.to(patches.dtype)[..., None]
        return (patches * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)


__all__ = ["MotionPatchMotionModel", "build_vit"]
