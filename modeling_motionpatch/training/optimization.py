"""Parameters -> groups with a learning rate a part; step -> the factor on those rates."""

import math

import torch
from torch import nn

from .arguments import TrainArguments


PARTS = ("motion", "text", "heads")


def part_of(name: str) -> str:
    """Which part a parameter of `MotionPatchModel` belongs to; a temperature counts to the heads."""
    if name.startswith("motion_model."):
        return "motion"
    return "text" if name.startswith("text_model.") else "heads"


def freeze_towers(model: nn.Module, towers: list[str]) -> None:
    """Takes the gradients of whole towers away; the heads keep theirs."""
    for name, parameter in model.named_parameters():
        if part_of(name) in towers:
            parameter.requires_grad_(False)


def _decays(name: str, parameter: torch.Tensor) -> bool:
    """Matrices of layers decay; biases, norms, tokens and position embeddings do not."""
    special = ("pos_embed", "position_embeddings", "position_embedding", "cls_token", "reg_token")
    return parameter.ndim >= 2 and not any(key in name for key in special)


def build_optimizer(model: nn.Module, args: TrainArguments) -> torch.optim.Optimizer:
    """Adam, AdamW or SGD over the trainable parameters, grouped by part and by whether they decay.

    Each group's `base_lr` is what [`set_learning_rate`] scales.
    """
    rates = {"motion": args.lr_motion, "text": args.lr_text, "heads": args.lr_heads}
    grouped: dict[tuple[str, bool], list] = {(part, decay): [] for part in PARTS for decay in (True, False)}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            grouped[part_of(name), _decays(name, parameter)].append(parameter)
    groups = [
        {
            "params": parameters,
            "lr": rates[part],
            "base_lr": rates[part],
            "weight_decay": args.weight_decay if decay else 0.0,
            "part": part,
        }
        for (part, decay), parameters in grouped.items()
        if parameters
    ]
    if args.optimizer == "sgd":
        return torch.optim.SGD(groups)
    optimizer = torch.optim.Adam if args.optimizer == "adam" else torch.optim.AdamW
    return optimizer(groups, betas=tuple(args.betas), fused=True)


def rate_factor(step: int, total: int, schedule: str, warmup: float = 0.0) -> float:
    """Factor on the learning rates of step `step` of `total`, counted from 0.

    `"cosine_half"` is the official code's cosine with a period twice the steps (T_max), which ends at half the rate.
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / rising
    progress = (step - rising) / max(total - rising, 1)
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * progress))
    if schedule == "cosine_half":
        return 0.5 * (1 + math.cos(math.pi * progress / 2))
    return 1.0 - progress if schedule == "linear" else 1.0


def set_learning_rate(optimizer, factor: float) -> None:
    """Sets each group's rate to its own times the factor."""
    for group in optimizer.param_groups:
        group["lr"] = group["base_lr"] * factor


__all__ = ["build_optimizer", "freeze_towers", "part_of", "rate_factor", "set_learning_rate"]
