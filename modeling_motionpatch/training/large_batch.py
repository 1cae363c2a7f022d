"""A batch beyond memory -> exactly the gradients of the plain step, in two passes over its parts.

Gradient accumulation does not enlarge a contrastive batch: pairs of different parts never meet as negatives. Here all
parts are embedded first without keeping activations, the loss is taken over all embeddings (of all processes), and each
part is embedded once more to pass the gradient of its embeddings on to the weights (Gao et al. 2021, "Scaling Deep
Contrastive Learning Batch Size under Memory Limited Setup"). Memory: activations of one part; time: one more forward.
"""

import contextlib

import torch
from torch import nn

from .arguments import TrainArguments
from .batches import Batch
from .step import batch_loss


class RandomState:
    """The state of torch's generators of the CPU and of one device, so that dropout repeats itself."""

    def __init__(self, device: torch.device):
        self.device = device
        self.cpu = torch.get_rng_state()
        self.cuda = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    def restore(self) -> None:
        torch.set_rng_state(self.cpu)
        if self.cuda is not None:
            torch.cuda.set_rng_state(self.cuda, self.device)


def cached_step(towers: nn.Module, batch: Batch, args: TrainArguments, reduction: str, accelerator) -> torch.Tensor:
    """Forward and backward part by part; equal to [`plain_step`] up to rounding, also across processes.

    Args:
        towers (`nn.Module`): The prepared [`TowerPair`].
        batch (`Batch`): Its parts are what is in memory at once. The last one has motions and texts, so that the pass
            that exchanges gradients between processes touches every weight.

    Returns:
        `torch.Tensor`: the loss, detached.
    """
    states, motions, texts = [], [], []
    with torch.no_grad():
        for part in batch.parts:
            states.append(RandomState(accelerator.device))
            motion_embeds, text_embeds, logit_scale = towers([part])
            motions.append(motion_embeds)
            texts.append(text_embeds)
    after = RandomState(accelerator.device)

    # Leaves of a small graph: the embeddings of this process and the temperature.
    motions = [None if m is None else m.detach().requires_grad_() for m in motions]
    texts = [None if t is None else t.detach().requires_grad_() for t in texts]
    logit_scale = logit_scale.detach().requires_grad_()
    everything = (torch.cat([m for m in motions if m is not None]), torch.cat([t for t in texts if t is not None]))
    loss = batch_loss(*everything, logit_scale, batch, args, reduction)
    loss.backward()

    last = len(batch.parts) - 1
    for index, part in enumerate(batch.parts):
        states[index].restore()
        # Processes exchange gradients once, with the last part.
        with accelerator.no_sync(towers) if index < last else contextlib.nullcontext():
            motion_embeds, text_embeds, scale = towers([part])
            surrogate = 0.0
            if motion_embeds is not None:
                surrogate = surrogate + (motion_embeds * motions[index].grad).sum()
            if text_embeds is not None:
                surrogate = surrogate + (text_embeds * texts[index].grad).sum()
            if index == last and scale.requires_grad:
                surrogate = surrogate + (scale * logit_scale.grad).sum()
            accelerator.backward(surrogate)
    after.restore()
    return loss.detach()


__all__ = ["RandomState", "cached_step"]
