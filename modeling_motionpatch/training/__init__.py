"""Recipes and data sets -> trained models: arguments, data, the step on one or many processes, exact resume."""

from .arguments import PRESETS, TrainArguments, TrainingError
from .captions import mirror_caption, train_tokenizer
from .checkpoints import CheckpointError, CheckpointStore
from .engine import EXIT_INTERRUPTED, Trainer
from .large_batch import cached_step
from .recipes import find_recipe, known_recipes, read_recipe, resolve_arguments
from .step import TowerPair, plain_step


__all__ = [
    "EXIT_INTERRUPTED",
    "PRESETS",
    "CheckpointError",
    "CheckpointStore",
    "TowerPair",
    "TrainArguments",
    "Trainer",
    "TrainingError",
    "cached_step",
    "find_recipe",
    "known_recipes",
    "mirror_caption",
    "plain_step",
    "read_recipe",
    "resolve_arguments",
    "train_tokenizer",
]
