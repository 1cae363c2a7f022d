"""Text and joints -> the inputs of `MotionPatchModel`: a tokenizer and a feature extractor behind one call."""

import difflib
import inspect
from collections.abc import Mapping
from typing import TypedDict

from transformers import BatchFeature, ProcessorMixin
from transformers.processing_utils import TextKwargs
from transformers.utils import logging

from .geometry_motionpatch import MotionInputError


logger = logging.get_logger(__name__)

MAX_TEXT_TOKENS = 77  # where a tokenizer states no limit of its own; captions of HumanML3D end well below


class _NoKwargs(TypedDict, total=False):
    """Options of inputs that this processor does not take."""


class MotionPatchProcessorKwargs(TypedDict, total=False):
    """Options of a call, in the groups that `ProcessorMixin` knows: those of the tokenizer alone."""

    text_kwargs: TextKwargs
    images_kwargs: _NoKwargs
    videos_kwargs: _NoKwargs
    audio_kwargs: _NoKwargs


class MotionPatchProcessor(ProcessorMixin):
    r"""
    A [`MotionPatchFeatureExtractor`] and a tokenizer in one.

    Args:
        feature_extractor (`MotionPatchFeatureExtractor`): Joints to patches.
        tokenizer (`PreTrainedTokenizerBase`): Text to token ids.

    Example:

    ```python
    >>> from modeling_motionpatch import MotionPatchProcessor
    >>> processor = MotionPatchProcessor.from_pretrained("path/to/model")  # doctest: +SKIP
    >>> inputs = processor(text="a person waves", motions=joints, fps=20.0, return_tensors="pt")  # doctest: +SKIP
    ```
    """

    valid_processor_kwargs = MotionPatchProcessorKwargs

    def __init__(self, feature_extractor=None, tokenizer=None, **kwargs):
        super().__init__(feature_extractor, tokenizer, **kwargs)

    def __call__(
        self,
        text: str | list[str] | None = None,
        motions=None,
        skeleton=None,
        fps=None,
        **kwargs,
    ) -> BatchFeature:
        """Prepares texts, motions, or pairs of both.

        Args:
            text (`str` or `list[str]`, *optional*): Descriptions.
            motions (`array_like` of shape `(T, J, 3)` or a list of them, *optional*): Joint positions [m], Y up.
            skeleton (`str`, `Skeleton` or list, *optional*): What the motions are recorded with.
            fps (`float` or list, *optional*): Frame rate(s) of the motions [1/s].
            return_tensors (`"pt"` or `"np"`, *optional*): Type of the tensors.
            kwargs: Options of the tokenizer, e.g. `padding="max_length"`, `max_length=32`, or all of them as
                `text_kwargs={...}`.

        Returns:
            `BatchFeature` with `input_ids` and `attention_mask` `(B, L)` where text is given, `motion_values`
            `(B, 3, max_frames, 5 * patch_size)` and `motion_attention_mask` where motions are given.

        Raises:
            ValueError: Neither text nor motions, an empty list, something that is no string, or text and motions of
                different counts.
        """
        if text is None and motions is None:
            raise ValueError("Neither `text` nor `motions` was given; pass at least one of them.")
        return_tensors, text_kwargs = self._options(kwargs)
        data = {}
        if text is not None:
            one = isinstance(text, (str, bytes, Mapping)) or not hasattr(text, "__iter__")
            texts = [text] if one else list(text)
            wrong = [item for item in texts if not isinstance(item, str)]
            if wrong or not texts:
                got = f"{type(wrong[0]).__name__} {wrong[0]!r:.80}" if wrong else repr(texts)
                raise ValueError(f"`text` must be a string or a non-empty list of strings, got {got}.")
            options = {"padding": True, "truncation": True, "return_token_type_ids": False, **text_kwargs}
            if options["truncation"] and options.get("max_length") is None:
                limit = self.tokenizer.model_max_length
                options["max_length"] = limit if limit and limit < 100_000 else MAX_TEXT_TOKENS
            data.update(self.tokenizer(texts, return_tensors=return_tensors, **options))
        elif text_kwargs:
            raise TypeError(f"Unknown arguments {sorted(text_kwargs)}: without `text`, no tokenizer reads them.")
        if motions is not None:
            batch = self.feature_extractor(motions, skeleton=skeleton, fps=fps, return_tensors=return_tensors)
            if text is not None and len(batch["motion_values"]) != len(data["input_ids"]):
                raise MotionInputError(
                    f"{len(data['input_ids'])} texts but {len(batch['motion_values'])} motions; pairs need one each. "
                    "Call the processor once with `text` and once with `motions` where they are no pairs."
                )
            data.update(batch)
        return BatchFeature(data, tensor_type=return_tensors)

    def _options(self, kwargs: dict) -> tuple[str | None, dict]:
        """Arguments of a call -> `return_tensors`, and the options of the tokenizer."""
        nested = dict(kwargs.pop("text_kwargs", None) or {})
        twice = sorted(nested.keys() & kwargs.keys())
        if twice:
            raise ValueError(f"{twice} were passed twice: by themselves and in `text_kwargs`.")
        options = {**nested, **kwargs}
        return_tensors = options.pop("return_tensors", None)
        known = set(TextKwargs.__annotations__)
        own = [name for name in inspect.signature(self.__call__).parameters if name != "kwargs"]
        for name in options.keys() - known:
            close = difflib.get_close_matches(name, [*own, "return_tensors", *known], n=1, cutoff=0.7)
            if close:
                raise TypeError(f"Unknown argument `{name}`; did you mean `{close[0]}`?")
            logger.warning_once(f"`{name}` is no argument of {type(self).__name__} and is ignored.")
        return return_tensors, {name: value for name, value in options.items() if name in known}

    def save_pretrained(self, save_directory, push_to_hub: bool = False, **kwargs):
        saved = super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        self.__dict__.pop("auto_map", None)  # written into the folder; the processor itself stays as it was
        return saved

    @property
    def model_input_names(self) -> list[str]:
        """Names of everything a call may return."""
        return ["input_ids", "attention_mask", *self.feature_extractor.model_input_names]


__all__ = ["MotionPatchProcessor"]
