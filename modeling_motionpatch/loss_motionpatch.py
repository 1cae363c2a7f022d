"""Embeddings of motions and texts (B, P) -> symmetric contrastive loss, over one process or all of them.

The loss of CLIP (paper, eq. 4; van den Oord et al. 2018): every motion picks its text among all texts and every text
its motion among all motions, by cross-entropy over cosine similarities divided by the temperature. Cost: O(B^2 P) time
and O(B^2) memory in the global batch B.
"""

import torch
import torch.distributed as dist
from torch import nn


class _AllGather(torch.autograd.Function):
    """Concatenates a tensor of every process along axis 0; the backward pass sums the gradients of all processes.

    `accelerator.gather` detaches, and putting one's own slice back gives 1 / world size of the gradient: the other
    processes' losses depend on this process's embeddings too. Processes may hold different numbers of rows.
    """

    @staticmethod
    def forward(ctx, tensor: torch.Tensor, sizes: list[int]) -> torch.Tensor:
        ctx.start = sum(sizes[: dist.get_rank()])
        ctx.length = tensor.shape[0]
        longest = max(sizes)
        padded = tensor.new_zeros(longest, *tensor.shape[1:])
        padded[: ctx.length] = tensor
        gathered = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(gathered, padded)
        return torch.cat([part[:size] for part, size in zip(gathered, sizes)])

    @staticmethod
    def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[ctx.start : ctx.start + ctx.length], None


def is_distributed() -> bool:
    """Whether more than one process takes part."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def gather_with_gradient(tensor: torch.Tensor) -> torch.Tensor:
    """All processes' rows, in the order of their ranks, with exact gradients.

    Args:
        tensor (`torch.Tensor` of shape `(B, ...)`): B may differ between processes.

    Returns:
        `torch.Tensor` of shape `(sum of B, ...)`; the tensor itself without `torch.distributed`.
    """
    if not is_distributed():
        return tensor
    size = torch.tensor([tensor.shape[0]], device=tensor.device)
    sizes = [torch.empty_like(size) for _ in range(dist.get_world_size())]
    dist.all_gather(sizes, size)
    sizes = [int(size) for size in sizes]
    if tensor.requires_grad:
        return _AllGather.apply(tensor.contiguous(), sizes)
    return _AllGather.forward(_NoContext(), tensor, sizes)


class _NoContext:
    """Takes what `_AllGather.forward` remembers where no backward pass follows."""


def contrastive_loss(
    motion_embeds: torch.Tensor,
    text_embeds: torch.Tensor,
    logit_scale: torch.Tensor | float,
    gather: bool = False,
    *,
    caption_ids: torch.Tensor | None = None,
    duplicates: str = "negative",
    ignore: torch.Tensor | None = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """Symmetric InfoNCE.

    Args:
        motion_embeds (`torch.Tensor` of shape `(B, P)`): Unit length.
        text_embeds (`torch.Tensor` of shape `(B, P)`): Unit length, row i belongs to motion i.
        logit_scale (`torch.Tensor` or `float`): Inverse temperature (not its logarithm), 1 / 0.07 in the paper.
        gather (`bool`, *optional*, defaults to `False`):
            Take the rows of all processes of `torch.distributed` as negatives. The value is the loss of the whole batch
            on every process and the gradients are exact: after the gradients are averaged over processes (as
            DistributedDataParallel does), the parameters' gradients are those of one process with the whole batch.
        caption_ids (`torch.LongTensor` of shape `(B,)`, *optional*): Equal ids mark equal captions.
        duplicates (`"negative"`, `"positive"` or `"ignore"`, *optional*, defaults to `"negative"`):
            What the other pairs with the same caption id count as: negatives like all others (paper and official
            code), positives that share the target evenly, or nothing (left out of the softmax). Where equal captions
            have equal embeddings, positives and negatives give the very same loss: the rows of a group of g motions
            are equal, and so the sum of their g one-hot targets is that of g even ones. They differ where each copy
            has a dropout mask of its own.
        ignore (`torch.BoolTensor` of shape `(B, B)`, *optional*):
            Text i, motion j pairs to leave out of the softmax, e.g. near-identical captions (TMR's threshold); with
            `gather=True` of shape `(sum of B, sum of B)`. The diagonal is kept.
        reduction (`"mean"` or `"sum"`, *optional*, defaults to `"mean"`): Of the two directions.

    Returns:
        `torch.Tensor`: scalar, float32.

    Raises:
        ValueError: Embeddings of different shapes, an empty batch, or unknown options.

    Example:

    ```python
    >>> import torch
    >>> from modeling_motionpatch import contrastive_loss
    >>> embeds = torch.nn.functional.normalize(torch.randn(4, 8), dim=-1)
    >>> loss = contrastive_loss(embeds, embeds, 1 / 0.07)
    ```
    """
    if motion_embeds.shape != text_embeds.shape or motion_embeds.ndim != 2:
        raise ValueError(
            f"`motion_embeds` has shape {tuple(motion_embeds.shape)} and `text_embeds` {tuple(text_embeds.shape)}; "
            "both must be (B, P) with the same B, pairs in the same rows."
        )
    for name, value, allowed in (
        ("duplicates", duplicates, ("negative", "positive", "ignore")),
        ("reduction", reduction, ("mean", "sum")),
    ):
        if value not in allowed:
            raise ValueError(f"`{name}` is {value!r}; it must be one of {allowed}.")
    if duplicates != "negative" and caption_ids is None:
        raise ValueError(f"`duplicates={duplicates!r}` needs `caption_ids`, one a row.")
    if gather and is_distributed():
        local = len(motion_embeds)
        motion_embeds, text_embeds = gather_with_gradient(motion_embeds), gather_with_gradient(text_embeds)
        if caption_ids is not None:
            if len(caption_ids) != local:
                raise ValueError(f"{len(caption_ids)} caption ids for {local} pairs; give one a row.")
            caption_ids = gather_with_gradient(caption_ids)
    if not len(motion_embeds):  # one process of several may hold none: a last batch with fewer pairs than processes
        raise ValueError("The batch is empty; both must be (B, P) with B > 0.")
    # float32: a softmax over thousands of logits in half precision loses the small ones
    logits_per_text = (text_embeds.float() @ motion_embeds.float().T) * logit_scale  # (B, B)
    return _symmetric_cross_entropy(logits_per_text, caption_ids, duplicates, ignore, reduction)


def _symmetric_cross_entropy(logits, caption_ids, duplicates, ignore, reduction) -> torch.Tensor:
    size = len(logits)
    targets = torch.arange(size, device=logits.device)
    diagonal = torch.eye(size, dtype=torch.bool, device=logits.device)
    if caption_ids is not None and duplicates != "negative":
        if len(caption_ids) != size:
            raise ValueError(f"{len(caption_ids)} caption ids for {size} pairs; give one a row.")
        same = caption_ids[:, None] == caption_ids[None, :]
        if duplicates == "positive":
            targets = same / same.sum(dim=1, keepdim=True)  # symmetric, so it serves both directions
        else:
            ignore = same if ignore is None else ignore | same
    if ignore is not None:
        if ignore.shape != logits.shape:
            raise ValueError(f"`ignore` has shape {tuple(ignore.shape)}; {tuple(logits.shape)} is needed.")
        # The lowest finite number, not -inf: 0 * -inf of a soft target would be NaN.
        lowest = torch.finfo(logits.dtype).min
        keep = diagonal if targets.ndim == 1 else diagonal | (targets > 0)
        logits = logits.masked_fill(ignore & ~keep, lowest)
    loss = nn.functional.cross_entropy(logits, targets) + nn.functional.cross_entropy(logits.T, targets)
    return loss / 2 if reduction == "mean" else loss


__all__ = ["contrastive_loss", "gather_with_gradient"]
