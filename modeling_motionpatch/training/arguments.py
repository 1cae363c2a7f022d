"""A recipe (YAML) and overrides of the command line -> `TrainArguments`: every knob of the training, with its reason."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import types
import typing
from dataclasses import dataclass, field, fields


class TrainingError(ValueError):
    """Something that training was given and cannot use; the message says what to change."""


def knob(default, reason: str):
    """A field of [`TrainArguments`] with its reason, which `--help` prints."""
    if isinstance(default, (dict, list)):
        return field(default_factory=lambda: type(default)(default), metadata={"help": reason})
    return field(default=default, metadata={"help": reason})


@dataclass
class TrainArguments:
    """Everything that decides a run. Defaults are ours; `preset` replaces those that the official code or paper differ in."""

    # ---- the run
    output_dir: str = knob(
        "motionpatch-run", "folder of the result: model, processor, card, results.json, checkpoints"
    )
    preset: str = knob("ours", "'ours', 'official' (the published code) or 'paper' (the paper's text)")
    seed: int = knob(0, "of weights, order of clips, captions, crops and dropout")
    epochs: int = knob(50, "passes over the training clips; 0, with init_from, only evaluates (zero-shot transfer)")
    max_steps: int | None = knob(
        None, "stop after this many steps although epochs are left; the schedule ends there too"
    )
    dry_run: bool = knob(
        False, "one step, one validation batch and the final folder: whether everything fits together"
    )

    # ---- data: {name, data_dir, **options of load_motion_dataset}, or a list of them for joint training (Table 11)
    data: dict | list = knob({}, "{name: ..., data_dir: ..., options of the data set}, or a list of such")
    train_split: str = knob("train", "split that weights and statistics are computed from")
    validation_split: str = knob("validation", "split that chooses the checkpoint")
    test_split: str = knob("test", "split that is read once, at the end, with the chosen checkpoint")
    validation_fraction: float = knob(
        0.05, "share of the training clips held out where the data has no validation split"
    )
    evaluation_data: list = knob(
        [], "further sets read once at the end: {name, data_dir, split, task: retrieval|classification}"
    )
    statistics: str = knob(
        "train",
        "mean and std over 'train' or 'all' splits (official code), or a folder with Mean_raw.npy and Std_raw.npy",
    )
    captions: str = knob("random", "caption of a clip in training: 'random' each time, or 'first'")
    random_crop: bool = knob(
        True, "clips longer than max_frames: a random window in training; evaluation starts at frame 0"
    )
    sub_crop: float = knob(
        1.0, "augmentation: train on a random window of at least this share of each clip; 1.0 is off"
    )
    mirror: float = knob(
        0.0,
        "augmentation: probability of the left/right twin, left and right swapped in the caption; doubles the memory of the points",
    )
    points_dtype: str = knob(
        "float32", "of the precomputed points: 'float32', or 'float16' for half the memory at 0.1 mm"
    )
    points_dir: str | None = knob(
        None, "folder to keep the precomputed points in, memory-mapped and shared by the processes of a machine"
    )
    points_device: str = knob(
        "auto",
        "'cpu', or 'device': points on the accelerator, so that batches cost no transfer; 'auto': where a quarter of its memory holds them",
    )

    # ---- text
    tokenizer: str = knob(
        "distilbert-base-uncased", "name or folder, or 'train' for a WordPiece vocabulary of the training captions"
    )
    vocab_size: int = knob(2000, "of a trained tokenizer; the captions of a small set have fewer words")
    lower_case: bool = knob(True, "of a trained tokenizer")
    max_text_tokens: int | None = knob(None, "longer captions are cut; None: the tokenizer's own limit, at most 77")

    # ---- model
    motion_pretrained: str | None = knob(
        "vit_base_patch16_224.augreg_in21k",
        "timm name, Hub name or file of the image ViT to start from; null: from scratch",
    )
    text_pretrained: str | None = knob(
        "distilbert-base-uncased", "name or folder of the text model to start from; null: from scratch"
    )
    init_from: str | None = knob(
        None, "a trained MotionPatchModel to go on from (fine-tuning); its processor is taken along"
    )
    model: dict = knob({}, "fields of MotionPatchConfig, with motion_config and text_config inside")
    extractor: dict = knob({}, "arguments of MotionPatchFeatureExtractor beside those that follow from the model")
    extractor_preset: str = knob(
        "ours", "'ours', 'official' or 'paper': normalisation, interpolation, padding, part order"
    )
    freeze: list = knob([], "towers that keep their weights: 'motion', 'text'; heads are always trained")
    gradient_checkpointing: bool = knob(
        False, "less memory, about a third more time: activations are computed again in the backward pass"
    )
    compile: bool = knob(False, "torch.compile of each transformer block")

    # ---- optimisation
    batch_size: int = knob(
        256, "pairs a step over all processes: each pair has batch_size - 1 negatives (paper: 256, code: 128)"
    )
    drop_last: bool = knob(True, "leave out an incomplete last batch, whose task would be easier")
    optimizer: str = knob("adamw", "'adam', 'adamw', or 'sgd' (plain; its steps show the gradients as they are)")
    lr_motion: float = knob(1e-4, "of the motion tower")
    lr_text: float = knob(1e-5, "of the text tower; small, since it is pretrained")
    lr_heads: float = knob(1e-3, "of both heads, which are new (paper 1e-3, code 1e-4), and of a learned temperature")
    weight_decay: float = knob(
        0.01, "on matrices alone, not on biases, norms, embeddings of position and the temperature"
    )
    betas: list = knob([0.9, 0.999], "of Adam")
    warmup: float = knob(0.05, "share of the steps with linearly rising rate; a ViT from scratch diverges without")
    schedule: str = knob(
        "cosine", "'cosine' to zero, 'cosine_half' (official code: ends at half the rate), 'linear', 'constant'"
    )
    max_grad_norm: float | None = knob(1.0, "gradients are scaled down to this norm; null: never")
    mixed_precision: str = knob("no", "'no', 'bf16' or 'fp16'")
    duplicates: str = knob(
        "positive",
        "other pairs with the very same caption: 'negative' (paper, official code), 'positive' (the same loss where "
        "a caption is embedded once, as with dedupe_texts), or 'ignore'",
    )
    false_negatives: dict | str | None = knob(
        None, "pairs left out of the negatives: 'exact', or {embeddings: file.npz, threshold: 0.8} (TMR)"
    )

    # ---- speed and memory; none of these changes what is computed
    chunk_size: int | None = knob(
        None, "two-pass cached loss: at most this many pairs a process at once, for batches beyond memory"
    )
    length_chunks: int = knob(
        1,
        "split each batch by length into this many parts, each cut to its longest clip and caption, with the least padding",
    )
    dedupe_texts: bool = knob(
        True, "embed a caption that occurs several times in a batch once; with dropout the copies share their mask"
    )
    tf32: bool = knob(True, "TensorFloat-32 matrix products on GPUs that have them, where mixed_precision is 'no'")

    # ---- evaluation
    eval_every: int = knob(1, "epochs between validations")
    eval_batch_size: int = knob(256, "clips or captions at once in evaluation")
    best_metric: str = knob(
        "mean_recall",
        "chooses the checkpoint: 'mean_recall' (R@1, 5, 10, both directions), 'mean_r1', or one figure such as 't2m/R@1'",
    )
    protocols: list = knob(["all", "all_strict", "small_batches"], "of the test figures; validation uses 'all'")

    # ---- checkpoints
    resume: bool = knob(False, "go on from the newest whole checkpoint in output_dir; start where there is none")
    overwrite: bool = knob(False, "start anew in an output_dir that holds another run")
    save_every: int | None = knob(None, "steps between checkpoints within an epoch; null: at the end of epochs only")
    keep: int = knob(2, "checkpoints kept; older ones are removed when a newer one is whole")
    save_dtype: str = knob("float32", "of the final weights: 'float32', or 'float16' / 'bfloat16' for half the size")
    keep_checkpoints: bool = knob(True, "keep the checkpoints (optimizer state) after the run has finished")

    # ---- what one sees
    log_every: int = knob(10, "steps between lines in log.jsonl and tracker values; reading a loss waits for the GPU")
    trackers: list = knob([], "of accelerate: 'tensorboard', 'wandb', ...")
    plot: bool = knob(True, "learning curves as curves.png, where matplotlib is installed")
    progress: bool = knob(True, "a progress bar (main process)")
    push_to_hub: bool = knob(False, "upload the final folder")
    hub_model_id: str | None = knob(None, "repository to upload to, user/name")

    def __post_init__(self):
        for item in fields(self):
            setattr(self, item.name, _checked(item.name, getattr(self, item.name), _types()[item.name]))
        _check_values(self)

    def to_dict(self) -> dict:
        """Plain values, as the recipe that repeats the run."""
        return dataclasses.asdict(self)

    @property
    def datasets(self) -> list[dict]:
        """The training sets as a list; none where a run only evaluates on `evaluation_data`."""
        if not self.data:
            return []
        return [dict(self.data)] if isinstance(self.data, dict) else [dict(item) for item in self.data]


# What the presets change against ours, for HumanML3D; recipes add what differs for other data sets.
PRESETS: dict[str, dict] = {
    "ours": {},
    "official": {
        "extractor_preset": "official",
        "statistics": "all",  # the published Mean_raw.npy and Std_raw.npy saw every file
        "batch_size": 128,
        "optimizer": "adam",
        "lr_motion": 1e-4,
        "lr_text": 1e-5,
        "lr_heads": 1e-4,
        "weight_decay": 0.0,
        "warmup": 0.0,
        "schedule": "cosine_half",
        "max_grad_norm": None,
        "mixed_precision": "no",
        "tf32": False,
        "duplicates": "negative",
        "dedupe_texts": False,  # each copy has a dropout mask of its own
        "model": {
            "projection_dropout": 0.5,
            "loss_reduction": "mean",
            "text_pooling": "cls",
            "motion_config": {"pooling": "avg"},
        },
    },
    "paper": {
        "extractor_preset": "paper",
        "batch_size": 256,
        "optimizer": "adam",
        "lr_motion": 1e-4,
        "lr_text": 1e-5,
        "lr_heads": 1e-3,
        "weight_decay": 0.0,
        "warmup": 0.0,
        "schedule": "cosine",  # the paper names none
        "max_grad_norm": None,
        "mixed_precision": "no",
        "tf32": False,
        "duplicates": "negative",
        "dedupe_texts": False,
        "model": {"loss_reduction": "sum", "text_pooling": "cls", "motion_config": {"pooling": "cls"}},
    },
}

_CHOICES = {
    "preset": tuple(PRESETS),
    "extractor_preset": tuple(PRESETS),
    "captions": ("random", "first"),
    "points_dtype": ("float32", "float16"),
    "points_device": ("auto", "cpu", "device"),
    "optimizer": ("adam", "adamw", "sgd"),
    "schedule": ("cosine", "cosine_half", "linear", "constant"),
    "mixed_precision": ("no", "bf16", "fp16"),
    "duplicates": ("negative", "positive", "ignore"),
    "save_dtype": ("float32", "float16", "bfloat16"),
}
_AT_LEAST = {
    "epochs": 0,
    "max_steps": 1,
    "batch_size": 2,
    "vocab_size": 30,
    "max_text_tokens": 4,
    "chunk_size": 1,
    "length_chunks": 1,
    "eval_every": 1,
    "eval_batch_size": 1,
    "save_every": 1,
    "keep": 1,
    "log_every": 1,
    "lr_motion": 0,
    "lr_text": 0,
    "lr_heads": 0,
    "weight_decay": 0,
}
_SHARES = {"validation_fraction": (0, 0.9), "sub_crop": (0.05, 1), "mirror": (0, 1), "warmup": (0, 1)}
# Protocols that need nothing but the captions; `motionpatch evaluate` has the others, which compare captions.
_PROTOCOLS = ("all", "all_strict", "small_batches")
_BEST_METRICS = (
    *("mean_recall", "mean_r1"),
    *(
        f"{direction}/{figure}"
        for direction in ("t2m", "m2t")
        for figure in ("R@1", "R@2", "R@3", "R@5", "R@10", "MedR")
    ),
)
_TASKS = ("retrieval", "classification")
_HINTS = {  # names that people look for, and what serves here
    "gradient_accumulation_steps": "accumulated gradients of small batches lack the negatives of a large one; "
    "`chunk_size` computes a large batch in parts with exactly its gradients",
    "learning_rate": "there is one a part: `lr_motion`, `lr_text`, `lr_heads`",
    "lr": "there is one a part: `lr_motion`, `lr_text`, `lr_heads`",
    "num_train_epochs": "it is called `epochs` here",
    "per_device_train_batch_size": "`batch_size` counts the pairs over all processes",
    "fp16": "use `mixed_precision: fp16`",
    "bf16": "use `mixed_precision: bf16`",
    "data_dir": "it belongs to a data set: `data.data_dir`",
    "temperature": "`model.logit_scale_init_value` is the logarithm of the inverse temperature",
}


@functools.cache
def _types() -> dict:
    return typing.get_type_hints(TrainArguments)


def unknown_key(key: str, known, where: str) -> TrainingError:
    """The error for a key that nobody reads, with the closest known one."""
    known = sorted(known)
    hint = _HINTS.get(key)
    if hint is None:
        close = difflib.get_close_matches(key, known, n=1)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}"
    return TrainingError(f"Unknown key `{key}` in {where}; {hint}")


def check_keys(values: dict, known, where: str) -> None:
    """Raises for the first key of `values` that is not in `known`."""
    for key in values:
        if key not in known:
            raise unknown_key(str(key), known, where)


def _checked(name: str, value, annotation):
    """The value in the knob's type; integers serve as floats, and text that is a number as that number."""
    allowed = typing.get_args(annotation) if isinstance(annotation, types.UnionType) else (annotation,)
    if float in allowed and isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            value = float(value)  # YAML reads 1e-4, without a dot, as text
        except ValueError:
            pass
    if value is False and "no" in _CHOICES.get(name, ()):
        value = "no"  # YAML reads no, without quotes, as false
    if int in allowed and isinstance(value, float) and value.is_integer() and float not in allowed:
        value = int(value)
    if list in allowed and isinstance(value, str) and dict not in allowed:
        value = [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, tuple) and list in allowed:
        value = list(value)
    if isinstance(value, bool) and bool not in allowed or not isinstance(value, tuple(allowed)):
        names = " or ".join("null" if kind is type(None) else kind.__name__ for kind in allowed)
        raise TrainingError(f"`{name}` is {value!r}; it must be {names}.")
    return value


def _check_values(args: TrainArguments) -> None:
    for name, allowed in _CHOICES.items():
        if getattr(args, name) not in allowed:
            raise TrainingError(f"`{name}` is {getattr(args, name)!r}; it must be one of {', '.join(allowed)}.")
    for name, least in _AT_LEAST.items():
        value = getattr(args, name)
        if value is not None and not value >= least:
            raise TrainingError(f"`{name}` is {value}; it must be at least {least}.")
    for name, (low, high) in _SHARES.items():
        if not low <= getattr(args, name) <= high:
            raise TrainingError(f"`{name}` is {getattr(args, name)}; it must be between {low} and {high}.")
    if args.max_grad_norm is not None and not args.max_grad_norm > 0:
        raise TrainingError(f"`max_grad_norm` is {args.max_grad_norm}; it must be positive, or null for no clipping.")
    if len(args.betas) != 2 or not all(isinstance(beta, (int, float)) and 0 <= beta < 1 for beta in args.betas):
        raise TrainingError(f"`betas` is {args.betas}; two numbers in [0, 1) are needed.")
    for tower in args.freeze:
        if tower not in ("motion", "text"):
            raise TrainingError(f"`freeze` names {tower!r}; it may hold 'motion' and 'text'.")
    # What is read only at the end is checked before the training, too.
    for protocol in args.protocols or [None]:
        if protocol not in _PROTOCOLS:
            raise TrainingError(
                f"`protocols` names {protocol!r}; it may hold {', '.join(_PROTOCOLS)}. `motionpatch evaluate` has those "
                "that compare captions with one another, threshold and dissimilar."
            )
    if args.best_metric not in _BEST_METRICS:
        raise TrainingError(f"`best_metric` is {args.best_metric!r}; it must be one of {', '.join(_BEST_METRICS)}.")
    for index, item in enumerate(args.evaluation_data):
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise TrainingError(f"`evaluation_data.{index}` is {item!r}; it needs a `name`, and mostly a `data_dir`.")
        if item.get("task", _TASKS[0]) not in _TASKS:
            raise TrainingError(
                f"`evaluation_data.{index}.task` is {item['task']!r}; it must be one of {', '.join(_TASKS)}."
            )
        if "{}" not in item.get("template", "{}"):
            raise TrainingError(
                f"`evaluation_data.{index}.template` is {item['template']!r}; it must hold {{}}, where the class goes."
            )
    for index, item in enumerate(args.datasets):
        where = "`data`" if isinstance(args.data, dict) else f"`data.{index}`"
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise TrainingError(f"{where} is {item!r}; it needs a `name`, e.g. data.name=humanml3d data.data_dir=...")
    if not args.datasets and not (args.epochs == 0 and args.init_from and args.evaluation_data):
        raise TrainingError("`data` is empty; name a data set, e.g. data.name=generated.")
    if isinstance(args.false_negatives, str) and args.false_negatives != "exact":
        raise TrainingError(f"`false_negatives` is {args.false_negatives!r}; 'exact' or {{embeddings, threshold}}.")
    if isinstance(args.false_negatives, dict):
        check_keys(args.false_negatives, ("embeddings", "threshold"), "`false_negatives`")
        if "embeddings" not in args.false_negatives:
            raise TrainingError("`false_negatives` lacks `embeddings`, a .npz with `captions` and `embeddings`.")
    if args.push_to_hub and not args.hub_model_id:
        raise TrainingError("`push_to_hub` needs `hub_model_id`, e.g. hub_model_id=user/name.")
    if args.chunk_size is not None and args.compile:
        raise TrainingError("`chunk_size` and `compile` do not go together; choose one of them.")


__all__ = ["PRESETS", "TrainArguments", "TrainingError", "check_keys", "unknown_key"]
