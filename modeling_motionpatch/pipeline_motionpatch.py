"""Text or motion in, ranked motions, texts or labels out: `"motion-retrieval"` and `"zero-shot-motion-classification"`.

A query is a text, joints (T, J, 3) in metres, Y up, or a motion file; scores are cosine similarities in [-1, 1], those of
a classification probabilities. A gallery is anything with `search_embeddings(queries, k)`, usually a `MotionGallery`.
"""

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from transformers import AutoModel, Pipeline
from transformers.dynamic_module_utils import custom_object_save
from transformers.pipelines import PIPELINE_REGISTRY

from .configuration_motionpatch import MotionPatchConfig
from .embedding_motionpatch import as_motion_lists, encode_motion, encode_text
from .inputs_motionpatch import is_nested_motion


PACKAGE = "modeling_motionpatch"  # the installed package; files and galleries are read by it, not by this file
MOTION_SUFFIXES = (".bvh", ".amc", ".npy", ".npz")  # a query that ends so is a file, not a sentence
DEFAULT_TOP_K = 10
DEFAULT_HYPOTHESIS = "A person {}."  # paper, Sec. 4.5
CHECKPOINTS = Path(__file__).parent / "checkpoints"
DEFAULT_CHECKPOINT = CHECKPOINTS / "motionpatch-demo"
DEFAULT_GALLERY = CHECKPOINTS / "motionpatch-demo-gallery"


class _MotionPatchPipeline(Pipeline):
    """What both tasks share: reading queries, embedding them in batches, and saving with processor and code."""

    _load_processor = True
    _load_tokenizer = False
    _load_feature_extractor = False
    _load_image_processor = False
    _load_video_processor = False

    def __init__(self, model, *args, processor=None, **kwargs):
        if processor is None:
            raise ValueError(
                f"pipeline({kwargs.get('task')!r}) needs a processor beside a model that is passed as an object: "
                "`processor=MotionPatchProcessor.from_pretrained(...)`."
            )
        found = getattr(model.config, "model_type", None)
        if found != MotionPatchConfig.model_type:
            raise ValueError(
                f"pipeline({kwargs.get('task')!r}) needs a MotionPatchModel (model_type {MotionPatchConfig.model_type!r}), but "
                f"{type(model).__name__} has model_type {found!r}; pass the name or folder of a MotionPatchModel."
            )
        super().__init__(model, *args, processor=processor, **kwargs)

    def preprocess(self, query, skeleton=None, fps=None) -> dict:
        """A query -> `{"text": str}`, or `{"joints": (T, J, 3), "skeleton": Skeleton, "fps": float}`."""
        query = _read_query(query, skeleton, fps)
        if isinstance(query, str):
            return {"text": query}
        if isinstance(query, dict):
            skeleton = query.get("skeleton", skeleton)
            fps = query.get("fps", fps)
            found = [name for name in ("joints", "motion") if name in query]
            if not found:
                raise ValueError(
                    f"A query is a dict with the keys {list(query)[:8]}; its positions are expected under `joints`, beside "
                    "`fps` and `skeleton`."
                )
            query = query[found[0]]
        arrays, skeletons, rates = as_motion_lists(self.processor.feature_extractor, query, skeleton, fps)
        if len(arrays) != 1:
            raise ValueError(f"One query holds {len(arrays)} motions; pass several queries as a list.")
        return {"joints": arrays[0], "skeleton": skeletons[0], "fps": rates[0]}

    def _forward(self, model_inputs: dict) -> dict:
        return {"embeds": self._encode([model_inputs])[0]}

    def _encode(self, items: list[dict]) -> np.ndarray:
        """Prepared texts and motions, mixed as they come -> unit-length embeddings (Q, P), float32."""
        embeds = np.empty((len(items), self.model.config.projection_dim), np.float32)
        size = {} if self._batch_size is None else {"batch_size": self._batch_size}
        texts = [index for index, item in enumerate(items) if "text" in item]
        if texts:
            embeds[texts] = encode_text(self.model, self.processor, [items[index]["text"] for index in texts], **size)
        motions = [index for index, item in enumerate(items) if "text" not in item]
        if motions:
            columns = {name: [items[index][name] for index in motions] for name in ("joints", "skeleton", "fps")}
            embeds[motions] = encode_motion(
                self.model, self.processor, columns["joints"], columns["skeleton"], columns["fps"], **size
            )
        return embeds

    def __call__(self, inputs, **kwargs):
        """Runs the pipeline, see the class; a list of queries is embedded in batches and gives a list of results."""
        if not isinstance(inputs, (list, tuple)):
            return super().__call__(inputs, **kwargs)
        if is_nested_motion(inputs):
            return super().__call__(np.asarray(inputs), **kwargs)
        batch_size, own = kwargs.pop("batch_size", None), self._batch_size
        kwargs.pop("num_workers", None)
        self._batch_size = batch_size or own
        try:
            preprocess, _, postprocess = self._sanitize_parameters(**kwargs)
            preprocess = {**self._preprocess_params, **preprocess}
            postprocess = {**self._postprocess_params, **postprocess}
            items = [self.preprocess(query, **preprocess) for query in inputs]
            with self.device_placement():
                embeds = self._encode(items)
        finally:
            self._batch_size = own
        return [self.postprocess({"embeds": row}, **postprocess) for row in embeds]

    def save_pretrained(self, save_directory: str | os.PathLike, **kwargs):
        """Saves model, processor and the code of both pipelines.

        The folder opens with `pipeline(task, model=folder, trust_remote_code=True)` where this package is not
        installed.

        Args:
            save_directory (`str` or `os.PathLike`): A folder, created where it does not exist.
            kwargs: Passed on to the `save_pretrained` of model and processor.
        """
        save_directory = os.fspath(save_directory)
        if os.path.isfile(save_directory):
            raise ValueError(f"{save_directory!r} is a file; give a folder to save the pipeline to.")
        os.makedirs(save_directory, exist_ok=True)
        self.model.config.custom_pipelines = custom_pipelines()
        save_pipeline_code(save_directory)
        self.model.save_pretrained(save_directory, **kwargs)
        self.processor.save_pretrained(save_directory, **kwargs)


class MotionRetrievalPipeline(_MotionPatchPipeline):
    r"""
    Ranks motions by a text, texts by a motion, or motions by a motion.

    Args of the pipeline and of a call:
        gallery (`MotionGallery`, `str` or `os.PathLike`, *optional*):
            What to search: a gallery, a folder that one was saved to, or its name on the Hub. Without gallery and
            candidates the packaged model searches a small gallery of generated motions.
        candidates (`list` of texts and motions, *optional*): Rank these instead of a gallery.
        top_k (`int`, *optional*): Number of hits; 10 of a gallery and all candidates when not given.
        skeleton (`str` or `Skeleton`, *optional*): What the joints of motions without one are.
        fps (`float`, *optional*): Frame rate [1/s] of motions without one.
        search_kwargs (`dict`, *optional*): Further options of the gallery's search, e.g. `{"exact": True}`.

    A query is a text, an array `(T, J, 3)`, an object or `dict` with `joints`, `fps` and `skeleton`, or the path of a
    motion file. A query longer than the model reads stands for the mean of its windows.

    Returns:
        `list[dict]`, best first: `id`, `score` (cosine similarity), `start` and `end` (seconds), `caption` and what
        else the gallery knows; of candidates `id` and `index` (place in the list) and `candidate`. A list of such lists
        for a list of queries.

    Example:

    ```python
    >>> import modeling_motionpatch
    >>> from transformers import pipeline
    >>> search = pipeline("motion-retrieval")  # doctest: +SKIP
    >>> search("a person waves", top_k=5)  # doctest: +SKIP
    ```
    """

    def _sanitize_parameters(
        self, gallery=None, candidates=None, top_k=None, skeleton=None, fps=None, search_kwargs=None, **kwargs
    ):
        _refuse_unknown(kwargs, self.task)
        if gallery is not None and candidates is not None:
            raise ValueError("`gallery` and `candidates` were both given; rank one of them.")
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"`top_k` is {top_k!r}; it must be a whole number of at least 1.")
        preprocess = {name: value for name, value in (("skeleton", skeleton), ("fps", fps)) if value is not None}
        postprocess = {} if top_k is None else {"top_k": top_k}
        if search_kwargs is not None:
            postprocess["search_kwargs"] = dict(search_kwargs)
        if gallery is not None:
            postprocess["target"] = self._open_gallery(gallery)
        elif candidates is not None:
            settings = {**getattr(self, "_preprocess_params", {}), **preprocess}
            postprocess["target"] = self._embed_candidates(candidates, settings)
        return preprocess, {}, postprocess

    def postprocess(
        self, model_outputs: dict, target=None, top_k: int | None = None, search_kwargs=None
    ) -> list[dict]:
        """The embedding of a query -> its hits."""
        embeds = np.asarray(model_outputs["embeds"], dtype=np.float32)
        if target is None:
            target = self._default_gallery()
        if isinstance(target, _Candidates):
            return target.rank(embeds, top_k)
        hits = target.search_embeddings(embeds, k=DEFAULT_TOP_K if top_k is None else top_k, **(search_kwargs or {}))
        return [hit if isinstance(hit, dict) else hit.to_dict() for hit in hits]

    def _embed_candidates(self, candidates, settings: dict) -> "_Candidates":
        if isinstance(candidates, np.ndarray):
            candidates = list(candidates)
        if isinstance(candidates, (str, dict)) or not isinstance(candidates, Sequence) or not len(candidates):
            raise ValueError(
                f"`candidates` is {type(candidates).__name__} {candidates!r:.80}; a list of texts or motions with at "
                "least one entry is needed."
            )
        items = [self.preprocess(candidate, **settings) for candidate in candidates]
        return _Candidates(list(candidates), self._encode(items))

    def _open_gallery(self, gallery):
        if isinstance(gallery, (str, os.PathLike)):
            package = _package("gallery", f"`gallery={str(gallery)!r}` is a folder or a name, and opening it")
            gallery = package.MotionGallery.load(gallery)
        if not hasattr(gallery, "search_embeddings"):
            raise ValueError(
                f"`gallery` is a {type(gallery).__name__}; a MotionGallery, or the folder of one, is needed."
            )
        if hasattr(gallery, "check_model"):
            gallery.check_model(self.model, self.processor)
        return gallery

    def _default_gallery(self):
        """The packaged gallery, where the packaged model runs; what another model is to search has to be told."""
        if not hasattr(self, "_packaged_gallery"):
            name = str(getattr(self.model.config, "_name_or_path", "") or "")
            packaged = bool(name) and Path(name).resolve() == DEFAULT_CHECKPOINT.resolve()
            if not packaged or not DEFAULT_GALLERY.is_dir():
                raise ValueError(
                    "There is nothing to search: pass `gallery=` (a MotionGallery, or the folder of one) or "
                    "`candidates=[...]` (texts or motions) to the pipeline or to the call."
                )
            self._packaged_gallery = self._open_gallery(DEFAULT_GALLERY)
        return self._packaged_gallery


class ZeroShotMotionClassificationPipeline(_MotionPatchPipeline):
    r"""
    Classifies motions by labels given as words: each label becomes a sentence, and the nearest sentence wins.

    Args of the pipeline and of a call:
        candidate_labels (`list[str]` or `str`): The labels; a string is split at commas.
        hypothesis_template (`str`, *optional*, defaults to `"A person {}."`): The sentence; `{}` stands for the label.
        top_k (`int`, *optional*): Number of labels to return; all when not given.
        skeleton (`str` or `Skeleton`, *optional*): What the joints of motions without one are.
        fps (`float`, *optional*): Frame rate [1/s] of motions without one.

    A motion is an array `(T, J, 3)`, an object or `dict` with `joints`, `fps` and `skeleton`, or the path of a motion
    file. A motion longer than the model reads stands for the mean of its windows.

    Returns:
        `list[dict]`, best first: `label` and `score`, the softmax over the labels at the model's temperature. A list of
        such lists for a list of motions.

    Example:

    ```python
    >>> import modeling_motionpatch
    >>> from transformers import pipeline
    >>> classify = pipeline("zero-shot-motion-classification")  # doctest: +SKIP
    >>> classify(joints, candidate_labels=["walks", "jumps"], skeleton="smpl22", fps=20.0)  # doctest: +SKIP
    ```
    """

    def _sanitize_parameters(
        self, candidate_labels=None, hypothesis_template=None, top_k=None, skeleton=None, fps=None, **kwargs
    ):
        _refuse_unknown(kwargs, self.task)
        if top_k is not None and (isinstance(top_k, bool) or not isinstance(top_k, int) or top_k < 1):
            raise ValueError(f"`top_k` is {top_k!r}; it must be a whole number of at least 1.")
        preprocess = {name: value for name, value in (("skeleton", skeleton), ("fps", fps)) if value is not None}
        postprocess = {} if top_k is None else {"top_k": top_k}
        own = getattr(self, "_label_settings", (None, DEFAULT_HYPOTHESIS))
        labels = own[0] if candidate_labels is None else candidate_labels
        template = own[1] if hypothesis_template is None else hypothesis_template
        if not hasattr(self, "_label_settings"):
            self._label_settings = (labels, template)  # of the pipeline itself; a call may override either
        if labels is not None:
            postprocess["labels"] = self._embed_labels(labels, template)
        return preprocess, {}, postprocess

    def _embed_labels(self, labels, template: str) -> tuple[list[str], np.ndarray]:
        if isinstance(labels, str):
            labels = [label.strip() for label in labels.split(",")]
        labels = list(labels)
        wrong = [label for label in labels if not isinstance(label, str) or not label.strip()]
        if wrong or not labels:
            raise ValueError(
                f"`candidate_labels` must be a non-empty list of words, got {wrong[0] if wrong else labels!r}."
            )
        if len(set(labels)) < len(labels):
            raise ValueError("`candidate_labels` names a label twice, which would halve its score; give each once.")
        if not isinstance(template, str) or "{}" not in template:
            raise ValueError(f"`hypothesis_template` is {template!r}; it must hold {{}}, where the label goes.")
        return labels, encode_text(self.model, self.processor, [template.replace("{}", label) for label in labels])

    def postprocess(self, model_outputs: dict, labels=None, top_k: int | None = None) -> list[dict]:
        """The embedding of a motion -> labels with probabilities."""
        if labels is None:
            raise ValueError("`candidate_labels` is missing; pass the labels to choose from, e.g. ['walks', 'jumps'].")
        names, embeds = labels
        scale = self.model.logit_scale_value().item()
        logits = embeds @ np.asarray(model_outputs["embeds"], dtype=np.float32) * scale
        scores = np.exp(logits - logits.max())
        scores /= scores.sum()
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [{"label": names[index], "score": float(scores[index])} for index in order]

    def preprocess(self, query, skeleton=None, fps=None) -> dict:
        item = super().preprocess(query, skeleton, fps)
        if "text" in item:
            raise ValueError(
                f"A motion is classified, but the text {item['text']!r:.80} was given; pass joints (T, J, 3), or the "
                f"path of a motion file ({', '.join(MOTION_SUFFIXES)})."
            )
        return item


class _Candidates:
    """Texts and motions to rank, embedded once."""

    def __init__(self, items: list, embeds: np.ndarray):
        self.items, self.embeds = items, embeds

    def rank(self, query: np.ndarray, top_k: int | None) -> list[dict]:
        scores = self.embeds @ query
        order = np.argsort(-scores, kind="stable")[:top_k]
        return [
            {"id": int(index), "index": int(index), "score": float(scores[index]), "candidate": self._name(index)}
            for index in order
        ]

    def _name(self, index: int):
        item = self.items[index]
        return str(item) if isinstance(item, (str, os.PathLike)) else int(index)  # a motion is told by its place


# --------------------------------------------------------------------------------------------------------------------
# Queries


def _read_query(query, skeleton, fps):
    """The path of a motion file -> its motion; everything else as it is."""
    if isinstance(query, os.PathLike) or (isinstance(query, str) and query.lower().endswith(MOTION_SUFFIXES)):
        loader = _package("io", f"{str(query)!r} is a motion file, and reading it")
        return loader.load_motion(query, fps=fps, skeleton=skeleton)
    return query


def _package(module: str, what: str):
    """A module of the installed package; this file itself also runs as custom code of a repository, without it."""
    try:
        return importlib.import_module(f"{PACKAGE}.{module}")
    except ImportError as error:
        raise ImportError(
            f"{what} needs the package modeling-motionpatch (pip install modeling-motionpatch); without it, pass "
            "joints as arrays and `candidates=[...]`."
        ) from error


def _refuse_unknown(kwargs: dict, task: str) -> None:
    unknown = sorted(set(kwargs) - {"num_workers", "batch_size", "timeout"})
    if unknown:
        raise TypeError(f"pipeline({task!r}) has no argument {', '.join(map(repr, unknown))}.")


# --------------------------------------------------------------------------------------------------------------------
# Registration

_TASKS = {
    "motion-retrieval": MotionRetrievalPipeline,
    "zero-shot-motion-classification": ZeroShotMotionClassificationPipeline,
}


def custom_pipelines() -> dict:
    """What the `custom_pipelines` of a saved configuration says, so that `pipeline(..., trust_remote_code=True)` works."""
    module = __name__.rsplit(".", 1)[-1]
    return {
        task: {"impl": f"{module}.{pipeline_class.__name__}", "pt": ["AutoModel"], "type": "multimodal"}
        for task, pipeline_class in _TASKS.items()
    }


def save_pipeline_code(folder: str | os.PathLike) -> list[Path]:
    """Copies this file, and the core files it imports, to a folder that a model is or will be saved to."""
    return custom_object_save(_CodeOf(), folder)


class _CodeOf:
    """`custom_object_save` copies the module of an object's class."""


def register_pipelines() -> None:
    """Makes both tasks known to `transformers.pipeline`, with the packaged checkpoint as their default model."""
    for task, pipeline_class in _TASKS.items():
        if task not in PIPELINE_REGISTRY.supported_tasks:
            PIPELINE_REGISTRY.register_pipeline(
                task,
                pipeline_class=pipeline_class,
                pt_model=AutoModel,
                default={"model": (str(DEFAULT_CHECKPOINT), None)},
                type="multimodal",
            )


__all__ = [
    "MotionRetrievalPipeline",
    "ZeroShotMotionClassificationPipeline",
    "custom_pipelines",
    "register_pipelines",
    "save_pipeline_code",
]
