"""A model and one split of a data set -> retrieval figures by protocol, or zero-shot accuracy: an `EvaluationReport`.

Each row is one pair: its motion from frame 0 and its first caption, as in the official evaluation. Sets that mark rows
for evaluation (HumanML3D and KIT-ML: column `evaluation`) are reduced to these unless asked otherwise.
"""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..embedding_motionpatch import encode_motion, encode_text
from .checks import EvaluationError, check_embeddings
from .classification import zero_shot_classification_metrics
from .protocols import PROTOCOLS, retrieval_metrics
from .report import EvaluationReport


TEMPLATE = "A person {}."  # paper, Sec. 4.5: "A person {action}"
CAPTION_PROTOCOLS = ("threshold", "dissimilar")  # compare captions with one another, so they need their embeddings
CAPTION_MODEL = "sentence-transformers/all-mpnet-base-v2"  # what TMR compares captions with
CAPTION_BATCH = 64


@dataclass
class PairEmbeddings:
    """The embedded pairs of one split, n pairs of width P.

    Args:
        ids (`list[str]` of length n): Of the rows.
        captions (`list[str]` of length n): The first caption of each.
        text_embeds, motion_embeds (`np.ndarray` of shape `(n, P)`): float32, unit length.
        left_out (`dict[str, int]`): Reason -> number of rows that are no pair.
    """

    ids: list[str]
    captions: list[str]
    text_embeds: np.ndarray = field(repr=False)
    motion_embeds: np.ndarray = field(repr=False)
    left_out: dict[str, int] = field(default_factory=dict)


# --------------------------------------------------------------------------------------------------------------------
# Running


def embed_pairs(
    model,
    processor,
    dataset,
    *,
    rows: str = "evaluation",
    batch_size: int = 32,
    long_motions: str = "first",
    progress: bool = False,
) -> PairEmbeddings:
    """The pairs of a split -> their embeddings.

    Args:
        model (`MotionPatchModel`): Runs on the device and in the dtype it has.
        processor (`MotionPatchProcessor`): The model's.
        dataset (`datasets.Dataset`): With `id`, `motion`, `captions`, `fps` and `skeleton`, e.g. a split of
            [`load_motion_dataset`].
        rows (`str`, *optional*, defaults to `"evaluation"`):
            `"evaluation"` keeps the rows whose column `evaluation` is true, where the set has one; `"all"` keeps all.
        batch_size (`int`, *optional*, defaults to 32): Motions, and texts, a forward pass.
        long_motions (`str`, *optional*, defaults to `"first"`):
            A motion longer than the model reads: its first window, as the official evaluation, or the `"mean"` of its
            windows.
        progress (`bool`, *optional*, defaults to `False`): Show progress bars.

    Returns:
        [`PairEmbeddings`]: rows without a caption are left out and counted.

    Raises:
        EvaluationError: Columns that are missing, or no pair.
    """
    dataset, left_out = choose_rows(dataset, rows)
    captions = _column(dataset, "captions")
    paired = [index for index, texts in enumerate(captions) if texts and texts[0].strip()]
    if len(paired) < len(captions):
        left_out["without a caption"] = len(captions) - len(paired)
        dataset = dataset.select(paired)
    if not paired:
        raise EvaluationError(
            f"No row has a caption ({', '.join(f'{n} {why}' for why, n in left_out.items()) or 'the split is empty'}); "
            "retrieval is scored on pairs of a motion and a text."
        )
    texts = [captions[index][0] for index in paired]
    motions = _embed_motions(model, processor, dataset, batch_size, long_motions, progress)
    embedded = encode_text(model, processor, texts, batch_size=batch_size, progress=progress)
    return PairEmbeddings([str(value) for value in _column(dataset, "id")], texts, embedded, motions, left_out)


def evaluate_retrieval(
    model,
    processor,
    dataset,
    protocols: str | Sequence[str] = ("all",),
    *,
    name: str = "",
    split: str = "",
    rows: str = "evaluation",
    caption_model: str | os.PathLike | None = None,
    caption_embeds=None,
    batch_size: int = 32,
    long_motions: str = "first",
    progress: bool = False,
    **options,
) -> EvaluationReport:
    """Text-to-motion and motion-to-text retrieval of one split under one or several named protocols.

    Args:
        model, processor, dataset, rows, batch_size, long_motions, progress: As for [`embed_pairs`].
        protocols (`str` or `Sequence[str]`, *optional*, defaults to `("all",)`): Of [`retrieval_metrics`].
        name, split (`str`, *optional*): What the report calls the data.
        caption_model (`str` or `os.PathLike`, *optional*):
            For `"threshold"` and `"dissimilar"`: a sentence model, of the Hub or a folder, to compare captions with.
        caption_embeds (`np.ndarray` of shape `(n, E)`, *optional*):
            The same, embedded already: one row for each pair that is scored.
        **options: Of [`retrieval_metrics`]: `ks`, `seed`, `repeats`, `confidence`, `threshold`, ... (`batch_size` of
            `"small_batches"` is called `small_batch_size` here).

    Returns:
        [`EvaluationReport`]

    Raises:
        EvaluationError: An unknown protocol, captions that cannot be compared, or what [`embed_pairs`] raises.

    Example:

    ```python
    >>> from modeling_motionpatch import load_motion_dataset
    >>> data = load_motion_dataset("humanml3d", data_dir="HumanML3D", splits="test")  # doctest: +SKIP
    >>> report = evaluate_retrieval(model, processor, data["test"], ("all", "all_strict"))  # doctest: +SKIP
    >>> report.retrieval["all"]["t2m/R@1"]  # doctest: +SKIP
    ```
    """
    protocols = check_protocols(protocols, caption_model is not None or caption_embeds is not None)
    started = time.perf_counter()
    pairs = embed_pairs(
        model,
        processor,
        dataset,
        rows=rows,
        batch_size=batch_size,
        long_motions=long_motions,
        progress=progress,
    )
    seconds = {"embedding": time.perf_counter() - started}
    if any(protocol in CAPTION_PROTOCOLS for protocol in protocols):
        if caption_embeds is None:
            caption_embeds = encode_sentences(caption_model, pairs.captions)
        caption_embeds = check_embeddings(caption_embeds, "caption_embeds")
        if len(caption_embeds) != len(pairs.captions):
            raise EvaluationError(
                f"`caption_embeds` has {len(caption_embeds)} rows for {len(pairs.captions)} pairs; one each is needed, "
                "in the order of the rows that are scored."
            )
    if "small_batch_size" in options:
        options["batch_size"] = options.pop("small_batch_size")
    started = time.perf_counter()
    figures = {}
    for protocol in protocols:
        own = {"caption_embeds": caption_embeds} if protocol in CAPTION_PROTOCOLS else {}
        metrics = retrieval_metrics(
            pairs.text_embeds, pairs.motion_embeds, pairs.captions, protocol=protocol, **own, **options
        )
        figures[metrics.label] = metrics
    seconds["scoring"] = time.perf_counter() - started
    return EvaluationReport(
        model=_model_name(model),
        data={"name": name, "split": split, "num_rows": len(pairs.ids), "left_out": pairs.left_out},
        task="retrieval",
        retrieval=figures,
        settings={
            "rows": rows,
            "long_motions": long_motions,
            "caption_model": None if caption_model is None else str(caption_model),
            **_model_settings(model),
        },
        seconds=seconds,
    )


def evaluate_classification(
    model,
    processor,
    dataset,
    classes: Sequence[str] | None = None,
    *,
    name: str = "",
    split: str = "",
    label_column: str = "label",
    template: str = TEMPLATE,
    ks: Sequence[int] = (1, 5),
    batch_size: int = 32,
    long_motions: str = "first",
    progress: bool = False,
) -> EvaluationReport:
    """Zero-shot classification of one split: each class becomes a sentence, and the nearest sentence wins (Table 6).

    Args:
        model, processor, dataset, batch_size, long_motions, progress: As for [`embed_pairs`].
        classes (`Sequence[str]`, *optional*): Names of the classes; those that occur, sorted, when not given.
        name, split (`str`, *optional*): What the report calls the data.
        label_column (`str`, *optional*, defaults to `"label"`): Where a row's class is.
        template (`str`, *optional*, defaults to `"A person {}."`): The sentence; `{}` stands for the class.
        ks (`Sequence[int]`, *optional*, defaults to `(1, 5)`): Where accuracy is read.

    Returns:
        [`EvaluationReport`]

    Raises:
        EvaluationError: No such column, labels that are no class, or a template without `{}`.
    """
    if "{}" not in template:
        raise EvaluationError(f"`template` is {template!r}; it must hold {{}}, where the class goes.")
    labels = _column(dataset, label_column)
    left_out = {}
    labelled = [index for index, label in enumerate(labels) if label]
    if len(labelled) < len(labels):
        left_out["without a label"] = len(labels) - len(labelled)
        dataset = dataset.select(labelled)
    labels = [str(labels[index]) for index in labelled]
    if not labels:
        raise EvaluationError(f"No row has a value in the column {label_column!r}, so there is nothing to classify.")
    classes = sorted(set(labels)) if classes is None else [str(label) for label in classes]
    unknown = sorted(set(labels) - set(classes))
    if unknown:
        raise EvaluationError(
            f"The split has labels that are none of the {len(classes)} classes: {', '.join(unknown[:10])}. Give all "
            "classes, or none to take those that occur."
        )
    started = time.perf_counter()
    motions = _embed_motions(model, processor, dataset, batch_size, long_motions, progress)
    sentences = encode_text(model, processor, [template.replace("{}", label) for label in classes])
    seconds = {"embedding": time.perf_counter() - started}
    metrics = zero_shot_classification_metrics(motions, sentences, labels, class_names=classes, ks=ks)
    return EvaluationReport(
        model=_model_name(model),
        data={"name": name, "split": split, "num_rows": len(labels), "left_out": left_out},
        task="classification",
        classification=metrics,
        settings={"template": template, "long_motions": long_motions, **_model_settings(model)},
        seconds=seconds,
    )


def check_protocols(protocols: str | Sequence[str], captions_comparable: bool) -> list[str]:
    """Distinct known protocols, checked before anything is embedded."""
    protocols = [protocols] if isinstance(protocols, str) else list(dict.fromkeys(protocols))
    unknown = [protocol for protocol in protocols if protocol not in PROTOCOLS]
    if unknown or not protocols:
        raise EvaluationError(f"Unknown protocol {', '.join(unknown) or '(none)'}; known: {', '.join(PROTOCOLS)}.")
    wanting = [protocol for protocol in protocols if protocol in CAPTION_PROTOCOLS]
    if wanting and not captions_comparable:
        raise EvaluationError(
            f"Protocol {' and '.join(wanting)} compares captions with one another, which needs a sentence model (TMR: "
            f"{CAPTION_MODEL}) or embeddings of the captions; pass `caption_model` or `caption_embeds`."
        )
    return protocols


def choose_rows(dataset, rows: str = "evaluation"):
    """The rows that a set marks for evaluation, and how many were not: `(dataset, {reason: count})`."""
    if rows not in ("evaluation", "all"):
        raise EvaluationError(f"rows={rows!r}; expected 'evaluation' or 'all'.")
    if not hasattr(dataset, "column_names") or not hasattr(dataset, "__len__"):
        raise EvaluationError(
            f"A datasets.Dataset is evaluated, not a {type(dataset).__name__}; choose one split, without streaming."
        )
    if rows == "all" or "evaluation" not in dataset.column_names:
        return dataset, {}
    marked = [index for index, value in enumerate(_column(dataset, "evaluation")) if value]
    if not marked or len(marked) == len(dataset):  # a set that marks none (a training split) is taken whole
        return dataset, {}
    return dataset.select(marked), {"not marked for evaluation": len(dataset) - len(marked)}


def encode_sentences(name_or_path: str | os.PathLike, sentences: Sequence[str]) -> np.ndarray:
    """Sentences -> unit-length embeddings `(n, E)`, float32: the masked mean of a text model's last hidden states.

    Args:
        name_or_path (`str` or `os.PathLike`): A text model of transformers, such as [`CAPTION_MODEL`].
        sentences (`Sequence[str]`): n of them; equal ones are embedded once.

    Raises:
        EvaluationError: There is no such model.
    """
    import torch
    from transformers import AutoModel, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(name_or_path)
        model = AutoModel.from_pretrained(name_or_path, dtype=torch.float32).eval()
    except (OSError, ValueError) as error:
        raise EvaluationError(f"The caption model {str(name_or_path)!r} cannot be loaded: {error}") from error
    unique = sorted(set(sentences), key=len)
    pooled = []
    with torch.inference_mode():
        for first in range(0, len(unique), CAPTION_BATCH):
            batch = tokenizer(
                unique[first : first + CAPTION_BATCH], padding=True, truncation=True, return_tensors="pt"
            )
            batch.pop("token_type_ids", None)
            hidden = model(**batch).last_hidden_state  # (b, L, E)
            mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
            mean = (hidden * mask).sum(1) / mask.sum(1).clamp(min=1.0)
            pooled.append(torch.nn.functional.normalize(mean, dim=-1).numpy())
    place = {sentence: index for index, sentence in enumerate(unique)}
    return np.concatenate(pooled)[[place[sentence] for sentence in sentences]]


# --------------------------------------------------------------------------------------------------------------------
# Details


def _column(dataset, name: str) -> list:
    if name not in dataset.column_names:
        raise EvaluationError(f"The data set has no column {name!r} but {', '.join(dataset.column_names)}.")
    return list(dataset.with_format(None).select_columns([name])[name])


def _embed_motions(model, processor, dataset, batch_size: int, long_motions: str, progress: bool) -> np.ndarray:
    from ..data import iter_motions

    skeletons, rates = _column(dataset, "skeleton"), _column(dataset, "fps")
    return encode_motion(
        model,
        processor,
        list(iter_motions(dataset)),  # views of Arrow's memory
        skeletons,
        rates,
        batch_size=batch_size,
        long_motions=long_motions,
        progress=progress,
    )


def _model_name(model) -> str:
    return str(getattr(model.config, "_name_or_path", "") or "") or "unnamed"


def _model_settings(model) -> dict:
    return {"device": str(model.device), "dtype": str(model.dtype).removeprefix("torch.")}


__all__ = [
    "PairEmbeddings",
    "embed_pairs",
    "encode_sentences",
    "evaluate_classification",
    "evaluate_retrieval",
]
