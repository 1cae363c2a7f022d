"""Arguments -> what a run works with: data, processor, model, optimizer, all prepared for the processes at hand."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator

from ..modeling_motionpatch import MotionPatchModel
from ..processing_motionpatch import MotionPatchProcessor
from .arguments import TrainArguments, TrainingError
from .batches import BatchMaker, Planner
from .build import build_extractor, build_tokenizer, loading, read_statistics
from .captions import CaptionTable, mirror_caption
from .clips import ClipTable, MotionStore, fit_extractor


DEVICE_SHARE = 0.25  # of an accelerator's memory that points may take; the rest is for weights and activations


def build_processor(args: TrainArguments, tables: dict[str, ClipTable]) -> MotionPatchProcessor:
    """Tokenizer and feature extractor with statistics; from `init_from` where the run goes on from a model."""
    train = tables["train"]
    if args.init_from is not None:
        with loading("init_from", args.init_from):
            processor = MotionPatchProcessor.from_pretrained(args.init_from)
        if processor.feature_extractor.mean is None and processor.feature_extractor.normalization != "none":
            raise TrainingError(f"The processor of init_from={args.init_from!r} has no statistics.")
        return processor
    captions = [caption for item in train.captions for caption in item]
    if args.mirror:
        captions += [mirror_caption(caption) for caption in captions]
    extractor = build_extractor(args, train.skeletons)
    if args.statistics in ("train", "all"):
        fit_extractor(extractor, [train] if args.statistics == "train" else [t for t in tables.values() if len(t)])
    else:
        read_statistics(extractor, args.statistics)
    return MotionPatchProcessor(extractor, build_tokenizer(args, captions))


def caption_table(processor: MotionPatchProcessor, args: TrainArguments, texts) -> CaptionTable:
    """Distinct texts, tokenised; cut as the processor cuts them."""
    from ..processing_motionpatch import MAX_TEXT_TOKENS

    limit = processor.tokenizer.model_max_length
    limit = limit if limit and limit < 100_000 else MAX_TEXT_TOKENS  # tokenizers without a limit state a huge one
    return CaptionTable(texts, processor.tokenizer, min(limit, args.max_text_tokens or limit))


def training_batches(
    args: TrainArguments, processor, table: ClipTable, captions: CaptionTable, accelerator: Accelerator, bar=None
) -> tuple[Planner, BatchMaker]:
    """The training clips' points and what draws batches from them."""
    store = MotionStore.build(processor.feature_extractor, table, args, mirror=args.mirror > 0, bar=bar)
    texts = list(table.captions)
    if args.mirror:
        texts += [[mirror_caption(caption) for caption in item] for item in table.captions]
    rows = [[captions.index[caption] for caption in item] for item in texts]
    maker = BatchMaker(
        store,
        captions,
        args,
        accelerator.device,
        accelerator.process_index,
        accelerator.num_processes,
        alike_rule(args, captions),
    )
    return Planner(store, rows, args), maker


def training_texts(args: TrainArguments, tables: dict[str, ClipTable]) -> list[str]:
    """Every caption of training, mirrored ones too, and the first of each validation clip."""
    texts = [caption for item in tables["train"].captions for caption in item]
    if args.mirror:
        texts += [mirror_caption(caption) for caption in texts]
    return texts + [item[0] for item in tables["validation"].captions]


def place_points(store: MotionStore, args: TrainArguments, device: torch.device) -> None:
    """Moves the points to the accelerator where `points_device` says so, or where they take a small share of it."""
    if device.type == "cpu" or args.points_device == "cpu":
        return
    size = store.points.numel() * store.points.element_size()
    if args.points_device == "auto":
        if device.type != "cuda" or size > DEVICE_SHARE * torch.cuda.get_device_properties(device).total_memory:
            return
    store.to(device)


def alike_rule(args: TrainArguments, captions: CaptionTable):
    """`false_negatives` -> a function of caption rows `(n,)` that marks pairs `(n, n)` that are no negatives.

    The threshold is on (1 + cosine) / 2 of sentence embeddings, as in TMR's code (0.8 is a cosine of 0.6).
    """
    rule = args.false_negatives
    if rule is None:
        return None
    if rule == "exact":
        return lambda rows: rows[:, None] == rows[None]
    path = Path(rule["embeddings"]).expanduser()
    if not path.is_file():
        raise TrainingError(f"`false_negatives.embeddings` is {str(path)!r}, which does not exist.")
    with np.load(path, allow_pickle=False) as content:
        lacking = {"captions", "embeddings"} - set(content.files)
        if lacking:
            raise TrainingError(
                f"{path} lacks {', '.join(sorted(lacking))}; it must hold `captions` and `embeddings`."
            )
        texts, embeddings = content["captions"], content["embeddings"].astype(np.float32)
    if len(texts) != len(embeddings) or embeddings.ndim != 2:
        raise TrainingError(f"{path}: {len(texts)} captions but embeddings of shape {embeddings.shape}.")
    where = {str(text): row for row, text in enumerate(texts)}
    missing = [caption for caption in captions.captions if caption not in where]
    if missing:
        raise TrainingError(f"{path} lacks {len(missing)} of {len(captions)} captions, the first {missing[0]!r}.")
    embeddings = embeddings[[where[caption] for caption in captions.captions]]
    embeddings /= np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    least = 2 * rule.get("threshold", 0.8) - 1

    def alike(rows: np.ndarray) -> np.ndarray:
        return embeddings[rows] @ embeddings[rows].T > least

    return alike


def freeze_unreached(towers, maker: BatchMaker, planner: Planner) -> list[str]:
    """Takes the gradient of parameters that the loss does not reach (a text model's own pooler, say).

    DistributedDataParallel waits for every parameter's gradient and would wait for theirs forever. One batch on the CPU
    finds them.
    """
    few = BatchMaker(maker.store, maker.table, maker.args)
    plan = planner.plan(0)
    plan.bounds = np.array([0, min(2, len(plan.clips))])
    motions, texts, _ = towers([_to_cpu(part) for part in few.make(plan, 0).parts])
    (motions.sum() + texts.sum()).backward()
    unreached = []
    for name, parameter in towers.named_parameters():
        if parameter.requires_grad and parameter.grad is None and not name.endswith("logit_scale"):
            parameter.requires_grad_(False)
            unreached.append(name)
    towers.zero_grad(set_to_none=True)
    return unreached


def _to_cpu(part):
    return tuple(inputs and {key: value.cpu() for key, value in inputs.items()} for inputs in part)


def prefetch(maker: BatchMaker, plan, steps: range):
    """Yields `(step, batch)`; where points are copied to an accelerator, the next batch is made during the step."""
    store = maker.store.points.device
    if maker.device is None or maker.device.type == "cpu" or store.type != "cpu":
        for step in steps:
            yield step, maker.make(plan, step)
        return
    with ThreadPoolExecutor(max_workers=1) as pool:
        waiting = None
        for step in steps:
            current = waiting or pool.submit(maker.make, plan, step)
            waiting = pool.submit(maker.make, plan, step + 1) if step + 1 in steps else None
            yield step, current.result()


def in_turn(accelerator: Accelerator, shared_folder: str | None):
    """The main process first where the others read what it writes; all at once otherwise."""
    return contextlib.nullcontext() if shared_folder is None else accelerator.main_process_first()


def make_shardable(model: MotionPatchModel) -> None:
    """FSDP cannot shard a parameter without axes: the temperature gets one, which `save_weights` takes off again."""
    scale = model.logit_scale
    model.logit_scale = torch.nn.Parameter(scale.detach().reshape(1), requires_grad=scale.requires_grad)


def checkpoint_activations(model: MotionPatchModel) -> None:
    """Activations of both towers are computed again in the backward pass instead of being kept."""
    # transformers renames the method; the old name warns, the new one is absent before
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})


def compile_blocks(model: MotionPatchModel) -> None:
    """torch.compile of each transformer block alone: blocks of one kind share their code, and lengths may vary."""
    for module in model.modules():
        if type(module).__name__ in model._no_split_modules:
            module.compile(dynamic=True)


__all__ = [
    "alike_rule",
    "build_processor",
    "caption_table",
    "checkpoint_activations",
    "compile_blocks",
    "freeze_unreached",
    "in_turn",
    "make_shardable",
    "place_points",
    "prefetch",
    "training_batches",
    "training_texts",
]
