"""A batch -> unit-length embeddings of its pairs, their loss, and gradients: the plain step.

`TowerPair` is what Accelerate wraps: everything that touches weights goes through its `forward`, as
DistributedDataParallel and FSDP need it.
"""

from functools import partial

import torch
from torch import nn

from ..loss_motionpatch import contrastive_loss
from ..modeling_motionpatch import MotionPatchModel
from .arguments import TrainArguments
from .batches import Batch


class TowerPair(nn.Module):
    """Parts of a batch -> embeddings, in the order in which the parts hold them.

    Args:
        model (`MotionPatchModel`): The model in training.
    """

    def __init__(self, model: MotionPatchModel):
        super().__init__()
        self.model = model

    def forward(self, parts: list[tuple[dict | None, dict | None]]):
        """
        Args:
            parts (`list[tuple[dict, dict]]`): Inputs of the motion and of the text tower, or `None`.

        Returns:
            `tuple`: unit-length motion embeddings `(sum of B, P)` or `None`, text embeddings likewise, and the inverse
            temperature, all float32.
        """
        read = partial(self.model.get_motion_features, return_dict=True, trim_padding=False)  # parts have no such rows
        motions = [read(**m).pooler_output for m, _ in parts if m is not None]
        texts = [self.model.get_text_features(**t, return_dict=True).pooler_output for _, t in parts if t is not None]
        motion_embeds = nn.functional.normalize(torch.cat(motions).float(), dim=-1) if motions else None
        text_embeds = nn.functional.normalize(torch.cat(texts).float(), dim=-1) if texts else None
        return motion_embeds, text_embeds, self.model.logit_scale_value()


def batch_loss(motions, texts, logit_scale, batch: Batch, args: TrainArguments, reduction: str) -> torch.Tensor:
    """Embeddings in the order of the parts -> loss over the pairs of all processes.

    Args:
        motions (`torch.Tensor` of shape `(B, P)`): Of the motions.
        texts (`torch.Tensor` of shape `(distinct captions, P)`): Of the captions.
    """
    return contrastive_loss(
        motions[batch.motion_order],
        texts[batch.text_order],
        logit_scale,
        gather=True,
        caption_ids=batch.caption_ids,
        duplicates=args.duplicates,
        ignore=batch.ignore,
        reduction=reduction,
    )


def plain_step(towers: nn.Module, batch: Batch, args: TrainArguments, reduction: str, accelerator) -> torch.Tensor:
    """Forward and backward of a whole batch at once.

    Returns:
        `torch.Tensor`: the loss, detached.
    """
    motions, texts, logit_scale = towers(batch.parts)
    loss = batch_loss(motions, texts, logit_scale, batch, args, reduction)
    accelerator.backward(loss)
    return loss.detach()


__all__ = ["TowerPair", "batch_loss", "plain_step"]
